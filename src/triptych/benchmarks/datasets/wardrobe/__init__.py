"""The embedded world: drawn garments, and the queries that lead from one to another."""
