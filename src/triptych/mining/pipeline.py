"""`mine`: the agent makes a triplet file from the unlabelled pictures of a catalog."""

import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.core.cluster import ClusterOptions, workers_of
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError
from triptych.core.files import claim_run, hash_file, locked, made_by, output_file
from triptych.core.options import flag_of
from triptych.core.progress import progress, say
from triptych.core.results import known_fields
from triptych.encoders.protocol import Encoder
from triptych.mining.critic import Critic
from triptych.mining.division import DividedAgent, divided_agent
from triptych.mining.options import MineOptions
from triptych.mining.reasoner import Reasoner
from triptych.mining.registry import MiningContext
from triptych.mining.rounds import PreviousRounds
from triptych.tagging.tagger import ABOUT, GroupReport
from triptych.tagging.tags import report_tags, summary, tag_pictures
from triptych.tagging.vocabulary import DEFAULT, load_vocabulary, understood_words
from triptych.triplets.file import join_triplets, kind_of_reason, write_triplets

_CHUNK = 256  # references a commit
_LEAST = 20  # usable pictures that a catalog must have


@dataclass(frozen=True)
class MineResult:
    """The result of `mine`."""

    accepted: int
    """Accepted triplets in the file."""
    refused: int
    """Refused triplets in the file."""
    reasons: Mapping[str, int]
    """Why triplets were refused, the most frequent reason first."""
    references: int
    """Reference pictures that were asked about."""
    groups: tuple[str, ...]
    """Attribute groups that the pictures show, by the encoder."""
    exclusions: int = 0
    """Accepted triplets that only exclude a word."""
    texts: int = 0
    """Distinct texts of all modifications."""
    reversed: int | None = None
    """Accepted triplets that are the reverse of another; None if none were asked for."""


def mine(
    catalog: Path | str,
    out: Path | str,
    options: MineOptions = MineOptions(),
    *,
    reasoner: Reasoner | type[Reasoner] | str = "tags",
    critic: Critic | type[Critic] | str = "encoder",
    encoder: Encoder | str | None = None,
    runtime: Runtime = Runtime(),
    cluster: ClusterOptions = ClusterOptions(),
) -> MineResult:
    """Make triplets from the pictures of a catalog, including refused ones with the reason.

    For each reference the agent draws `options.changes` change plans, proposes candidates for each, drafts triplets,
    and judges each within a group of pictures. A range of similarity leaves out near-duplicates and pictures that have
    little in common (MegaPairs, Zhou et al. 2024, takes 0.8 to 0.96). With `options.reverse` each accepted triplet is
    also made in the reverse direction, from its target to its reference: with new wordings, judged like any other, and
    written after all others. With `options.refined`, a file that `refine` wrote, another round is mined. The triplets
    of that file come first, and nothing that it holds is written again. The agent asks most often what the composer
    answered worst, in that file's words unless a vocabulary is given.

    A run that was interrupted or killed goes on where it stopped and ends with the same file.

    Args:
        catalog: folder of the catalog.
        out: triplet file to write (.parquet).
        options: how triplets are made.
        reasoner: chooses targets and words the changes: `tags`, the name of a plug-in, `module:attribute`, a reasoner,
            or a class of one, which may take a `MiningContext` as `context`.
        critic: judges drafts: `encoder`, the name of a plug-in, `module:attribute`, a critic, or a class of one.
        encoder: the catalog's encoder, or its name; by default the one that the catalog names.
        runtime: what the encoder computes with; `threads` also says how many each worker has.
        cluster: whether workers of a Ray cluster find neighbours and make triplets. They see the catalog and, with
            `options.reverse`, the folder of `out` at the same paths. The triplets are the same and are written here.

    Returns:
        How many triplets were accepted and refused, and why.

    Raises:
        UsageError: there is no such reasoner, critic or encoder; or, with a cluster, one of them is an object without
            a name, or Ray is missing.
        DataError: `options.refined` was not written by `refine`.
        FailureError: the catalog is too small, the encoder does not recognise its pictures, or nothing was accepted.
    """
    started = time.monotonic()
    out = output_file(out, ".parquet")
    opened = Catalog(Path(catalog))
    known = opened.encoder(encoder, threads=runtime.threads, device=runtime.device)
    if len(opened.names) < _LEAST:
        raise FailureError(f"{catalog}: holds {len(opened.names)} usable pictures; mining needs at least {_LEAST}")
    previous = PreviousRounds.read(options.refined) if options.refined else PreviousRounds()
    options = replace(options, vocabulary=options.vocabulary or previous.vocabulary)
    seed = options.seed + (previous.rounds << 32)  # another round draws other questions
    words = load_vocabulary(options.vocabulary)
    words = understood_words(words, known, str(options.vocabulary or "the default vocabulary"))
    settings = _settings(options, catalog=opened.folder, reasoner=reasoner, critic=critic)
    with workers_of(cluster, runtime.threads) as workers:
        tagged = tag_pictures(opened.vectors, known, words, workers)
        report_tags(tagged.reports)
        _require_recognition(tagged.reports, options, opened.folder)
        context = MiningContext(opened, known, tagged.vocabulary, tagged.tags, options, seed, tagged.reports)
        name = opened.encoder_name if encoder is None else encoder
        chosen = (reasoner, critic, previous.weights)
        agent = divided_agent(context, *chosen, workers=workers, encoder=name, threads=runtime.threads)
        result = _mine(out, context, agent, previous, settings, summary(tagged.reports), started)
    if not result.accepted:
        remedy = f"{'widen --similarity, ' if options.similarity else ''}use more pictures, or words that fit them"
        raise FailureError(f"{out}: none of {result.refused} drafts was accepted; {remedy}")
    return result


