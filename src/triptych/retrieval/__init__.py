"""Search: open a catalog once, then search it many times, change it, or re-rank its results."""
