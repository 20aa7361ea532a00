"""Patterns woven into cloth, as masks of where the second colour shows."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from triptych.benchmarks.datasets.wardrobe.cuts import Cut

Field = npt.NDArray[np.float32]


@lru_cache(maxsize=4)
def _grid(side: int) -> tuple[Field, Field]:
    units = (np.arange(side, dtype=np.float32) + 0.5) * np.float32(100 / side) - 50
    x, y = np.meshgrid(units, units)
    return x, y


def weave(pattern: str, cut: Cut, turn: float, side: int) -> Image.Image | None:
    """Where a square of cloth of `side` pixels, turned by `turn` degrees, shows the second colour (mode L).

    None if the pattern is plain.
    """
    if pattern == "plain":
        return None
    x, y = _grid(side)
    # Dots, flowers and checks sit upright unless the line likes them on the bias.
    free = pattern == "striped" or (pattern == "checked" and abs(cut.weave_angle) == 45)
    angle = np.deg2rad(turn + (cut.weave_angle if free else 0.0))
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    shown = _PATTERNS[pattern](x * cosine + y * sine, y * cosine - x * sine, cut)
    return Image.fromarray((shown * 255).astype(np.uint8))


def _wave(u: Field, period: float) -> Field:
    """The place within a period, 0 to 1."""
    turns: Field = u / np.float32(period)
    place: Field = turns - np.floor(turns)
    return place


def _striped(u: Field, v: Field, cut: Cut) -> Field:
    period = 10.5 + 3.5 * cut.weave_scale
    place = _wave(v, period)
    shown = place < 0.36 + 0.1 * cut.weave_share
    if cut.weave_style > 0.6:
        shown |= np.abs(place - 0.72) < 0.07
    return shown.astype(np.float32)


def _checked(u: Field, v: Field, cut: Cut) -> Field:
    period = 12.5 + 3.5 * cut.weave_scale
    across, along = _wave(u, period), _wave(v, period)
    if cut.weave_style < 0.55:
        return 0.5 * ((across < 0.45).astype(np.float32) + (along < 0.45))
    shown = 0.42 * ((across < 0.4).astype(np.float32) + (along < 0.4))
    shown[(np.abs(across - 0.72) < 0.055) | (np.abs(along - 0.72) < 0.055)] = 1
    return shown


def _lattice(u: Field, v: Field, period: float) -> tuple[Field, Field]:
    """Coordinates around the nearest point of a staggered lattice."""
    row = np.floor(v / np.float32(period))
    shifted = u / np.float32(period) + 0.5 * (row - 2 * np.floor(row / 2))
    return (
        (shifted - np.floor(shifted) - 0.5) * np.float32(period),
        (v / np.float32(period) - row - 0.5) * np.float32(period),
    )


def _dotted(u: Field, v: Field, cut: Cut) -> Field:
    period = 9.2 + 2.4 * cut.weave_scale
    a, b = _lattice(u, v, period)
    radius = period * (0.27 + 0.06 * cut.weave_share)
    return (a * a + b * b < radius * radius).astype(np.float32)


def _zigzag(u: Field, v: Field, cut: Cut) -> Field:
    period = 11.5 + 2.5 * cut.weave_scale
    teeth = np.abs(_wave(u, period * (1.0 + 0.3 * cut.weave_style)) - 0.5) * np.float32(period * 1.1)
    return (_wave(v + teeth, period) < 0.4 + 0.06 * cut.weave_share).astype(np.float32)


def _floral(u: Field, v: Field, cut: Cut) -> Field:
    period = 14 + 2.5 * cut.weave_scale
    a, b = _lattice(u, v, period)
    distance = np.sqrt(a * a + b * b)
    petals = 5 if cut.weave_style < 0.5 else 4
    reach = period * (0.33 + 0.04 * cut.weave_share)
    bloom = reach * (0.72 + 0.28 * np.cos(petals * np.arctan2(a, b)))
    # A small leaf beside each flower keeps it from reading as a dot.
    leaf = np.abs(a + b) + 2.2 * np.abs(a - b - period * 0.78) < period * 0.3
    heart = distance < reach * 0.27
    shown: Field = ((distance < bloom) & ~heart) + np.float32(0.6) * leaf
    return np.minimum(shown, 1)


_PATTERNS = {
    "striped": _striped,
    "checked": _checked,
    "dotted": _dotted,
    "zigzag": _zigzag,
    "floral": _floral,
}
