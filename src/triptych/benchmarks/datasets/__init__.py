"""One module for each data set: how its queries and galleries are read."""
