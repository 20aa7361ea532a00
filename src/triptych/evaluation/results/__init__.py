"""Read result files: compare them, average them over seeds, and set them as tables."""
