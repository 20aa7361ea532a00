"""Torch modules of encoders. Only training imports them."""
