"""A picture or a text becomes a unit vector in one shared space."""
