"""`refine`: triplets as composers see them that did not learn from them: which look wrong, and what is hard."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.catalog.catalog import Catalog
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import require_extra
from triptych.core.errors import UsageError
from triptych.core.files import claim_run, hash_file, locked, made_by
from triptych.core.progress import progress, say
from triptych.core.vectors import nearest, unit
from triptych.mining.critic import probability
from triptych.mining.rounds import vocabulary_of
from triptych.tagging.tagger import Tags
from triptych.tagging.tags import tag
from triptych.tagging.vocabulary import Vocabulary, load_vocabulary
from triptych.training.composer import train
from triptych.triplets.file import Triplet, read_triplets, write_triplets

_WORDINGS = 2  # of a triplet, one for each of so many styles: a composer is asked in both, and the mean answers
_BLOCK = 2048  # triplets judged at once
_PRIOR = 50  # triplets of mean difficulty that every kind of question is taken to have beside its own
_MOST = 3.0  # times as often as others that a kind of question is asked for

Kind = tuple[str, ...]
"""The groups that a question is about."""


def refine(
    triplets: Path | str,
    catalog: Path | str,
    out: Path | str,
    *,
    vocabulary: Path | str | None = None,
    folds: int = 2,
    epochs: int = 1,
    beyond: int = 10,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Any]:
    """Refuse accepted triplets that a composer finds implausible, note what it is weak at, and write all to `out`.

    References are parted into `folds`, and a triplet is judged by a composer that learnt, for `epochs`, from the other
    folds alone: nobody judges what it memorised (cross-validated as in confident learning, Northcutt et al. 2021). It
    is refused where the target is not among the first `beyond` answers, and these, in the mean, show the new words
    better than the target does, by the tags that the agent goes by. Words that `vocabulary` lacks
    are never refused; it is that of the triplets unless given.

    What `mine --after` reads is in the note of `out`: for each kind of question how often the target of a kept triplet
    is among the first `beyond`, and how many times as often it is to be asked. A run that was interrupted or killed
    goes on where it stopped.

    Returns counts, the recall in percent, and the kinds. Raises DataError where the file cannot be read or holds too
    little, MismatchError where catalog and encoder differ, UsageError without the extra `train`, FailureError where the
    encoder is not sure of any group of words.
    """
    triplets, catalog, out = Path(triplets), Path(catalog), Path(out)
    require_extra("train", "refine")
    if folds < 2 or beyond < 1:
        raise UsageError("--folds must be at least 2, --beyond at least 1")
    opened = Catalog(catalog)
    encoder = opened.encoder(threads=threads)
    stored, note = read_triplets(triplets)
    vocabulary = Path(vocabulary) if vocabulary else vocabulary_of(note)
    words = load_vocabulary(vocabulary)
    tags = tag(opened.vectors, encoder, words)  # now, and not after minutes of learning, should there be none
    usable = [number for number, one in enumerate(stored) if one.accepted and _pictures(one) <= opened.row_of.keys()]
    settings = {"triplets": triplets, "catalog": catalog, "vocabulary": vocabulary, "folds": folds}
    settings |= {"epochs": epochs, "beyond": beyond, "seed": seed}
    run = settings | {"digest": hash_file(triplets), "encoder": encoder.fingerprint, "pictures": opened.digest}
    verdicts: dict[int, _Verdict] = {}
    parts = out.with_name(out.name + ".partial")
    with locked(parts):
        if not claim_run(parts, run, ["composer-*", "fold-*"]):
            say(f"{parts}: an unfinished run had other settings or triplets; starting over")
        told = {"phrases": words.phrases}
        for fold in range(folds):
            chosen = [number for number in usable if _fold(stored[number], folds) == fold]
            others = [stored[number] for number in usable if _fold(stored[number], folds) != fold]
            say(f"refine: fold {fold + 1} of {folds}: learning from {len(others)} triplets to judge {len(chosen)}")
            composer = _composer(parts, fold, others, told, catalog, epochs=epochs, seed=seed, threads=threads)
            composer.attach(encoder)
            answers = _answers(composer, [stored[number] for number in chosen], opened, beyond)
            verdicts |= zip(chosen, answers, strict=True)
        judged = [
            _judged(one, verdicts.get(number), tags, words, opened.row_of, beyond) for number, one in enumerate(stored)
        ]
        kept = {number: verdict for number, verdict in verdicts.items() if judged[number].accepted}
        facts = {
            "accepted": sum(one.accepted for one in judged),
            "refused": sum(not one.accepted for one in judged),
            "refused_here": len(verdicts) - len(kept),
            "recall": _percent([verdict.found for verdict in kept.values()]),
            "kinds": _kinds([(_kind(stored[number]), verdict.found) for number, verdict in kept.items()]),
        }
        write_triplets(out, judged, made_by("refine", settings, **facts, **told, mined=note))
        shutil.rmtree(parts)
    return facts


@dataclass(frozen=True)
class _Verdict:
    found: bool
    """Whether the target is among the first answers."""
    answers: NDArray[np.int64]
    """The first answers, as rows of the catalog, without the reference and what answers as well."""


def _composer(
    parts: Path, fold: int, others: Sequence[Triplet], note: Mapping[str, Any], catalog: Path, **options: Any
) -> TrainedComposer:
    """One that learnt from the `others`, a file with that `note`, if it is there yet; else it is trained."""
    file, folder = parts / f"fold-{fold}.parquet", parts / f"composer-{fold}"
    if not file.exists():
        write_triplets(file, others, note)
    if not (folder / "config.json").exists():
        train(file, catalog, folder, **options)
    return TrainedComposer(folder, options["threads"])


def _answers(composer: TrainedComposer, asked: Sequence[Triplet], catalog: Catalog, count: int) -> list[_Verdict]:
    """The composer's first `count` answers to each triplet's question."""
    gallery = composer.gallery(catalog.vectors)
    verdicts = []
    starts = range(0, len(asked), _BLOCK)
    for start in progress(starts, "refine", total=len(starts), unit=f"x{_BLOCK} triplets"):
        block = asked[start : start + _BLOCK]
        references = catalog.vectors[[catalog.row_of[one.reference] for one in block]]
        texts = [[one.modifications[turn % len(one.modifications)].text for one in block] for turn in range(_WORDINGS)]
        queries = unit(np.mean([composer.compose(references, said) for said in texts], axis=0))
        passed = [_rows((one.reference, *one.also), catalog.row_of) for one in block]
        best, _ = nearest(queries, gallery, count + max(map(len, passed)))
        for one, rows, out in zip(block, best, passed, strict=True):
            answers = rows[~np.isin(rows, out)][:count]
            verdicts.append(_Verdict(catalog.row_of[one.target] in answers, answers))
    return verdicts


def _judged(
    triplet: Triplet,
    verdict: _Verdict | None,
    tags: Tags,
    words: Vocabulary,
    row_of: Mapping[str, int],
    beyond: int,
) -> Triplet:
    known = all(one.group in tags and one.new in words.groups[one.group] for one in triplet.changes)
    if verdict is None or verdict.found or not known or not triplet.changes:
        return triplet
    shown = probability(triplet.changes, np.array([row_of[triplet.target], *verdict.answers]), tags, words)
    if shown[0] >= shown[1:].mean():
        return triplet
    new = ", ".join(change.new for change in triplet.changes)
    why = f"implausible: not among a composer's first {beyond} answers, which show it better: {new}"
    return replace(triplet, accepted=False, reason=why)


def _kinds(found: Sequence[tuple[Kind, bool]]) -> list[dict[str, Any]]:
    """Each kind of question, the weakest first: how many, recall in percent, and how many times as often it is wanted.

    That is in proportion to its share of failures, which is drawn to that of all where there are few.
    """
    counts, hits = Counter(kind for kind, _ in found), Counter(kind for kind, hit in found if hit)
    failed = 1 - hits.total() / max(1, counts.total())
    share = {kind: (count - hits[kind] + _PRIOR * failed) / (count + _PRIOR) for kind, count in counts.items()}
    wanted = {kind: min(_MOST, max(1 / _MOST, share[kind] / failed)) if failed else 1.0 for kind in counts}
    return [
        {
            "groups": list(kind),
            "triplets": counts[kind],
            "recall": round(100 * hits[kind] / counts[kind], 1),
            "wanted": round(wanted[kind], 3),
        }
        for kind in sorted(counts, key=lambda kind: (-wanted[kind], kind))
    ]


def _kind(triplet: Triplet) -> Kind:
    return tuple(change.group for change in triplet.changes)


def _percent(found: Sequence[bool]) -> float:
    return round(100 * float(np.mean(found)), 1) if found else 0.0


def _pictures(triplet: Triplet) -> set[str]:
    return {triplet.reference, triplet.target}


def _rows(names: Sequence[str], row_of: Mapping[str, int]) -> list[int]:
    return [row_of[name] for name in names if name in row_of]


def _fold(triplet: Triplet, folds: int) -> int:
    """By a hash of the reference, another one than that by which `train` holds out."""
    return int(hashlib.sha256(f"fold {triplet.reference}".encode()).hexdigest()[:8], 16) % folds
