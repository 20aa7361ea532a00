"""Triplets as a dataset: what is in them, a sample to look at, a person's review, and the ways in and out."""

from triptych.curation.exporting import triplets_export
from triptych.curation.importing import triplets_import
from triptych.curation.review import triplets_review
from triptych.curation.sampling import triplets_sample
from triptych.curation.statistics import triplets_stats

__all__ = ["triplets_export", "triplets_import", "triplets_review", "triplets_sample", "triplets_stats"]
