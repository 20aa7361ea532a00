"""The upper body that tops and dresses share: outline, sleeves, and what goes around the neck."""

from dataclasses import dataclass
from math import cos, radians, sin

from triptych.benchmarks.datasets.wardrobe.cuts import seam, toned
from triptych.benchmarks.datasets.wardrobe.needle import Needle, ribs
from triptych.benchmarks.datasets.wardrobe.sheet import Point, Points, bend, mirror, whole


@dataclass(frozen=True, slots=True)
class Torso:
    """The right half of the upper body: corners of its outline."""

    neck: Point
    depth: float
    shoulder: Point
    armpit: Point
    waist: Point
    hem: Point
    dip: float
    sleeve: tuple[float, float]  # How long a long one is, how wide its cuff.

    def neckline(self, pointed: bool) -> Points:
        """From the middle to the neck."""
        x, y = self.neck
        if pointed:
            return [(0, y + self.depth), (x, y)]
        return bend((0, y + self.depth), (x * 0.9, y + self.depth), (x, y))

    def outline(self, pointed: bool, bare_arms: bool) -> Points:
        """The right half, from the middle of the neck to the middle of the hem."""
        (sx, sy), (ax, ay) = self.shoulder, self.armpit
        if bare_arms:
            sx -= 6
        armhole = bend((sx, sy), (sx - (2.5 if bare_arms else 1.0), ay - 3), (ax, ay))
        side = bend((ax, ay), self.waist, self.hem)
        hem = bend(self.hem, (self.hem[0] * 0.5, self.hem[1] + self.dip), (0, self.hem[1] + self.dip))
        return [*self.neckline(pointed), *armhole, *side, *hem]


def fit(needle: Needle, width: float, top: float, hem: float) -> Torso:
    """The torso of a garment of about twice `width`, from `top` to `hem`, in the cut of its line."""
    cut = needle.cut
    neck = (8.0 + 1.3 * cut.neck, top)
    chest = width + 1.8 * cut.width
    return Torso(
        neck=neck,
        depth=(6.2 + 1.8 * cut.depth) if needle.garment.neckline != "v-neck" else 17 + 3.5 * cut.depth,
        shoulder=(chest + 1.2, top + 5 + 1.2 * cut.drop),
        armpit=(chest - 0.4, top + 23 + cut.drop),
        waist=(chest - 1.2 + 0.6 * cut.flare, (top + 23 + hem) / 2),
        hem=(chest + 0.6 + 1.6 * cut.flare, hem + 2 * cut.rise),
        dip=1.2 * cut.hem,
        sleeve=(53 + 2.5 * cut.arm, 8 + 1.1 * cut.cuff),
    )


def lay_sleeves(needle: Needle, torso: Torso, *, cuff: float = 0) -> None:
    """Two sleeves, to be laid before the body; `cuff` is the height of ribbing at their ends."""
    kind = needle.garment.sleeve
    if kind == "sleeveless":
        return
    cut = needle.cut
    if kind == "long-sleeved":
        slant, (reach, end) = radians(19 + 2 * cut.arm), torso.sleeve
    else:
        slant, reach, end = radians(38 + 5 * cut.arm), 20.5 + 2.5 * cut.arm, 13.5 + 1.5 * cut.cuff
        cuff = min(cuff, 2.4)
    (sx, sy), (ax, ay) = torso.shoulder, torso.armpit
    along, across = (sin(slant), cos(slant)), (-cos(slant), sin(slant))

    def at(distance: float, inward: float) -> Point:
        return (
            sx + along[0] * distance + across[0] * inward,
            sy + along[1] * distance + across[1] * inward,
        )

    outer, inner = at(reach, 0), at(reach, end)
    bulge = at(reach * 0.35, -2.2)
    outline = [
        (sx - 5, sy - 1.6),
        *bend((sx - 1, sy - 0.4), bulge, outer),
        inner,
        *bend(inner, at(reach * 0.5, end + 1.2), (ax - 0.5, ay + 1)),
        (ax - 5, ay - 4),
    ]
    band = [at(reach - cuff, 0.1), at(reach, 0.1), inner, at(reach - cuff, end - 0.2)]
    turn = -(90 - 58) if kind == "long-sleeved" else -26
    contrast = needle.has("sleeves")
    for side, points, cuffs in ((1, outline, band), (-1, mirror(outline), mirror(band))):
        if contrast:
            needle.sheet.piece(points, needle.second, edge=seam(needle.second))
        else:
            needle.patterned(points, turn=side * turn)
        if cuff:
            needle.trimmed(cuffs, "cuffs")
            ribs(needle, cuffs, "cuffs")


