"""The torch modules of encoders; imported by what trains alone."""
