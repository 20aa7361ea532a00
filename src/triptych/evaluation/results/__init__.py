"""Read result files, compare them, average them over seeds, and format them as tables."""
