"""Torch modules of composers. Only training imports them."""