def nape(needle: Needle, torso: Torso) -> None:
    """The inside of the back with its label, seen through the neckline."""
    (x, y), depth = torso.neck, torso.depth
    needle.sheet.piece(
        whole([*bend((0, y + 1.8), (x * 0.7, y + 1.6), (x, y - 0.2)), (x, y + 3), (0, y + depth + 2)]),
        needle.inside,
    )
    needle.sheet.piece(whole([(1.7, y + 2.6), (1.7, y + 4.6)]), (244, 240, 230), bulge=0)


def lay_body(needle: Needle, torso: Torso, pointed: bool) -> None:
    """The front, and what the line likes to have on it."""
    bare = needle.garment.sleeve == "sleeveless"
    needle.patterned(whole(torso.outline(pointed, bare)), bulge=7)
    if needle.has("yoke") and needle.has("pleats"):
        _, y = torso.neck
        line = bend((torso.armpit[0] - 1.5, y + 19), (0, y + 21), (-torso.armpit[0] + 1.5, y + 19))
        needle.sheet.line(line, needle.edge)


def ribbed_neck(needle: Needle, torso: Torso, pointed: bool, width: float) -> None:
    """A ribbed ring along the neckline."""
    colour = needle.second if needle.has("neck") else needle.main
    points = torso.neckline(pointed)
    ring = [*mirror(reversed(points)), *points]
    needle.sheet.line(ring, seam(colour), width + 1.1)
    needle.sheet.line(ring, colour, width)


def turtleneck(needle: Needle, torso: Torso) -> None:
    """A folded turtleneck over the neckline."""
    (x, y), height = torso.neck, 8.5 + 1.5 * needle.cut.collar
    top = bend((0, y - height + 1), (x * 0.6, y - height + 0.8), (x * 0.86, y - height))
    foot = bend((x * 1.02, y + 1), (x * 0.7, y + 5), (0, y + 5))
    needle.trimmed(whole([*top, *foot]), "neck", 4)
    fold = bend((-x * 0.95, y - height * 0.35), (0, y - height * 0.1), (x * 0.95, y - height * 0.35))
    needle.sheet.line(fold, seam(needle.second if needle.has("neck") else needle.main), 0.8)


def lay_collar(needle: Needle, torso: Torso) -> None:
    """A collar: its back and two flaps."""
    (x, y), size = torso.neck, 1.8 * needle.cut.collar
    low = y + torso.depth
    flap = [(0.4, low), (x - 0.8, y - 2.2), (x + 2.6, y + 1.2), (x + 0.5 + size * 0.4, low + 5.5 + size)]
    back = whole([(0, y - 1.4), (x - 0.8, y - 2.4), (x, y + 0.8), (0, y + 1.6)])
    needle.trimmed(back, "neck", 1.5)
    needle.trimmed(flap, "neck", 1.5)
    needle.trimmed(mirror(flap), "neck", 1.5)


def lay_hood(needle: Needle, torso: Torso) -> None:
    """A hood lying behind the neck; to be laid before the body."""
    (x, y), size = torso.neck, needle.cut.collar
    half, top = x + 6.5 + size, y - 10.5 - 1.2 * size
    outer = [
        *bend((0, top), (half * 0.95, top), (half, y - 1)),
        *bend((half, y - 1), (half, y + 7), (x, y + 9)),
        (0, y + 9),
    ]
    needle.patterned(whole(outer), bulge=4)
    opening = [
        *bend((0, top + 4.5), (half * 0.75, top + 4.5), (half * 0.68, y + 1)),
        (x * 0.6, y + 9),
        (0, y + 9),
    ]
    lining = toned(needle.second, 0.8) if needle.has("neck") else needle.inside
    needle.sheet.piece(whole(opening), lining, edge=needle.edge, bulge=3)


def lay_band(needle: Needle, torso: Torso, height: float) -> None:
    """A ribbed band at the hem."""
    (x, y), dip = torso.hem, torso.dip
    foot = bend((x - 1.2, y + 0.6), (x * 0.5, y + dip + 0.6), (0, y + dip + 0.6))
    top = bend((0, y + dip - height), (x * 0.5, y + dip - height), (x - 0.2, y - height))
    needle.trimmed(whole([*top, *foot]), "hem")
    ribs(needle, [(-x, y - height + 1), (-x + 1, y), (x - 1, y), (x, y - height + 1)], "hem", 15)


def stitched_hem(needle: Needle, torso: Torso) -> None:
    """A dashed seam above the hem."""
    x, y = torso.hem
    y += torso.dip * 0.6 - 2.8
    needle.sheet.stitches((-x + 1.5, y), (x - 1.5, y), needle.edge, 15, 0.7)
