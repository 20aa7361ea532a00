"""Prints: small pictures on the chest, as outlines in a square from -1 to 1 with y downwards."""

from collections.abc import Mapping
from math import cos, pi, sin

from triptych.benchmarks.datasets.wardrobe.sheet import Points, bend, mirror, whole


def _round(radius: float, x: float = 0, y: float = 0, steps: int = 20) -> Points:
    return [(x + radius * cos(2 * pi * step / steps), y + radius * sin(2 * pi * step / steps)) for step in range(steps)]


def _star() -> Points:
    spokes = []
    for tip in range(10):
        radius = 1.0 if tip % 2 == 0 else 0.44
        spokes.append((radius * sin(pi * tip / 5), -radius * cos(pi * tip / 5)))
    return spokes


def _heart() -> Points:
    right = bend((0, -0.5), (0.25, -1.0), (0.6, -0.92)) + bend((0.6, -0.92), (1.1, -0.8), (0.95, -0.2))
    return whole(right + bend((0.95, -0.2), (0.75, 0.35), (0, 0.95)))


def _moon() -> Points:
    outer = [(cos(a) * 0.98 - 0.05, sin(a) * 0.98) for a in (pi * (0.27 + 1.46 * k / 24) for k in range(25))]
    inner = [(cos(a) * 0.74 + 0.32, sin(a) * 0.74) for a in (pi * (1.66 - 1.32 * k / 24) for k in range(25))]
    return outer + inner


def _petals() -> list[Points]:
    return [_round(0.4, 0.58 * sin(2 * pi * k / 5), -0.58 * cos(2 * pi * k / 5), 14) for k in range(5)]


def _anchor() -> list[Points]:
    shank = [(-0.12, -0.5), (0.12, -0.5), (0.12, 0.9), (-0.12, 0.9)]
    stock = [(-0.48, -0.36), (0.48, -0.36), (0.48, -0.14), (-0.48, -0.14)]
    ring = [*_round(0.28, 0, -0.72), *reversed(_round(0.12, 0, -0.72))]
    arm = [*bend((0, 0.98), (0.8, 0.9), (0.92, 0.2)), (0.62, 0.36), *bend((0.7, 0.4), (0.55, 0.7), (0, 0.7))]
    barb = [(0.5, 0.36), (0.92, 0.02), (1.04, 0.5)]
    return [shank, stock, ring, arm, mirror(arm), barb, mirror(barb)]


def _cat() -> list[Points]:
    ear = [(0.2, -0.5), (0.75, -1.0), (0.88, -0.1)]
    head = [(x, y * 0.82 + 0.15) for x, y in _round(0.92, steps=26)]
    return [head, ear, mirror(ear)]


def _tree() -> list[Points]:
    def tier(top: float, foot: float, half: float) -> Points:
        return whole([(0, top), (half, foot)])

    trunk = whole([(0.15, 0.6), (0.15, 1.0)])
    return [trunk, tier(-1, -0.3, 0.5), tier(-0.6, 0.2, 0.68), tier(-0.15, 0.72, 0.86)]


_BOLT: Points = [(0.28, -1), (-0.62, 0.14), (-0.06, 0.14), (-0.3, 1), (0.62, -0.26), (0.06, -0.26)]

# Outlines that are filled, and outlines that are cut out of them again.
MOTIFS: Mapping[str, tuple[list[Points], list[Points]]] = {
    "star": ([_star()], []),
    "heart": ([_heart()], []),
    "moon": ([_moon()], []),
    "flower": (_petals(), [_round(0.26)]),
    "anchor": (_anchor(), []),
    "lightning bolt": ([_BOLT], []),
    "cat": (
        _cat(),
        [_round(0.13, 0.36, 0.05), _round(0.13, -0.36, 0.05), [(-0.12, 0.36), (0.12, 0.36), (0, 0.52)]],
    ),
    "tree": (_tree(), []),
}
