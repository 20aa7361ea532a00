"""Encoders, composers and vectors in the forms that other programs read."""
