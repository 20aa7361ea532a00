"""What learns in the training loop: each learner is a model, its data and its loss."""
