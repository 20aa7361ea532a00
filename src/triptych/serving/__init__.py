"""A catalog over HTTP: a service for programs, and a search page for people."""