def _require_recognition(reports: Sequence[GroupReport], options: MineOptions, catalog: Path) -> None:
    """Raise FailureError if the encoder recognises too few pictures for triplets to be right."""
    kind = next((report for report in reports if report.group == ABOUT and report.words), None)
    if kind and kind.agreement < options.min_agreement:
        raise FailureError(
            f"{catalog}: the encoder hardly recognises these pictures: {kind.agreement:.0%} of neighbours agree about "
            f"the {ABOUT}, so most triplets would be wrong; use another encoder (`triptych doctor` lists some) or "
            f"--vocabulary with words that fit, or mine all the same with {flag_of(MineOptions, 'min_agreement')} 0"
        )


def _mine(
    out: Path,
    context: MiningContext,
    agent: DividedAgent,
    previous: PreviousRounds,
    settings: Mapping[str, Any],
    groups: Mapping[str, Any],
    started: float,
) -> MineResult:
    """Write the parts that are missing, and join all parts."""
    options, names = context.options, context.catalog.names
    parts = out.with_name(out.name + ".partial")
    with locked(parts):
        if not claim_run(parts, {**settings, **_inputs(context)}, ["part-*.parquet"]):
            say(f"{parts}: an unfinished run had other settings or pictures; starting over")
        references = _references(len(names), options.limit, context.seed)
        files, resumed = _write_parts(parts, references, agent, options.changes, previous)
        reverse = _write_reversed(files, agent, previous) if options.reverse else []
        whole = [*([options.refined] if options.refined else []), *files, *reverse]
        result = _count(whole, references=len(references), groups=tuple(context.tags))
        if options.reverse:
            result = replace(result, reversed=_count(reverse).accepted)
        # The duration of a resumed run is unknown.
        seconds = {} if resumed else {"seconds": round(time.monotonic() - started, 1)}
        join_triplets(out, whole, _note(context, settings, result) | {"tags": groups} | seconds)
        shutil.rmtree(parts)
        context.texts.save()
    return result


def _settings(options: MineOptions, *, catalog: Path, reasoner: object, critic: object) -> dict[str, Any]:
    """The settings as the note records them."""
    chosen = {"catalog": catalog, "reasoner": _plugin(reasoner), **asdict(options)}
    return chosen | {"critic": {"name": _plugin(critic), **asdict(options.critic)}}


