"""Queries over galleries: tasks, protocols, settings and submission files."""
