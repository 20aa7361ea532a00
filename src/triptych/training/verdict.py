"""The verdict on a composer: whether it is better than picture, text and
weighted sum, by queries with known answers."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.catalog.catalog import Catalog
from triptych.composers.baselines import WEIGHTS, PictureOnly, TextOnly, WeightedSum
from triptych.composers.kept_sum import KeptSum
from triptych.composers.patches import in_batches, reads_pixels
from triptych.composers.protocol import Composer
from triptych.composers.trained import TrainedComposer
from triptych.composers.truth import LEAST_QUERIES, TruthQueries, TruthQuery, Verdict
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError
from triptych.core.files import read_json, write_json
from triptych.core.images import load_pictures
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.core.progress import say
from triptych.core.vectors import Vectors, require_finite_rows, unit
from triptych.encoders.protocol import Encoder, short_name
from triptych.encoders.reading import report_texts
from triptych.metrics.measures import Values, per_query
from triptych.metrics.ranking import Rows, ranks_of_targets
from triptych.metrics.resampling import bootstrap_intervals
from triptych.training.trust import TRUSTS, trust_by_truth

METRIC = "R@10"
"""The metric by which composers are compared."""
NO_TRUTH = "no queries with known answers were given (--validate-by)"
TOO_FEW = "too few of the queries could be asked"
"""Why a composer has no verdict."""


@dataclass(frozen=True)
class Space:
    """Pictures encoded by one encoder."""

    encoder: Encoder
    names: Sequence[str]
    vectors: Vectors
    """The vectors `(n, d)` of these pictures."""
    folder: Path
    """The folder that the names start from, for a composer that reads the pictures."""
    label: str = ""
    """The suffix of a baseline's name, such as " with the encoder of before"."""
    limits: Limits = DEFAULT_LIMITS
    """What a picture may cost when it is read again."""


@dataclass(frozen=True)
class _Asked:
    """Queries with known answers and the rows of their pictures."""

    queries: list[TruthQuery]
    references: NDArray[np.int64]
    targets: list[Rows]
    excluded: list[Rows]
    candidates: list[Rows | None]
    choosing: NDArray[np.bool_]
    """Whether a query is in the half that selects the baseline. The other half measures."""

    @classmethod
    def of(cls, truth: TruthQueries, names: Sequence[str]) -> "_Asked":
        """The queries whose reference and at least one target are among `names`."""
        row_of = {name: row for row, name in enumerate(names)}

        def rows(wanted: frozenset[str]) -> Rows:
            return np.array(sorted(row_of[name] for name in wanted if name in row_of), np.int64)

        asked = [query for query in truth.queries if query.reference in row_of and len(rows(query.targets))]
        halves = _halves({query.reference for query in asked})
        return cls(
            asked,
            np.array([row_of[query.reference] for query in asked], np.int64),
            [rows(query.targets) for query in asked],
            [rows(query.exclude | {query.reference}) for query in asked],
            [None if query.candidates is None else rows(query.candidates) for query in asked],
            np.array([query.reference in halves for query in asked], np.bool_),
        )

    def values(self, composer: Composer, space: Space, threads: int | None) -> dict[str, Values]:
        """Each query's metrics."""
        return self.measured(self.composed(composer, space, threads), composer.gallery(space.vectors))

    def composed(self, composer: Composer, space: Space, threads: int | None) -> Vectors:
        """Each query's vector."""
        references, texts = space.vectors[self.references], [query.text for query in self.queries]
        if reads_pixels(composer):
            names = sorted({query.reference for query in self.queries})
            loaded = load_pictures(
                space.folder,
                names,
                threads=threads or os.cpu_count() or 1,
                prepare=space.encoder.prepare,
                limits=space.limits,
            )
            pixels = in_batches((item for item in loaded), lambda name: space.folder / name)
            patches = np.concatenate([composer.look(some) for some in pixels])
            place = {name: row for row, name in enumerate(names)}
            asked = patches[[place[query.reference] for query in self.queries]]
            queries = composer.compose(references, texts, patches=asked)
        else:
            queries = composer.compose(references, texts)
        require_finite_rows(queries, lambda row: repr(texts[row]), "the composer")
        return queries

    def measured(self, queries: Vectors, gallery: Vectors) -> dict[str, Values]:
        """Each query's metrics, by its vector and those of the pictures."""
        return per_query(ranks_of_targets(queries, gallery, self.targets, self.excluded, self.candidates), (10,), (10,))


