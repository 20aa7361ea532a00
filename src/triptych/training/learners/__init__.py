"""Learners for the training loop: each is a model with its data and its loss."""
