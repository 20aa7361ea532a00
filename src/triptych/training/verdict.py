"""The verdict on a composer: whether it is better than picture, text and weighted sum, by queries with known
answers."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.catalog.catalog import Catalog
from triptych.composers.baselines import DEFAULT_WEIGHT, WEIGHTS, PictureOnly, TextOnly, WeightedSum
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
from triptych.core.remote import Place
from triptych.core.vectors import Vectors, require_finite_rows, unit
from triptych.encoders.protocol import Encoder, short_name
from triptych.encoders.reading import report_texts
from triptych.metrics.measures import Values, per_query
from triptych.metrics.ranking import Rows, ranks_of_targets
from triptych.metrics.resampling import bootstrap_intervals
from triptych.training.trust import TRUSTS, trust_by_truth

METRIC = "R@10"
"""The metric that selects methods and compares composers."""
LOG_RANK = "log rank"
"""Minus the binary logarithm of the rank of the first right answer: plus one means half the rank."""
Half = NDArray[np.bool_]
"""A mask of some of the queries."""
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
    folder: Place
    """The folder that the names start from, for a composer that reads the pictures."""
    label: str = ""
    """The suffix of the baselines' names, such as " with the encoder of before"."""
    limits: Limits = DEFAULT_LIMITS
    """The limits for pictures that are read again."""


@dataclass(frozen=True)
class _Asked:
    """Queries with known answers and the rows of their pictures."""

    queries: list[TruthQuery]
    references: NDArray[np.int64]
    targets: list[Rows]
    excluded: list[Rows]
    candidates: list[Rows | None]
    choosing: Half
    """Whether each query is in the first half."""

    @classmethod
    def of(cls, truth: TruthQueries, names: Sequence[str]) -> "_Asked":
        """Take the queries whose reference and at least one target are among `names`."""
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
        """Compute each query's metrics."""
        return self.measured(self.composed(composer, space, threads), composer.gallery(space.vectors))

    def composed(self, composer: Composer, space: Space, threads: int | None) -> Vectors:
        """Compute each query's vector."""
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
        """Compute each query's metrics from its vector and the vectors of the pictures."""
        ranks = ranks_of_targets(queries, gallery, self.targets, self.excluded, self.candidates)
        first = np.array([min(int(rank[0]), len(gallery) + 1) for rank in ranks])
        return per_query(ranks, (10,), (10,)) | {LOG_RANK: -np.log2(first)}

    @property
    def too_few(self) -> bool:
        """Whether one of the halves has too few queries for a verdict."""
        return min(int(self.choosing.sum()), int((~self.choosing).sum())) < LEAST_QUERIES // 4

    def crossed(self, chosen_by: Callable[[Half], dict[str, Values]]) -> dict[str, Values]:
        """Compute each query's metrics by the method that is best on the other half of the queries.

        Args:
            chosen_by: selects a method by the masked queries and returns its metrics on all.
        """
        found = [chosen_by(self.choosing), chosen_by(~self.choosing)]
        return {name: np.where(self.choosing, found[1][name], found[0][name]) for name in (METRIC, LOG_RANK)}


def judge(
    composer: Composer,
    truth: TruthQueries,
    space: Space,
    *,
    before: Space | None = None,
    threads: int | None = None,
) -> Verdict | None:
    """The verdict on a composer; None if too few of the queries can be asked.

    Each half of the references, divided by a hash of their names, selects the weight of the sum and the best baseline
    (picture only, text only, or that sum) with which the composer is compared on the other half. Each reference counts
    once, however many queries it has. The intervals are by bootstrap (Efron and Tibshirani, *An Introduction to the
    Bootstrap*, 1993).

    R@10 is 0 or 1 for a query, so a hundred queries rarely distinguish two methods. The rank of the first right answer
    holds more information. Its logarithm is used, so that the step from 1 to 2 is as large as from 100 to 200. The
    verdict is decided if the interval of one of the two metrics excludes 0 and that of the other is not on the opposite
    side.

    Args:
        composer: the composer, with its encoder attached.
        truth: the queries.
        space: the pictures to search, encoded by the composer's encoder.
        before: the same pictures, encoded by another encoder, whose baselines must be beaten, too.
        threads: the number of threads that read pictures.
    """
    asked = _Asked.of(truth, space.names)
    if asked.too_few:
        return None
    baselines = _Baselines.of(asked, space, before)
    return _compare(asked, asked.values(composer, space, threads), baselines, truth.source)


