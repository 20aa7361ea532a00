"""The limits on a picture file, apart from what opens it, so that options can name them without a decoder."""

from dataclasses import dataclass
from typing import Any, Self

from triptych.core.options import option


@dataclass(frozen=True)
class Limits:
    """What is accepted: pixels on the shorter side, pixels in all, bytes in the file, and the work it makes.

    `max_scans` is of a JPEG; each is a pass over all its pixels, and encoders write about ten. `max_parts` is of
    segments, chunks, blocks, tiles or strips. `max_seconds` of processor time hold where a picture is decoded in a
    process of its own (`core.decoders`).
    """

    min_side: int = 8
    max_pixels: int = 64_000_000
    max_bytes: int = 256 * 1024 * 1024
    max_scans: int = 50
    max_parts: int = 65_536
    max_seconds: float = 20.0

    @classmethod
    def of_millions(cls, pixels: float) -> Self:
        """The usual ones, but for so many millions of pixels in all, and time for them."""
        most = int(pixels * 1e6)
        return cls(max_pixels=most, max_seconds=cls.max_seconds * max(1.0, most / cls.max_pixels))


DEFAULT_LIMITS = Limits()
MAX_PIXELS_HELP = "Largest picture, in millions of pixels."


def max_pixels_option() -> Any:
    """A field `max_pixels` of options: the largest picture, in millions of pixels."""
    return option(DEFAULT_LIMITS.max_pixels / 1e6, MAX_PIXELS_HELP, min=0.01, max=10_000)
