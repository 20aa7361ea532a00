"""The verdict on an encoder: whether it is better than another on products that it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych.composers.baselines import DEFAULT_WEIGHT, WeightedSum
from triptych.composers.truth import TruthQueries, Verdict
from triptych.core.vectors import Vectors
from triptych.encoders.native import NativeEncoder, normalise
from triptych.encoders.training_statistics import TrainingStatistics
from triptych.metrics.measures import Values, per_query
from triptych.metrics.ranking import ranks_of_targets
from triptych.metrics.resampling import bootstrap_intervals
from triptych.training.data.pixels import Bytes

_CUTOFFS = (1, 5, 10)  # k of R@k
_METRIC = "R@10"
_BLOCK = 64  # pictures encoded at once
_STATISTICS = 2000  # the most pictures for training statistics, which need far fewer for their 64 directions


@dataclass(frozen=True)
class HeldOut:
    """Held-out pairs, prepared for both encoders."""

    names: Sequence[str]
    pixels: Bytes
    titles: Sequence[str]


def picture_vectors(encoder: NativeEncoder, pixels: Bytes) -> Vectors:
    """Vectors `(n, d)` of bytes `(n, 3, size, size)`, by the encoder's exported graph."""
    starts = range(0, len(pixels), _BLOCK)
    return np.concatenate([encoder.encode_pictures(normalise(pixels[start : start + _BLOCK])) for start in starts])


def keep_statistics(encoder: NativeEncoder, pixels: Bytes, rows: NDArray[np.int64]) -> None:
    """Compute an encoder's training statistics from some rows of the pictures, and write them to its folder."""
    some = rows[:: max(1, len(rows) // _STATISTICS)][:_STATISTICS]
    statistics = TrainingStatistics.of(picture_vectors(encoder, pixels[np.sort(some)]))
    if statistics:
        statistics.save(encoder.folder)


@dataclass(frozen=True)
class EncodedPairs:
    """The held-out pairs, encoded by one encoder."""

    encoder: NativeEncoder
    pairs: HeldOut
    vectors: Vectors
    """The pictures' vectors `(n, d)`."""

    @classmethod
    def of(cls, encoder: NativeEncoder, pairs: HeldOut) -> "EncodedPairs":
        """Encode the pictures."""
        return cls(encoder, pairs, picture_vectors(encoder, pairs.pixels))

    @cached_property
    def titles(self) -> dict[str, Values]:
        """R@1, R@5 and R@10 of each pair: 1 if a picture with the pair's title is among the first k, else 0."""
        titles = [title.casefold() for title in self.pairs.titles]
        targets = [[row for row, other in enumerate(titles) if other == title] for title in titles]
        return self._measured(self.encoder.encode_texts(self.pairs.titles), targets, [[] for _ in titles])

    def queries(self, truth: TruthQueries) -> dict[str, Values]:
        """R@1, R@5 and R@10 of each query by the sum of picture and words: 1 if an answer is among the first k."""
        row_of = {name: row for row, name in enumerate(self.pairs.names)}
        targets = [sorted(row_of[name] for name in query.targets) for query in truth.queries]
        references = [row_of[query.reference] for query in truth.queries]
        texts = self.encoder.encode_texts([query.text for query in truth.queries])
        added = WeightedSum.blend(self.vectors[references], texts, DEFAULT_WEIGHT)
        return self._measured(added, targets, [[row] for row in references])

    def _measured(
        self, queries: Vectors, targets: Sequence[Sequence[int]], excluded: Sequence[Sequence[int]]
    ) -> dict[str, Values]:
        answers, others = ([np.array(some, np.int64) for some in lists] for lists in (targets, excluded))
        ranks = ranks_of_targets(queries, self.vectors, answers, others, [None for _ in targets])
        return per_query(ranks, _CUTOFFS, ())


def judge_titles(before: EncodedPairs, after: EncodedPairs) -> Verdict:
    """Decide whether titles find their pictures more often than before. Pairs with equal titles count as one."""
    groups = np.unique([title.casefold() for title in after.pairs.titles], return_inverse=True)[1]
    return _verdict(before, after, before.titles, after.titles, groups, "titles of products not learnt from")


def judge_queries(before: EncodedPairs, after: EncodedPairs, truth: TruthQueries) -> Verdict:
    """Decide whether the sum of picture and words finds more than before. Queries with one reference count as one."""
    groups = np.unique([query.reference for query in truth.queries], return_inverse=True)[1]
    source = f"{truth.source}, products not learnt from"
    return _verdict(before, after, before.queries(truth), after.queries(truth), groups, source)


def _verdict(
    before: EncodedPairs,
    after: EncodedPairs,
    old: dict[str, Values],
    new: dict[str, Values],
    groups: NDArray[np.int64],
    source: str,
) -> Verdict:
    """Make the verdict from R@10, with the 95 % interval of a paired bootstrap over groups."""
    values = np.stack([new[_METRIC], old[_METRIC], new[_METRIC] - old[_METRIC]], axis=1)
    table = np.zeros((groups.max() + 1, 3))
    np.add.at(table, groups, values)
    table /= np.bincount(groups)[:, None]
    recall, baseline, difference = (100 * table.mean(axis=0)).tolist()
    low, high = (100 * bootstrap_intervals(table[:, 2:])[0]).tolist()
    return Verdict(
        decided="better" if low > 0 else "worse" if high < 0 else "undecided",
        against=Path(before.encoder.name).name,
        recall=round(recall, 2),
        baseline_recall=round(baseline, 2),
        difference=round(difference, 2),
        interval=(round(low, 2), round(high, 2)),
        queries=len(groups),
        source=source,
        sum_weight=DEFAULT_WEIGHT,
    )
