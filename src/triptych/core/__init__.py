"""What every room needs and that knows nothing of retrieval: errors, files, images, text, vectors, graphs."""