def _compare(asked: _Asked, own: dict[str, Values], baselines: "_Baselines", source: str) -> Verdict:
    """Compare metrics of the composer with those of the baselines."""
    other = asked.crossed(lambda half: baselines.best(half)[1])
    columns = (own[METRIC], other[METRIC], own[METRIC] - other[METRIC], own[LOG_RANK] - other[LOG_RANK])
    table = _by_reference(np.stack(columns, axis=1), asked.references)
    recall, baseline, difference, ranks = table.mean(axis=0).tolist()
    points, places = bootstrap_intervals(table[:, 2:]).tolist()
    ends = (*points, *places)
    up, down = points[0] > 0 or places[0] > 0, points[1] < 0 or places[1] < 0
    every = np.ones(len(asked.queries), np.bool_)
    return Verdict(
        decided="undecided" if up == down else "better" if up else "worse",
        against=baselines.best(every)[0],
        recall=round(100 * recall, 2),
        baseline_recall=round(100 * baseline, 2),
        difference=round(100 * difference, 2),
        interval=(round(100 * ends[0], 2), round(100 * ends[1], 2)),
        queries=len(asked.queries),
        source=source,
        sum_weight=baselines.weight(every),
        rank_ratio=round(2**ranks, 3),
        rank_ratio_interval=(round(2 ** ends[2], 3), round(2 ** ends[3], 3)),
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
    """Judge the composer in `out`, store the verdict there, and print it.

    Words of the queries that the composer's encoder does not know are reported, too.

    Args:
        command: the command, for messages.
        out: the composer's folder.
        truth: the queries, or None.
        space, before, threads: as for `judge`.
    """
    verdict, reason = None, NO_TRUTH
    if truth is not None:
        texts = [query.text for query in truth.queries]
        report_texts(texts, space.encoder, f"--validate-by, {truth.source}", short_name(space.encoder))
        composer = TrainedComposer(out, threads)
        composer.attach(space.encoder)
        asked, reason = _Asked.of(truth, space.names), TOO_FEW
        if not asked.too_few:
            baselines = _Baselines.of(asked, space, before)
            if composer.kept_sum is None:
                own = asked.values(composer, space, threads)
            else:
                kept, own = _kept_by_truth(composer, composer.kept_sum, asked, baselines, threads)
                shares = f"the learnt vectors have weight {kept.trust:.2f} and the weighted sum {1 - kept.trust:.2f}"
                say(f"{command}: by the known answers, {shares}")
                stored = read_json(out / "config.json", "composer")
                write_json(out / "config.json", stored | {"kept_sum": kept.as_json()})
            verdict = _compare(asked, own, baselines, truth.source)
    config = read_json(out / "config.json", "composer")
    config.pop("no_verdict", None)
    why = {} if verdict else {"no_verdict": reason}
    write_json(out / "config.json", config | {"verdict": asdict(verdict) if verdict else None} | why)
    if verdict is not None:
        say(f"{command}: this composer {verdict}")
    return verdict


def report_missing_verdict(command: str, verdict: Verdict | None, truth: TruthQueries | None) -> None:
    """If there is no verdict, print that it is unknown whether the composer helps, and why."""
    if verdict is None:
        reason = NO_TRUTH if truth is None else TOO_FEW
        say(f"{command}: it is unknown whether this composer helps: {reason}")


def _kept_by_truth(
    composer: TrainedComposer, kept: KeptSum, asked: _Asked, baselines: "_Baselines", threads: int | None
) -> tuple[KeptSum, dict[str, Values]]:
    """Select the weights that answer the queries best.

    Returns:
        The weights selected by all queries, and each query's metrics with the weights selected by the other half.
    """
    space = baselines.space
    alone = composer.with_kept_sum(None)
    learnt, gallery = asked.composed(alone, space, threads), alone.gallery(space.vectors)
    references = space.vectors[asked.references]
    texts = alone.text_vectors([query.text for query in asked.queries])

    @cache
    def measured(mixed: KeptSum) -> dict[str, Values]:
        queries = mixed.queries(mixed.sums(references, texts), learnt)
        return asked.measured(queries, mixed.pictures(space.vectors, gallery))

    def select(half: Half) -> KeptSum:
        weighted = replace(kept, weight=baselines.weight(half))
        values = {
            trust: _by_reference(measured(replace(weighted, trust=trust))[METRIC][half, None], asked.references[half])[
                :, 0
            ]
            for trust in TRUSTS
        }
        return replace(weighted, trust=trust_by_truth(values, kept.trust))

    every = np.ones(len(asked.queries), np.bool_)
    return select(every), asked.crossed(lambda half: measured(select(half)))


@dataclass(frozen=True)
class _Baselines:
    """The metrics of the methods that need no training."""

    space: Space
    alone: dict[str, dict[str, Values]]
    """The metrics of picture only and text only, by name."""
    sums: dict[str, dict[float, dict[str, Values]]]
    """The metrics of the sum with each weight, by name."""

    @classmethod
    def of(cls, asked: _Asked, space: Space, before: Space | None) -> "_Baselines":
        """Measure the baselines of an encoder and, if there is one, of another encoder."""
        alone, sums = {}, {}
        for each in (space, before):
            if each is None:
                continue
            references = each.vectors[asked.references]
            texts = TextOnly(each.encoder, signed=True).compose(references, [query.text for query in asked.queries])
            sums["sum" + each.label] = {
                weight: asked.measured(WeightedSum.blend(references, texts, weight), each.vectors) for weight in WEIGHTS
            }
            alone["picture" + each.label] = asked.measured(PictureOnly().compose(references, []), each.vectors)
            alone["text" + each.label] = asked.measured(unit(texts), each.vectors)
        return cls(space, alone, sums)

    def weight(self, half: Half) -> float:
        """The best weight of the encoder's sum on the masked queries."""
        return _best_weight(self.sums["sum" + self.space.label], half)

    def best(self, half: Half) -> tuple[str, dict[str, Values]]:
        """The best baseline on the masked queries, and its metrics on all."""
        sums = {name: each[_best_weight(each, half)] for name, each in self.sums.items()}
        found = sums | self.alone
        name = max(found, key=lambda one: _merit(found[one], half))
        return name, found[name]


def _best_weight(measured: dict[float, dict[str, Values]], half: Half) -> float:
    """The best weight of a sum on the masked queries.

    The default weight is kept unless another one is better by more than a standard error, since among 19 weights on
    fifty queries one is better by chance.
    """
    best = max(WEIGHTS, key=lambda one: _merit(measured[one], half))
    gain = measured[best][METRIC][half] - measured[DEFAULT_WEIGHT][METRIC][half]
    return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else DEFAULT_WEIGHT


def _merit(values: dict[str, Values], rows: NDArray[np.bool_]) -> tuple[float, float]:
    """The criterion of selection: R@10, then mAP@10."""
    return float(values[METRIC][rows].mean()), float(values["mAP@10"][rows].mean())


def _by_reference(values: NDArray[np.float64], references: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean over each reference's queries, one row for each reference."""
    _, place, counts = np.unique(references, return_inverse=True, return_counts=True)
    total = np.zeros((len(counts), values.shape[1]))
    np.add.at(total, place, values)
    return total / counts[:, None]


def _halves(references: set[str]) -> set[str]:
    """Half of the references, chosen by a hash of their names."""
    ordered = sorted(references, key=lambda name: sha256(name.encode()).hexdigest())
    return set(ordered[::2])
