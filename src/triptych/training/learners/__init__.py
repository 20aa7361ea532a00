"""Learners for the training loop: each holds a model, its data and its loss."""