def judge(
    composer: Composer,
    truth: TruthQueries,
    space: Space,
    *,
    before: Space | None = None,
    threads: int | None = None,
) -> Verdict | None:
    """The verdict on a composer; None if too few of the queries can be asked.

    Half of the references, chosen by a hash of their names, select the weight of the sum and the best baseline: picture
    only, text only, or that sum. On the other half the composer is compared with that baseline. Each reference counts
    once, however many queries it has. The interval is by bootstrap (Efron and Tibshirani, *An Introduction to the
    Bootstrap*, 1993).

    Args:
        composer: the composer, with its encoder attached.
        truth: the queries.
        space: the pictures to search, encoded by the composer's encoder.
        before: the same pictures by another encoder, whose baselines must be beaten, too.
        threads: processor threads that read pictures.
    """
    asked = _Asked.of(truth, space.names)
    if min(int(asked.choosing.sum()), int((~asked.choosing).sum())) < LEAST_QUERIES // 4:
        return None
    weight, baselines = _baselines(asked, space)
    if before is not None:
        baselines |= _baselines(asked, before)[1]
    against = max(baselines, key=lambda name: _merit(baselines[name], asked.choosing))
    own = asked.values(composer, space, threads)[METRIC]
    other = baselines[against][METRIC]
    measured = np.flatnonzero(~asked.choosing)
    table = _by_reference(np.stack([own, other, own - other], axis=1)[measured], asked.references[measured])
    recall, baseline, difference = (100 * table.mean(axis=0)).tolist()
    low, high = (100 * bootstrap_intervals(table[:, 2:])[0]).tolist()
    return Verdict(
        decided="better" if low > 0 else "worse" if high < 0 else "undecided",
        against=against,
        recall=round(recall, 2),
        baseline_recall=round(baseline, 2),
        difference=round(difference, 2),
        interval=(round(low, 2), round(high, 2)),
        queries=len(measured),
        source=truth.source,
        sum_weight=weight,
    )


def judge_composer(
    composer: Path | str,
    catalog: Path | str,
    truth: TruthQueries,
    *,
    encoder: Encoder | str | None = None,
    runtime: Runtime = Runtime(),
) -> Verdict:
    """Judge an existing composer by queries with known answers, and store the verdict in its folder.

    Args:
        composer: folder of the composer.
        catalog: folder of a catalog by the composer's encoder.
        truth: the queries, as `truth_queries` makes them.
        encoder: the catalog's encoder, or its name; by default the one that the catalog names.
        runtime: what the encoder computes with.

    Returns:
        The verdict.

    Raises:
        MismatchError: composer and catalog have different encoders.
        FailureError: too few of the queries can be asked.
    """
    folder, opened = Path(composer), Catalog(Path(catalog))
    known = opened.encoder(encoder, threads=runtime.threads, device=runtime.device)
    TrainedComposer(folder, runtime.threads).attach(known)
    space = Space(known, opened.names, opened.vectors, opened.root, limits=opened.limits)
    verdict = judge_saved("judge", folder, truth, space, threads=runtime.threads)
    if verdict is None:
        raise FailureError(f"{truth.source}: {TOO_FEW} in {catalog}; give queries about its pictures")
    return verdict


