"""Patterns of skirts and trousers: how each kind is put together."""

from triptych.benchmarks.datasets.wardrobe.cuts import seam
from triptych.benchmarks.datasets.wardrobe.needle import Needle
from triptych.benchmarks.datasets.wardrobe.sheet import Points, bend, mirror, whole


def _waistband(needle: Needle, half: float, top: float, foot: float, wide: float) -> None:
    belt = needle.has("belt")
    band = whole([(0, top + 0.6), (half, top), (wide, foot), (0, foot + 0.6)])
    colour = needle.second if belt else needle.main
    needle.sheet.piece(band, colour, edge=seam(colour), bulge=2)
    if belt:
        middle = (top + foot) / 2 + 0.4
        needle.sheet.line(
            [
                (-2.4, middle - 2.2),
                (2.4, middle - 2.2),
                (2.4, middle + 2.2),
                (-2.4, middle + 2.2),
                (-2.4, middle - 2.2),
            ],
            (222, 190, 104),
            1.2,
        )
        for x in (half * 0.62, -half * 0.62):
            needle.sheet.line([(x, top), (x, foot + 1)], needle.edge, 1.6)


def skirt(needle: Needle) -> None:
    """A skirt with a scalloped hem, pleated or not."""
    cut = needle.cut
    long = needle.garment.length == "long"
    top, hem = (8, 91) if long else (24, 67)
    waist, wide = 13.5 + cut.width, (25 if long else 25.5) + (7 if long else 5) * cut.flare
    swing = 2.2 + 1.5 * cut.hem
    hip = (waist + 6 + 2 * cut.drop, top + 14)
    right = bend((waist, top + 4), hip, (wide, hem))
    waves: Points = []
    scallops = 2 + int(cut.weave_style * 3)
    for index in range(scallops):
        near, far = wide * (1 - index / scallops), wide * (1 - (index + 1) / scallops)
        rise, fall = (swing * (1 - (x / wide) ** 2) for x in (near, far))
        waves += bend((near, hem + rise), ((near + far) / 2, hem + (rise + fall) / 2 + 2.6), (far, hem + fall), 6)
    needle.patterned(whole([(0, top + 3), *right, *waves]), bulge=6)
    folds = [index / scallops for index in range(-scallops + 1, scallops)]
    for share in folds if needle.has("pleats") else folds[::2]:
        start = (waist * share, top + 6 if needle.has("pleats") else top + 18)
        needle.sheet.line(bend(start, (waist * share * 1.2, top + 20), (wide * share, hem)), needle.edge, 0.8)
    if needle.has("hem"):
        needle.sheet.line(
            bend((-wide + 1, hem - 4), (0, hem + swing * 1.6 - 3.5), (wide - 1, hem - 4)), needle.second, 2.4
        )
    _waistband(needle, waist - 0.6, top, top + 5, waist + 0.4)
    if needle.has("cuffs") and not needle.has("belt"):
        knob = needle.second
        needle.sheet.discs([(0, top + 10 + 8 * index) for index in range(cut.buttons - 1)], 1.5, knob, needle.edge)


def _legs(needle: Needle, hem: float, foot: float, crotch: float, top: float) -> None:
    """Trousers of any length: `foot` is half the width of a leg at the hem."""
    cut = needle.cut
    waist, hip = 15 + cut.width, 19 + 1.2 * cut.width
    lean = 10.5 + 0.8 * cut.drop if hem > 70 else 13
    outer, inner = lean + foot, lean - foot
    leg = [
        (0, top + 3),
        (waist, top + 3),
        *bend((waist, top + 3), (hip + 0.5, top + 12), (hip, top + 22)),
        *bend((hip, top + 22), (hip - 1.5 + foot * 0.2, (top + 22 + hem) / 2), (outer, hem)),
        *bend((outer, hem), (lean, hem + 1.4), (inner, hem), 5),
        *bend((inner, hem), (max(0.8, inner - 1.5), (crotch + hem) / 2), (0, crotch)),
    ]
    for side in (1, -1):
        points = leg if side == 1 else mirror(leg)
        needle.patterned(points, turn=-4.0 * side, bulge=5)
        if needle.has("cuffs"):
            turned = [
                (side * (inner - 0.6), hem - 5),
                (side * (inner - 0.8), hem + 0.6),
                (side * (outer + 0.8), hem + 0.6),
                (side * (outer + 0.8), hem - 5),
            ]
            needle.trimmed(turned, "hem")
        elif needle.has("sleeves"):
            stripe = [(side * (hip - 2.2), top + 18), (side * (outer - 2.2), hem - 0.5)]
            needle.sheet.line(stripe, needle.second, 2.0)
        if needle.has("pleats"):
            needle.sheet.line([(side * lean * 0.9, top + 16), (side * lean, hem - 5)], needle.edge, 0.7)
        pocket = bend((side * (waist - 5.5), top + 5), (side * (hip - 6), top + 13), (side * (hip - 1), top + 15))
        needle.sheet.line(pocket, needle.edge, 1.0)
    needle.sheet.line([(0, top + 5), (0, crotch)], needle.edge, 0.9)
    needle.sheet.line(bend((3.4, top + 5), (3.6, top + 16), (0.2, top + 20)), needle.edge, 0.7)
    _waistband(needle, waist - 0.5, top, top + 5, waist + 0.3)
    if not needle.has("belt"):
        needle.sheet.discs([(0, top + 2.8)], 1.3, needle.second, needle.edge)


def trousers(needle: Needle) -> None:
    """Trousers, from slim to wide."""
    _legs(needle, hem=94 + 2 * needle.cut.rise, foot=8 + 2.4 * needle.cut.flare, crotch=38, top=5)


def shorts(needle: Needle) -> None:
    """Shorts, to above the knee."""
    _legs(needle, hem=66 + 2.5 * needle.cut.rise, foot=11 + 1.3 * needle.cut.flare, crotch=53, top=22)
