"""The rows of bench/peers.py: this program and its peers, side by side."""
