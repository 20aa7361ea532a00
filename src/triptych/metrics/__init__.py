"""Ranks, recall, average precision and nDCG, and what can be concluded from them: computed here and nowhere else."""
