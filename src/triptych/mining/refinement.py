"""`refine`: composers judge triplets that they did not learn from, and show which questions are hard."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.catalog.catalog import Catalog
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime, require_extra
from triptych.core.files import claim_run, hash_file, locked, made_by, output_file
from triptych.core.progress import progress, say
from triptych.core.vectors import nearest, require_finite_rows, unit
from triptych.encoders.protocol import Encoder
from triptych.mining.likelihood import Likelihood
from triptych.mining.options import RefineOptions
from triptych.mining.rounds import vocabulary_of
from triptych.tagging.tags import tag_pictures
from triptych.tagging.vocabulary import load_vocabulary
from triptych.training.composer import train_composer
from triptych.training.options import TrainOptions
from triptych.triplets.file import Triplet, read_triplets, write_triplets

_WORDINGS = 2  # of a triplet, in different styles, whose query vectors are averaged
_BLOCK = 2048  # triplets judged at once
_PRIOR = 50  # pseudo-triplets of mean difficulty that are added to each type of question
_MOST = 3.0  # the highest weight of a type of question

_Attributes = tuple[str, ...]
"""The attributes that a question asks to change: its type."""


@dataclass(frozen=True)
class QuestionType:
    """The kept triplets in which the same attributes change."""

    attributes: tuple[str, ...]
    """The attributes that change, such as `("colour",)`."""
    triplets: int
    """How many triplets there are."""
    recall: float
    """Percent of them whose target is among a composer's first answers."""
    weight: float
    """How many times as often as others the next round asks such questions, from 1/3 to 3."""


@dataclass(frozen=True)
class RefineResult:
    """The result of `refine`."""

    accepted: int
    """Accepted triplets in the file."""
    refused: int
    """Refused triplets in the file."""
    refused_here: int
    """Triplets that this run refused."""
    recall: float
    """Percent of the kept triplets whose target is among a composer's first answers."""
    question_types: tuple[QuestionType, ...]
    """Recall of each type of question, the weakest first."""


def refine(
    triplets: Path | str,
    catalog: Path | str,
    out: Path | str,
    options: RefineOptions = RefineOptions(),
    *,
    encoder: Encoder | str | None = None,
    runtime: Runtime = Runtime(),
) -> RefineResult:
    """Refuse accepted triplets that a composer finds implausible, and record which questions it answers worst.

    References are divided into folds. Each triplet is judged by a composer that learnt from the other folds only, so
    that none judges what it memorised (cross-validated as in confident learning, Northcutt et al. 2021). A triplet is
    refused if its target is not among the first `options.top_k` answers and these, on average, show the new words
    better than the target does, by the agent's tags. Triplets with words that the vocabulary lacks are never refused.

    The file's note holds what `mine` with `refined` reads: for each type of question how often the target of a kept
    triplet is among the first answers, and how much more often it will be drawn. A run that was interrupted or
    killed goes on where it stopped.

    Args:
        triplets: triplet file made by `mine`.
        catalog: folder of the catalog that it was made from.
        out: triplet file to write (.parquet).
        options: how triplets are judged.
        encoder: the catalog's encoder, or its name; by default the one that the catalog names.
        runtime: what training computes with.

    Returns:
        Counts, and the recall of each type of question.

    Raises:
        DataError: a file cannot be read or holds too little.
        MismatchError: the encoder is not the catalog's.
        UsageError: the extra `train` is not installed.
        FailureError: the encoder distinguishes the words of no group.
    """
    triplets, out = Path(triplets), output_file(out, ".parquet")
    require_extra("train", "refine")
    opened = Catalog(Path(catalog))
    known = opened.encoder(encoder, threads=runtime.threads, device=runtime.device)
    stored, note = read_triplets(triplets)
    options = replace(options, vocabulary=options.vocabulary or vocabulary_of(note))
    words = load_vocabulary(options.vocabulary)
    # Tagged before training, so that pictures without any of the words fail at once.
    tagged = tag_pictures(opened.vectors, known, words)
    settings = {"triplets": triplets, "catalog": opened.folder, **asdict(options)}
    run = settings | {"digest": hash_file(triplets), "encoder": known.fingerprint, "pictures": opened.digest}
    parts = out.with_name(out.name + ".partial")
    with locked(parts):
        if not claim_run(parts, run, ["composer-*", "fold-*"]):
            say(f"{parts}: an unfinished run had other settings or triplets; starting over")
        phrases = {"phrases": words.phrases}
        verdicts = _verdicts(_Folds(parts, stored, phrases, opened, known, options, runtime))
        rest = (Likelihood(tagged.tags, tagged.vocabulary), opened.row_of, options.top_k)
        judged = [_judged(one, verdicts.get(number), *rest) for number, one in enumerate(stored)]
        result = _result(stored, judged, verdicts)
        write_triplets(out, judged, made_by("refine", settings, **asdict(result), **phrases, mined=note))
        shutil.rmtree(parts)
    return result


@dataclass(frozen=True)
class _Verdict:
    found: bool
    """Whether the target is among the first answers."""
    answers: NDArray[np.int64]
    """The first answers, as rows of the catalog, without the reference and the other targets."""


def _result(stored: Sequence[Triplet], judged: Sequence[Triplet], verdicts: Mapping[int, _Verdict]) -> RefineResult:
    kept = {number: verdict for number, verdict in verdicts.items() if judged[number].accepted}
    return RefineResult(
        accepted=sum(one.accepted for one in judged),
        refused=sum(not one.accepted for one in judged),
        refused_here=len(verdicts) - len(kept),
        recall=_percent([verdict.found for verdict in kept.values()]),
        question_types=_question_types(
            [(_changed_attributes(stored[number]), verdict.found) for number, verdict in kept.items()]
        ),
    )


