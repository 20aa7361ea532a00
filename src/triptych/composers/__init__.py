"""Composers map a reference and a modification to a query vector: the protocol, baselines, and trained composers."""
