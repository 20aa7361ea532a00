"""Ranks, recall, average precision and nDCG, and significance tests. All metrics are computed here and nowhere else."""