@dataclass(frozen=True)
class _Folds:
    """What the composers of the folds learn from."""

    folder: Path
    """Their folder until the run ends."""
    stored: Sequence[Triplet]
    note: Mapping[str, Any]
    catalog: Catalog
    encoder: Encoder
    options: RefineOptions
    runtime: Runtime


def _verdicts(folds: _Folds) -> dict[int, _Verdict]:
    """For each usable triplet, by its number, how a composer that did not learn from it answers."""
    stored, count = folds.stored, folds.options.folds
    known = folds.catalog.row_of.keys()
    usable = [number for number, one in enumerate(stored) if one.accepted and _pictures(one) <= known]
    verdicts: dict[int, _Verdict] = {}
    for fold in range(count):
        chosen = [number for number in usable if _fold(stored[number], count) == fold]
        others = [stored[number] for number in usable if _fold(stored[number], count) != fold]
        say(f"refine: fold {fold + 1} of {count}: learning from {len(others)} triplets to judge {len(chosen)}")
        composer = _composer(folds, fold, others)
        composer.attach(folds.encoder)
        answers = _answers(composer, [stored[number] for number in chosen], folds.catalog, folds.options.top_k)
        verdicts |= zip(chosen, answers, strict=True)
    return verdicts


def _composer(folds: _Folds, fold: int, others: Sequence[Triplet]) -> TrainedComposer:
    """The composer that learns from the `others`; it is trained unless it exists."""
    file, folder = folds.folder / f"fold-{fold}.parquet", folds.folder / f"composer-{fold}"
    if not file.exists():
        write_triplets(file, others, folds.note)
    if not (folder / "config.json").exists():
        # Without the sum, so that only what was learnt from the other folds judges.
        options = TrainOptions(epochs=folds.options.epochs, seed=folds.options.seed, without=("kept-sum",))
        train_composer(file, folds.catalog.folder, folder, options, encoder=folds.encoder, runtime=folds.runtime)
    return TrainedComposer(folder, folds.runtime.threads)


def _answers(composer: TrainedComposer, asked: Sequence[Triplet], catalog: Catalog, count: int) -> list[_Verdict]:
    """The composer's first `count` answers to each triplet's question."""
    gallery = composer.gallery(catalog.vectors)
    require_finite_rows(gallery, catalog.names.__getitem__, composer.name)
    verdicts = []
    starts = range(0, len(asked), _BLOCK)
    for start in progress(starts, "refine", total=len(starts), unit=f"x{_BLOCK} triplets"):
        block = asked[start : start + _BLOCK]
        references = catalog.vectors[[catalog.row_of[one.reference] for one in block]]
        texts = [[one.modifications[turn % len(one.modifications)].text for one in block] for turn in range(_WORDINGS)]
        queries = unit(np.mean([composer.compose(references, said) for said in texts], axis=0))
        require_finite_rows(queries, lambda row, texts=texts: repr(texts[0][row]), composer.name)  # type: ignore[misc]
        passed = [_rows((one.reference, *one.other_targets), catalog.row_of) for one in block]
        best, _ = nearest(queries, gallery, count + max(map(len, passed)))
        for one, rows, out in zip(block, best, passed, strict=True):
            answers = rows[~np.isin(rows, out)][:count]
            verdicts.append(_Verdict(catalog.row_of[one.target] in answers, answers))
    return verdicts


def _judged(
    triplet: Triplet,
    verdict: _Verdict | None,
    likelihood: Likelihood,
    row_of: Mapping[str, int],
    top_k: int,
) -> Triplet:
    known = all(likelihood.is_tagged(one) for one in triplet.changes)
    if verdict is None or verdict.found or not known or not triplet.changes:
        return triplet
    shown = likelihood.probability(triplet.changes, np.array([row_of[triplet.target], *verdict.answers]))
    if shown[0] >= shown[1:].mean():
        return triplet
    new = ", ".join(change.wanted for change in triplet.changes)
    why = f"implausible: not among a composer's first {top_k} answers, which show it better: {new}"
    return replace(triplet, accepted=False, reason=why)


def _question_types(found: Sequence[tuple[_Attributes, bool]]) -> tuple[QuestionType, ...]:
    """The types of question and their recall, the weakest first, from each question's type and whether it was found.

    The weight of a type is its share of failures over that of all questions. With few questions the share is drawn
    towards that of all.
    """
    counts, hits = Counter(one for one, _ in found), Counter(one for one, hit in found if hit)
    failed = 1 - hits.total() / max(1, counts.total())
    share = {one: (count - hits[one] + _PRIOR * failed) / (count + _PRIOR) for one, count in counts.items()}
    weights = {one: min(_MOST, max(1 / _MOST, share[one] / failed)) if failed else 1.0 for one in counts}
    return tuple(
        QuestionType(one, counts[one], round(100 * hits[one] / counts[one], 1), round(weights[one], 3))
        for one in sorted(counts, key=lambda one: (-weights[one], one))
    )


def _changed_attributes(triplet: Triplet) -> _Attributes:
    return tuple(change.attribute for change in triplet.changes)


def _percent(found: Sequence[bool]) -> float:
    return round(100 * float(np.mean(found)), 1) if found else 0.0


def _pictures(triplet: Triplet) -> set[str]:
    return {triplet.reference, triplet.target}


def _rows(names: Sequence[str], row_of: Mapping[str, int]) -> list[int]:
    return [row_of[name] for name in names if name in row_of]


def _fold(triplet: Triplet, folds: int) -> int:
    """The fold of a triplet by a hash of its reference, other than the hash by which `train` holds out."""
    return int(hashlib.sha256(f"fold {triplet.reference}".encode()).hexdigest()[:8], 16) % folds
