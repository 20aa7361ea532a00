"""Triplets as a dataset: statistics, samples, a person's review, reasoners side by side, and the ways in and out."""

from triptych.curation.comparing import triplets_compare
from triptych.curation.exporting import triplets_export
from triptych.curation.importing import triplets_import
from triptych.curation.review import triplets_review
from triptych.curation.sampling import triplets_sample
from triptych.curation.statistics import triplets_stats

__all__ = [
    "triplets_compare",
    "triplets_export",
    "triplets_import",
    "triplets_review",
    "triplets_sample",
    "triplets_stats",
]
