"""What every subpackage needs and that is not about retrieval: errors, files,
pictures, text, vectors, graphs, options."""
