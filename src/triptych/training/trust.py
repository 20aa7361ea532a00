"""Decide the weight of a composer's learnt vectors beside the weighted sum."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.composers.baselines import DEFAULT_WEIGHT, WeightedSum
from triptych.composers.kept_sum import KeptSum
from triptych.core.vectors import Vectors
from triptych.metrics.measures import per_query
from triptych.metrics.ranking import ranks_of_targets
from triptych.metrics.resampling import bootstrap_intervals
from triptych.training.data.triplets import Numbers, TripletDataset

LEAST, MOST = 0.3, 0.4
"""The range of that weight if no known answers are given and the composer generalises.

Within it the weight is the share of the agent's own targets that the weighted sum finds, since the sum does not
depend on the agent's tags. The range was chosen on val queries of product photos and closet with `photos-1`: 0.2 to
0.35 is best for colourways, 0.4 to 0.7 for attributes.
"""
TRUSTS = (0.0, 0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
"""The weights that are tried if known answers are given."""
_METRIC = "R@10"

Learnt = Callable[[Numbers, Numbers], Vectors]
"""Maps rows of triplets and of their wordings to learnt query vectors."""


@dataclass(frozen=True)
class Evidence:
    """What the agent's triplets show about a composer, without labels; R@10 in percent."""

    held_out: float
    """R@10 of learnt queries on references and phrasings that were not trained on."""
    held_out_sum: float
    """R@10 of the weighted sum on the same."""
    training: float
    """R@10 of learnt queries on training triplets."""
    training_sum: float
    """R@10 of the weighted sum on the same."""
    interval: tuple[float, float]
    """The 95 % interval of the held-out gain, by a bootstrap over references."""

    @property
    def kept(self) -> float:
        """The share of the gain over the sum that remains on held-out triplets, from 0 to 1.

        A gain is the share of the answers that the sum misses and the composer finds.
        """
        here = (self.held_out - self.held_out_sum) / max(100 - self.held_out_sum, 1)
        there = (self.training - self.training_sum) / max(100 - self.training_sum, 1)
        return float(np.clip(here / there, 0, 1)) if there > 0 else 0.0

    @property
    def trust(self) -> float:
        """The weight of the learnt vectors that follows from this evidence, from 0 to 1."""
        agreement = float(np.clip(self.held_out_sum / 100, LEAST, MOST))
        return 0.0 if self.interval[0] <= 0 else round(agreement * self.kept, 2)

    def __str__(self) -> str:
        compared = (
            f"R@10 of the learnt vectors is {self.held_out:.1f} on held-out pictures and phrasings (weighted sum "
            f"{self.held_out_sum:.1f}) and {self.training:.1f} on trained ones (weighted sum {self.training_sum:.1f})"
        )
        if self.trust == 0:
            return f"{compared}; this gain is too small or uncertain, so the composer uses the weighted sum only"
        return f"{compared}; so the learnt vectors have weight {self.trust:.2f} and the sum {1 - self.trust:.2f}"


def weigh_evidence(
    data: TripletDataset, pictures: Vectors, queries: Learnt, gallery: Vectors
) -> tuple[KeptSum, Evidence]:
    """Decide the weight of a composer's learnt vectors without labels, by how well it generalises.

    Args:
        data: the triplets.
        pictures: the catalog's vectors `(n, d)`.
        queries: the composer's learnt query side.
        gallery: its learnt gallery vectors `(n, e)`.
    """
    parts = []
    for rows, texts in ((data.held_out, data.held_out_texts), (data.probed, data.probed_texts)):
        first = np.array([data.wordings[row][0] for row in rows])
        learnt = queries(rows, first)
        sums = WeightedSum.blend(pictures[data.references[rows]], texts, DEFAULT_WEIGHT)
        parts.append((rows, learnt, sums, _recall(learnt, gallery, data, rows), _recall(sums, pictures, data, rows)))
    (rows, learnt, sums, own, other), (_, _, _, trained, trained_sum) = parts
    references = data.references[rows]
    gains = np.array([(own - other)[references == one].mean() for one in np.unique(references)])
    low, high = (100 * bootstrap_intervals(gains[:, None])[0]).tolist()
    means = [round(100 * float(values.mean()), 2) for values in (own, other, trained, trained_sum)]
    evidence = Evidence(means[0], means[1], means[2], means[3], (round(low, 2), round(high, 2)))
    spread = (_spread(sums, pictures), _spread(learnt, gallery))
    return KeptSum(evidence.trust, spread, pictures.shape[1]), evidence


def trust_by_truth(values: Mapping[float, NDArray[np.float64]], before: float) -> float:
    """Choose the weight with the best results on known answers, or one that is as good and nearest to `before`.

    A weight is as good if it is behind the best by at most the standard error of the difference.

    Args:
        values: for each weight, the metric of each reference.
        before: the weight that was chosen without labels.
    """
    best = max(values, key=lambda trust: (values[trust].mean(), -abs(trust - before)))
    behind = {trust: values[best] - each for trust, each in values.items()}
    near = [trust for trust, each in behind.items() if each.mean() <= each.std() / len(each) ** 0.5]
    return min(near, key=lambda trust: (abs(trust - before), trust))


def _recall(queries: Vectors, gallery: Vectors, data: TripletDataset, rows: Numbers) -> NDArray[np.float64]:
    excluded = list(data.references[rows][:, None])
    ranks = ranks_of_targets(queries, gallery, list(data.targets[rows]), excluded, [None] * len(rows))
    return per_query(ranks, (10,), ())[_METRIC]


def _spread(queries: Vectors, gallery: Vectors) -> float:
    """The standard deviation of a query's scores, as a mean over some queries."""
    return round(float((queries[:200] @ gallery.T).std(axis=1).mean()), 6)
