"""Ranks, recall, average precision and nDCG: the one place where a metric is computed."""

from triptych.metrics.measures import average_precision_at, means, per_query, recall_at, summarise
from triptych.metrics.ranking import Rows, RowsLike, ranks_of_targets

__all__ = [
    "Rows",
    "RowsLike",
    "average_precision_at",
    "means",
    "per_query",
    "ranks_of_targets",
    "recall_at",
    "summarise",
]
