"""Triplets as a data set: the record and its file, statistics, samples, review, import and export."""
