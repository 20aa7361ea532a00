"""Write encoders, composers and vectors for other programs."""
