"""Limits on picture files, in a module without a decoder, so that options can use them."""

from dataclasses import dataclass
from typing import Any, Self

from triptych.core.options import option


@dataclass(frozen=True)
class Limits:
    """The largest picture that is accepted: by its shorter side, pixels, bytes, and the work that decoding takes.

    `max_scans` is about JPEGs: each scan is a pass over all pixels, and encoders write about ten. `max_parts` counts
    segments, chunks, blocks, tiles or strips. `max_seconds` of processor time apply if a picture is decoded in a
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
        """The default limits, but for this many millions of pixels, with the time for them."""
        most = int(pixels * 1e6)
        return cls(max_pixels=most, max_seconds=cls.max_seconds * max(1.0, most / cls.max_pixels))


DEFAULT_LIMITS = Limits()
MAX_PIXELS_HELP = "Largest picture, in millions of pixels."


def max_pixels_option() -> Any:
    """Make the field `max_pixels` of an options dataclass: the largest picture, in millions of pixels."""
    return option(DEFAULT_LIMITS.max_pixels / 1e6, MAX_PIXELS_HELP, min=0.01, max=10_000)
