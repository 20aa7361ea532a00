"""A folder of pictures on disk, with their vectors: add, refresh, filter."""
