"""Search: a catalog opened once and searched many times, changed, re-ranked."""