def judge_saved(
    command: str,
    out: Path,
    truth: TruthQueries | None,
    space: Space,
    *,
    before: Space | None = None,
    threads: int | None = None,
) -> Verdict | None:
    """Judge the composer that was written to `out` as it will be used, store the verdict there, and print it.

    Words of the queries that its encoder does not understand are reported, too.

    Args:
        command: the command, for messages.
        out: the composer's folder.
        truth: the queries, if there are any.
        space, before, threads: as of `judge`.
    """
    verdict, reason = None, NO_TRUTH
    if truth is not None:
        texts = [query.text for query in truth.queries]
        report_texts(texts, space.encoder, f"--validate-by, {truth.source}", short_name(space.encoder))
        composer = TrainedComposer(out, threads)
        composer.attach(space.encoder)
        if kept := _kept_by_truth(composer, truth, space, threads):
            shares = f"what is learnt counts {kept.trust:.2f} and the weighted sum {1 - kept.trust:.2f}"
            say(f"{command}: by the true answers of half of the references, {shares}")
            write_json(out / "config.json", read_json(out / "config.json", "composer") | {"kept_sum": kept.as_json()})
            composer = composer.with_kept_sum(kept)
        verdict = judge(composer, truth, space, before=before, threads=threads)
        reason = TOO_FEW
    config = read_json(out / "config.json", "composer")
    config.pop("no_verdict", None)
    why = {} if verdict else {"no_verdict": reason}
    write_json(out / "config.json", config | {"verdict": asdict(verdict) if verdict else None} | why)
    if verdict is not None:
        say(f"{command}: this composer {verdict}")
    return verdict


def report_missing_verdict(command: str, verdict: Verdict | None, truth: TruthQueries | None) -> None:
    """Print, if there is no verdict, that nobody knows whether the composer helps, and why."""
    if verdict is None:
        reason = NO_TRUTH if truth is None else TOO_FEW
        say(f"{command}: it is not known whether this composer helps: {reason}")


def _kept_by_truth(composer: TrainedComposer, truth: TruthQueries, space: Space, threads: int | None) -> KeptSum | None:
    """The weights with which the selecting half of the queries is answered best."""
    asked, kept = _Asked.of(truth, space.names), composer.kept_sum
    if kept is None or int(asked.choosing.sum()) < LEAST_QUERIES // 4:
        return None
    chosen = replace(kept, weight=_baselines(asked, space)[0])
    alone = composer.with_kept_sum(None)
    learnt, gallery = asked.composed(alone, space, threads), alone.gallery(space.vectors)
    references = space.vectors[asked.references]
    texts = alone.text_vectors([query.text for query in asked.queries])
    values = {}
    for trust in TRUSTS:
        mixed = replace(chosen, trust=trust)
        found = asked.measured(
            mixed.queries(mixed.sums(references, texts), learnt), mixed.pictures(space.vectors, gallery)
        )
        values[trust] = _by_reference(found[METRIC][asked.choosing, None], asked.references[asked.choosing])[:, 0]
    return replace(chosen, trust=trust_by_truth(values, kept.trust))


def _baselines(asked: _Asked, space: Space) -> tuple[float, dict[str, dict[str, Values]]]:
    """The weight with which the sum is best on the selecting half, and the metrics of each baseline."""
    references = space.vectors[asked.references]
    texts = TextOnly(space.encoder, signed=True).compose(references, [query.text for query in asked.queries])

    def of_sum(weight: float) -> dict[str, Values]:
        return asked.measured(WeightedSum.blend(references, texts, weight), space.vectors)

    measured = {weight: of_sum(weight) for weight in WEIGHTS}
    weight = max(WEIGHTS, key=lambda one: _merit(measured[one], asked.choosing))
    picture = asked.measured(PictureOnly().compose(references, []), space.vectors)
    found = {"sum": measured[weight], "picture": picture, "text": asked.measured(unit(texts), space.vectors)}
    return weight, {name + space.label: values for name, values in found.items()}


def _merit(values: dict[str, Values], rows: NDArray[np.bool_]) -> tuple[float, float]:
    """The criterion of selection: R@10, then mAP@10."""
    return float(values[METRIC][rows].mean()), float(values["mAP@10"][rows].mean())


def _by_reference(values: NDArray[np.float64], references: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean row of each reference's queries."""
    _, place, counts = np.unique(references, return_inverse=True, return_counts=True)
    total = np.zeros((len(counts), values.shape[1]))
    np.add.at(total, place, values)
    return total / counts[:, None]


def _halves(references: set[str]) -> set[str]:
    """Half of the references, chosen by a hash of their names."""
    ordered = sorted(references, key=lambda name: sha256(name.encode()).hexdigest())
    return set(ordered[::2])
