"""Benchmarks: tasks, protocols, settings and submission files."""
