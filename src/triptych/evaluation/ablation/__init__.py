"""Ablation: recipes of options, run over seeds on val queries, as a table and a picture."""
