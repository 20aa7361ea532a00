"""Encoders: pictures and texts become unit vectors of one shared space."""
