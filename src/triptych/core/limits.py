"""The limits on a picture file, apart from what opens it, so that options can name them without a decoder."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What is accepted: pixels on the shorter side, pixels in all, bytes in the file."""

    min_side: int = 8
    max_pixels: int = 64_000_000
    max_bytes: int = 256 * 1024 * 1024


DEFAULT_LIMITS = Limits()
