"""The embedded data set: drawn garments, and queries that lead from one to another."""
