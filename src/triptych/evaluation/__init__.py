"""Measure methods on benchmarks, and compare and tabulate the results."""
