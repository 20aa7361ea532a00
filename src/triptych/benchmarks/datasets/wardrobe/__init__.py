"""The built-in data set: drawn garments, and queries that lead from one to another."""
