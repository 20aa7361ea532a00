"""The torch modules of composers; imported by what trains alone."""
