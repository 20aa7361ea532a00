"""One module for each data set, which reads its queries and galleries."""
