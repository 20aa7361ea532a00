"""Everything that learns: encoders, composers and textual-inversion baselines."""
