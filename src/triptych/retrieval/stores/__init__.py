"""Stores of vectors: in memory, on disk, or in a database."""
