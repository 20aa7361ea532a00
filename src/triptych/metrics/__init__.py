"""Ranks, recall, average precision and nDCG, and what can be concluded from them: computed here and nowhere else."""

from triptych.metrics.measures import Values, average_precision_at, means, per_query, recall_at, summarise
from triptych.metrics.ranking import Rows, RowsLike, ranks_of_targets
from triptych.metrics.resampling import bootstrap_intervals, sign_flip_test

__all__ = [
    "Rows",
    "RowsLike",
    "Values",
    "average_precision_at",
    "bootstrap_intervals",
    "means",
    "per_query",
    "ranks_of_targets",
    "recall_at",
    "sign_flip_test",
    "summarise",
]