def _plugin(given: object) -> str:
    """The name of a reasoner or critic in a note."""
    if isinstance(given, str):
        return given
    return str(getattr(given, "name", None) or getattr(given, "__name__", type(given).__name__))


def _inputs(context: MiningContext) -> dict[str, Any]:
    """What else distinguishes one run from another: the content of everything that it reads."""
    refined, vocabulary = context.options.refined, context.options.vocabulary
    return {
        "digest": hash_file(refined) if refined else None,
        "words": hash_file(vocabulary or DEFAULT),
        "pictures": context.catalog.digest,
        "encoder": context.encoder.fingerprint,
    }


def _note(context: MiningContext, settings: Mapping[str, Any], result: MineResult) -> dict[str, Any]:
    # The encoder was asked about these texts, and a composer starts from them, too.
    phrases = {group: context.vocabulary.phrases[group] for group in result.groups}
    fingerprint = context.encoder.fingerprint
    return made_by("mine", settings, encoder_fingerprint=fingerprint, phrases=phrases, **known_fields(result))


def _references(count: int, limit: int | None, seed: int) -> list[int]:
    order: list[int] = np.random.default_rng(seed).permutation(count).tolist()
    return order[:limit]


def _write_parts(
    folder: Path, references: Sequence[int], agent: DividedAgent, changes: int, previous: PreviousRounds
) -> tuple[list[Path], bool]:
    """Write the parts that are missing. Returns all of them, and whether some existed."""
    starts = range(0, len(references), _CHUNK)
    files = [folder / f"part-{start:09d}.parquet" for start in starts]
    waiting = [(start, file) for start, file in zip(starts, files, strict=True) if not file.exists()]
    done = len(files) - len(waiting)
    made = agent.triplets([references[start : start + _CHUNK] for start, _ in waiting], changes)
    shown = progress(made, "mine", total=len(files), unit=f"x{_CHUNK} references", done=done)
    for (_, file), triplets in zip(waiting, shown, strict=True):
        write_triplets(file, previous.added(triplets), {})
    return files, done > 0


def _write_reversed(files: Sequence[Path], agent: DividedAgent, previous: PreviousRounds) -> list[Path]:
    """Write, for each part that has none, a part with its accepted triplets in the reverse direction."""
    asked = previous.joined_by(files)  # questions that are drawn anyway are known only now, and are not drawn twice
    written = [file.with_stem(f"{file.stem}-back") for file in files]
    waiting = [(file, back) for file, back in zip(files, written, strict=True) if not back.exists()]
    done = len(files) - len(waiting)
    made = agent.reversed_triplets([file for file, _ in waiting])
    shown = progress(made, "mine reverse", total=len(files), unit=f"x{_CHUNK} references", done=done)
    for (_, back), triplets in zip(waiting, shown, strict=True):
        write_triplets(back, asked.added(triplets), {})
    return written


def _count(files: Sequence[Path], *, references: int = 0, groups: tuple[str, ...] = ()) -> MineResult:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    reasons: Counter[str] = Counter()
    accepted = exclusions = 0
    texts: set[str] = set()
    for file in files:
        table = pq.read_table(file, columns=["accepted", "reason", "modifications", "changes"]).combine_chunks()
        kept = table["accepted"]
        accepted += pc.sum(kept).as_py() or 0
        for reason in table["reason"].filter(pc.invert(kept)).to_pylist():
            reasons[kind_of_reason(reason)] += 1
        texts |= set(pc.struct_field(pc.list_flatten(table["modifications"]), "text").unique().to_pylist())
        changes = table["changes"].filter(kept).combine_chunks()
        excludes = pc.is_null(pc.struct_field(pc.list_flatten(changes), "new"))
        exclusions += len(pc.list_parent_indices(changes).filter(excludes).unique())
    counted = dict(reasons.most_common())
    return MineResult(accepted, sum(reasons.values()), counted, references, groups, exclusions, len(texts))
