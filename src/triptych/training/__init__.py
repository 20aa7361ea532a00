"""All that learns: encoders, composers and inversion baselines."""
