"""Sewing a garment: its pieces of cloth laid on a sheet, upright and without light."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import cos, radians, sin

from PIL import Image

from triptych.wardrobe.cuts import accent, cloth, cut_of, luminance, seam, toned
from triptych.wardrobe.garments import Garment
from triptych.wardrobe.motifs import MOTIFS
from triptych.wardrobe.sheet import Point, Points, Sheet, bend, mirror, whole
from triptych.wardrobe.weaves import weave

STEEL = (196, 196, 200)


class _Needle:
    """A sheet with the colours, cut and pattern of the garment that is being sewn on it."""

    def __init__(self, garment: Garment, side: int) -> None:
        self.garment = garment
        self.cut = cut_of(garment.line)
        self.main = cloth(garment.colour, self.cut)
        self.second = accent(self.main, self.cut)
        # Stripes and checks cover much: in a strong colour they would deny the name of the main one.
        self.woven = accent(self.main, self.cut, quiet=garment.pattern in ("striped", "checked", "zigzag"))
        self.edge = seam(self.main)
        self.sheet = Sheet(side, toned(self.main, 0.5))
        self.inside = toned(self.main, 0.55) if luminance(self.main) > 66 else toned(self.main, 0.6)

    def has(self, trim: str) -> bool:
        """Whether the line has a trim."""
        return trim in self.cut.trims

    def weave(self, turn: float = 0) -> Image.Image | None:
        """The garment's pattern on cloth turned by `turn` degrees."""
        return weave(self.garment.pattern, self.cut, turn, self.sheet.side)

    def patterned(self, outline: Points, turn: float = 0, bulge: float = 5) -> None:
        """Lay a piece of the main cloth."""
        self.sheet.piece(
            outline, self.main, edge=self.edge, weave=self.weave(turn), second=self.woven, bulge=bulge
        )

    def trimmed(self, outline: Points, trim: str, bulge: float = 2) -> None:
        """Lay a collar, cuff or band: in the second colour if the line has this trim."""
        colour = self.second if self.has(trim) else self.main
        self.sheet.piece(outline, colour, edge=seam(colour), bulge=bulge)


@lru_cache(maxsize=8)
def sew(garment: Garment, side: int) -> Sheet:
    """The sheet of `side` pixels with the garment on it; it must not be drawn on further."""
    needle = _Needle(garment, side)
    _KINDS[garment.kind](needle)
    return needle.sheet


@dataclass(frozen=True, slots=True)
class _Torso:
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


def _torso(needle: _Needle, width: float, top: float, hem: float) -> _Torso:
    cut = needle.cut
    neck = (8.0 + 1.3 * cut.neck, top)
    chest = width + 1.8 * cut.width
    return _Torso(
        neck=neck,
        depth=(6.2 + 1.8 * cut.depth) if needle.garment.neckline != "v-neck" else 17 + 3.5 * cut.depth,
        shoulder=(chest + 1.2, top + 5 + 1.2 * cut.drop),
        armpit=(chest - 0.4, top + 23 + cut.drop),
        waist=(chest - 1.2 + 0.6 * cut.flare, (top + 23 + hem) / 2),
        hem=(chest + 0.6 + 1.6 * cut.flare, hem + 2 * cut.rise),
        dip=1.2 * cut.hem,
        sleeve=(53 + 2.5 * cut.arm, 8 + 1.1 * cut.cuff),
    )


def _sleeves(needle: _Needle, torso: _Torso, *, cuff: float = 0) -> None:
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
            _ribs(needle, cuffs, "cuffs")


def _ribs(needle: _Needle, corners: Points, trim: str, count: int = 5) -> None:
    """Fine ribs in a band between its first two corners and its last two."""
    colour = seam(needle.second if needle.has(trim) else needle.main)
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    for index in range(1, count):
        share = index / count
        needle.sheet.line(
            [
                (ax + (dx - ax) * share, ay + (dy - ay) * share),
                (bx + (cx - bx) * share, by + (cy - by) * share),
            ],
            colour,
            0.5,
        )


def _nape(needle: _Needle, torso: _Torso) -> None:
    """The inside of the back with its label, seen through the neckline."""
    (x, y), depth = torso.neck, torso.depth
    needle.sheet.piece(
        whole([*bend((0, y + 1.8), (x * 0.7, y + 1.6), (x, y - 0.2)), (x, y + 3), (0, y + depth + 2)]),
        needle.inside,
    )
    needle.sheet.piece(whole([(1.7, y + 2.6), (1.7, y + 4.6)]), (244, 240, 230), bulge=0)


def _body(needle: _Needle, torso: _Torso, pointed: bool) -> None:
    """The front, and what the line likes to have on it."""
    bare = needle.garment.sleeve == "sleeveless"
    needle.patterned(whole(torso.outline(pointed, bare)), bulge=7)
    if needle.has("yoke") and needle.has("pleats"):
        _, y = torso.neck
        line = bend((torso.armpit[0] - 1.5, y + 19), (0, y + 21), (-torso.armpit[0] + 1.5, y + 19))
        needle.sheet.line(line, needle.edge)


def _ribbed_neck(needle: _Needle, torso: _Torso, pointed: bool, width: float) -> None:
    colour = needle.second if needle.has("neck") else needle.main
    points = torso.neckline(pointed)
    ring = [*mirror(reversed(points)), *points]
    needle.sheet.line(ring, seam(colour), width + 1.1)
    needle.sheet.line(ring, colour, width)


def _turtleneck(needle: _Needle, torso: _Torso) -> None:
    (x, y), height = torso.neck, 8.5 + 1.5 * needle.cut.collar
    top = bend((0, y - height + 1), (x * 0.6, y - height + 0.8), (x * 0.86, y - height))
    foot = bend((x * 1.02, y + 1), (x * 0.7, y + 5), (0, y + 5))
    needle.trimmed(whole([*top, *foot]), "neck", 4)
    fold = bend((-x * 0.95, y - height * 0.35), (0, y - height * 0.1), (x * 0.95, y - height * 0.35))
    needle.sheet.line(fold, seam(needle.second if needle.has("neck") else needle.main), 0.8)


def _collar(needle: _Needle, torso: _Torso) -> None:
    (x, y), size = torso.neck, 1.8 * needle.cut.collar
    low = y + torso.depth
    flap = [(0.4, low), (x - 0.8, y - 2.2), (x + 2.6, y + 1.2), (x + 0.5 + size * 0.4, low + 5.5 + size)]
    back = whole([(0, y - 1.4), (x - 0.8, y - 2.4), (x, y + 0.8), (0, y + 1.6)])
    needle.trimmed(back, "neck", 1.5)
    needle.trimmed(flap, "neck", 1.5)
    needle.trimmed(mirror(flap), "neck", 1.5)


def _hood(needle: _Needle, torso: _Torso) -> None:
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


def _placket(needle: _Needle, top: float, foot: float, buttons: int) -> None:
    colour = needle.second if needle.has("yoke") else needle.main
    half = 2.3
    if needle.garment.pattern == "plain" or needle.has("yoke"):
        needle.sheet.piece([(-half, top), (half, top), (half, foot), (-half, foot)], colour, bulge=0)
    needle.sheet.line([(-half, top), (-half, foot)], needle.edge, 0.6)
    needle.sheet.line([(half, top), (half, foot)], needle.edge, 0.6)
    knob = (252, 250, 244) if luminance(colour) < 190 else toned(needle.inside, 0.8)
    step = (foot - top) / (buttons + 0.4)
    needle.sheet.discs(
        [(0, top + step * (index + 0.6)) for index in range(buttons)], 1.25, knob, needle.inside
    )


def _pockets(needle: _Needle, x: float, y: float, width: float, height: float) -> None:
    """Patch pockets, where the line has them."""
    patch = [
        (x - width, y),
        (x + width, y),
        (x + width, y + height * 0.75),
        (x, y + height),
        (x - width, y + height * 0.75),
    ]
    for side, points in (("right", patch), ("left", mirror(patch))):
        if needle.cut.pocket in (side, "both"):
            needle.patterned(points, bulge=2)
            (ax, ay), (bx, _) = points[0], points[1]
            needle.sheet.line([(ax, ay + 1.8), (bx, ay + 1.8)], needle.edge, 0.6)


def _print(needle: _Needle, centre: Point, size: float) -> None:
    """The printed picture, on an island of the main colour where the cloth is patterned."""
    motif = needle.garment.print
    if motif in ("", "none"):
        return
    cut = needle.cut
    size *= 1 + 0.14 * cut.print_size
    x, y = centre
    if cut.print_aside:
        x, y, size = x + 8.2, y - 5, size * 0.66
    angle = radians(11 * cut.print_tilt)
    turn = (cos(angle), sin(angle))

    def placed(points: Points, grow: float = 1) -> Points:
        return [
            (
                x + size * grow * (px * turn[0] - py * turn[1]),
                y + size * grow * (px * turn[1] + py * turn[0]),
            )
            for px, py in points
        ]

    filled, cleared = MOTIFS[motif]
    sheet = needle.sheet
    if needle.garment.pattern != "plain":
        for points in filled:
            island = placed(points)
            sheet.piece(island, needle.main, bulge=0)
            sheet.line([*island, *island[:2]], needle.main, 4.2)
    for points in filled:
        sheet.piece(placed(points), needle.second, bulge=0)
    for points in cleared:
        sheet.piece(placed(points), needle.main, bulge=0)


def _band(needle: _Needle, torso: _Torso, height: float) -> None:
    """A ribbed band at the hem."""
    (x, y), dip = torso.hem, torso.dip
    foot = bend((x - 1.2, y + 0.6), (x * 0.5, y + dip + 0.6), (0, y + dip + 0.6))
    top = bend((0, y + dip - height), (x * 0.5, y + dip - height), (x - 0.2, y - height))
    needle.trimmed(whole([*reversed(top), *reversed(foot)][::-1]), "hem")
    _ribs(needle, [(-x, y - height + 1), (-x + 1, y), (x - 1, y), (x, y - height + 1)], "hem", 15)


def _t_shirt(needle: _Needle) -> None:
    torso = _torso(needle, 20.5, 13, 86)
    neckline = needle.garment.neckline
    pointed = neckline != "crew neck"
    _sleeves(needle, torso, cuff=1.8 if needle.has("cuffs") or neckline == "collar" else 0)
    _nape(needle, torso)
    _body(needle, torso, pointed)
    (_, y), depth = torso.neck, torso.depth
    if neckline == "collar":
        _placket(needle, y + depth, y + depth + 15, 2)
        _collar(needle, torso)
    else:
        _ribbed_neck(needle, torso, pointed, 2.3)
    if needle.has("hem"):
        _stitched_hem(needle, torso)
    if needle.cut.pocket != "none" and needle.garment.print == "none" and neckline != "collar":
        _pockets(needle, 9.5, y + 21, 4.6, 10)
    _print(needle, (0, y + (35 if neckline != "crew neck" else 31)), 10.5)


def _stitched_hem(needle: _Needle, torso: _Torso) -> None:
    x, y = torso.hem
    y += torso.dip * 0.6 - 2.8
    needle.sheet.stitches((-x + 1.5, y), (x - 1.5, y), needle.edge, 15, 0.7)


def _shirt(needle: _Needle) -> None:
    torso = _torso(needle, 20, 12, 84)
    cut = needle.cut
    tails = _Torso(
        torso.neck,
        8 + cut.depth,
        torso.shoulder,
        torso.armpit,
        torso.waist,
        (torso.hem[0], torso.hem[1] - 5),
        8 + 2 * cut.hem,
        torso.sleeve,
    )
    _sleeves(needle, tails, cuff=6)
    _nape(needle, tails)
    _body(needle, tails, True)
    (_, y), foot = tails.neck, tails.hem[1] + tails.dip - 0.8
    _placket(needle, y + tails.depth, foot, cut.buttons + 2)
    _pockets(needle, 10.5, y + 22, 4.8, 11)
    _collar(needle, tails)


def _sweater(needle: _Needle) -> None:
    torso = _torso(needle, 22, 14, 82)
    neckline = needle.garment.neckline
    pointed = neckline == "v-neck"
    _sleeves(needle, torso, cuff=7)
    if neckline != "turtleneck":
        _nape(needle, torso)
    _body(needle, torso, pointed)
    _band(needle, torso, 7.5)
    if needle.garment.pattern == "plain":
        _knit(needle, torso)
    if neckline == "turtleneck":
        _turtleneck(needle, torso)
    else:
        _ribbed_neck(needle, torso, pointed, 3.6)
    _print(needle, (0, torso.neck[1] + (37 if pointed else 32)), 10.5)


def _knit(needle: _Needle, torso: _Torso) -> None:
    """Cables down the front: two columns of little v's, away from where a print sits."""
    top, foot = torso.armpit[1] - 8, torso.hem[1] - 9
    step = 4.6 + needle.cut.weave_scale
    for row in range(int((foot - top) / step)):
        y = top + row * step
        for x in (13.5, -13.5):
            needle.sheet.line([(x - 2, y), (x, y + 2.4), (x + 2, y)], needle.edge, 0.7)


def _hoodie(needle: _Needle) -> None:
    torso = _torso(needle, 22, 17, 84)
    _sleeves(needle, torso, cuff=6)
    _hood(needle, torso)
    _body(needle, torso, False)
    _band(needle, torso, 6)
    (x, y), foot = torso.neck, torso.hem[1] - 6.5
    pouch = whole([(0, foot - 19), (8.5, foot - 19), (14.5, foot - 8), (14.5, foot), (0, foot)])
    needle.patterned(pouch, bulge=3)
    _ribbed_neck(needle, torso, False, 2.2)
    string = (250, 248, 240) if luminance(needle.main) < 190 else needle.second
    for side in (1, -1):
        points = bend(
            (side * x * 0.5, y + torso.depth - 0.5), (side * x * 0.7, y + 13), (side * x * 0.55, y + 19)
        )
        needle.sheet.line(points, needle.inside, 1.9)
        needle.sheet.line(points, string, 1.2)
    _print(needle, (0, y + 30), 9)


def _jacket(needle: _Needle) -> None:
    long = needle.garment.length == "long"
    torso = _torso(needle, 22.5, 6 if long else 13, 95 if long else 74)
    cut = needle.cut
    (nx, y), (hx, hem), dip = torso.neck, torso.hem, torso.dip
    hx += 2.5 if long else 0
    _sleeves(needle, torso, cuff=0 if long else 5)
    hooded = needle.garment.neckline == "hood"
    if hooded:
        _hood(needle, torso)
    lining = whole([(0, y + 2), (nx + 1, y), (nx + 1, hem - 2), (0, hem - 2)])
    needle.sheet.piece(lining, toned(needle.second, 0.82) if needle.has("yoke") else needle.inside, bulge=9)
    gap = 2.4 + 0.9 * cut.flare
    bare = needle.garment.sleeve == "sleeveless"
    half = torso.outline(True, bare)[2:-10]
    chest = y + 30 + 3 * cut.depth
    front = [
        *bend((nx, y), (gap + 1.5, chest - 10), (gap, chest)),
        (gap + 1.2, hem + dip),
        *reversed([*half[:-1], (hx, hem)]),
    ]
    for side in (1, -1):
        needle.patterned(front if side == 1 else mirror(front), bulge=6)
    if not long:
        for side in (1, -1):
            band = [
                (side * (gap + 1), hem - 5),
                (side * (gap + 1.2), hem + dip),
                (side * (hx - 0.6), hem),
                (side * hx, hem - 5),
            ]
            needle.trimmed(band, "hem")
            _ribs(needle, [band[0], band[1], band[2], band[3]], "hem", 8)
    for side in (1, -1):
        edge = [(side * px, py) for px, py in front[9:11]]
        if cut.fastening == "zip":
            needle.sheet.line(edge, STEEL, 1.3)
        elif side == 1:
            steps = cut.buttons + (1 if long else 0)
            knob = (250, 246, 236) if luminance(needle.main) < 190 else (110, 84, 60)
            reach = hem - 9 - chest
            needle.sheet.discs(
                [(gap + 2.8, chest + 2 + reach * index / steps) for index in range(steps)],
                1.4,
                knob,
                needle.inside,
            )
        welt = [(side * 9.5, hem - 21), (side * 17.5, hem - (21 if long else 26))]
        needle.sheet.line(welt, needle.edge, 2.2)
    if hooded:
        return
    for side in (1, -1):
        wide = 5.5 + 1.4 * cut.collar
        lapel = [
            (nx - 2.2, y - 2.2),
            (nx + 1.8, y + 0.4),
            (nx + wide, y + 12),
            (nx + wide - 3.6, y + 13.5),
            (nx + wide - 2.2, y + 16.5),
            (gap, chest),
            *reversed(bend((nx - 1.6, y - 0.2), (gap + 1.0, chest - 12), (gap, chest))),
        ]
        needle.trimmed([(side * px, py) for px, py in lapel], "neck", 2.5)


def _dress(needle: _Needle) -> None:
    long = needle.garment.length == "long"
    cut = needle.cut
    top, hem = (4, 94) if long else (11, 74)
    base = _torso(needle, 15.5, top, hem)
    chest, waist_y = base.armpit[0], top + 36 + 2 * cut.rise
    waist, skirt = 12 + cut.width, (22 if long else 21.5) + 5.5 * cut.flare
    neckline = needle.garment.neckline
    pointed = neckline != "crew neck"
    bodice = _Torso(
        base.neck,
        min(base.depth, 15),
        base.shoulder,
        base.armpit,
        (waist + 0.5, waist_y - 7),
        (waist, waist_y),
        0,
        (46 + 2 * cut.arm, 6.8 + cut.cuff),
    )
    _sleeves(needle, bodice, cuff=2.6 if needle.has("cuffs") else 0)
    _nape(needle, bodice)
    swing = 2.2 + 1.6 * cut.hem
    right = bend(
        (waist, waist_y), (waist + 2.5 + 3 * cut.drop, waist_y + (hem - waist_y) * 0.4), (skirt, hem)
    )
    waves = bend((skirt, hem), (skirt * 0.8, hem + swing + 1.5), (skirt * 0.5, hem + swing * 0.7), 6)
    waves += bend((skirt * 0.5, hem + swing * 0.7), (skirt * 0.25, hem + swing + 1.5), (0, hem + swing), 6)
    needle.patterned(whole([(0, waist_y - 2), *right, *waves]), bulge=6)
    for share in (0.3, -0.3) if not needle.has("pleats") else (0.62, 0.22, -0.22, -0.62):
        needle.sheet.line(
            bend((waist * share, waist_y + 2), (waist * share, waist_y + 12), (skirt * share, hem - 3)),
            needle.edge,
            0.7,
        )
    if needle.has("hem"):
        needle.sheet.line(
            bend((-skirt + 1.4, hem - 2.5), (0, hem + swing - 0.5), (skirt - 1.4, hem - 2.5)),
            needle.second,
            1.8,
        )
    needle.patterned(whole(bodice.outline(pointed, needle.garment.sleeve == "sleeveless")), bulge=5)
    if needle.has("belt"):
        band = whole(
            [(0, waist_y - 1.8), (waist + 0.6, waist_y - 2), (waist + 0.6, waist_y + 2), (0, waist_y + 2.2)]
        )
        needle.sheet.piece(band, needle.second, edge=seam(needle.second), bulge=1.5)
        bow = [(0, waist_y), (5.5, waist_y - 3.4), (6.2, waist_y + 3), (0, waist_y)]
        needle.sheet.piece(bow, needle.second, edge=seam(needle.second), bulge=1.5)
        needle.sheet.piece(mirror(bow), needle.second, edge=seam(needle.second), bulge=1.5)
    else:
        needle.sheet.line([(-waist, waist_y), (waist, waist_y)], needle.edge)
    if neckline == "collar":
        _placket(needle, top + bodice.depth, waist_y - 2, cut.buttons)
        _collar(needle, bodice)
    elif needle.has("neck"):
        _ribbed_neck(needle, bodice, pointed, 1.8)
    if chest and needle.has("cuffs") and needle.has("yoke") and neckline == "crew neck":
        needle.sheet.discs([(0, top + bodice.depth + 4 + 4 * index) for index in range(3)], 1, needle.second)


def _waistband(needle: _Needle, half: float, top: float, foot: float, wide: float) -> None:
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


def _skirt(needle: _Needle) -> None:
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
        waves += bend(
            (near, hem + rise), ((near + far) / 2, hem + (rise + fall) / 2 + 2.6), (far, hem + fall), 6
        )
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
        needle.sheet.discs(
            [(0, top + 10 + 8 * index) for index in range(cut.buttons - 1)], 1.5, knob, needle.edge
        )


def _legs(needle: _Needle, hem: float, foot: float, crotch: float, top: float) -> None:
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
        pocket = bend(
            (side * (waist - 5.5), top + 5), (side * (hip - 6), top + 13), (side * (hip - 1), top + 15)
        )
        needle.sheet.line(pocket, needle.edge, 1.0)
    needle.sheet.line([(0, top + 5), (0, crotch)], needle.edge, 0.9)
    needle.sheet.line(bend((3.4, top + 5), (3.6, top + 16), (0.2, top + 20)), needle.edge, 0.7)
    _waistband(needle, waist - 0.5, top, top + 5, waist + 0.3)
    if not needle.has("belt"):
        needle.sheet.discs([(0, top + 2.8)], 1.3, needle.second, needle.edge)


def _trousers(needle: _Needle) -> None:
    _legs(needle, hem=94 + 2 * needle.cut.rise, foot=8 + 2.4 * needle.cut.flare, crotch=38, top=5)


def _shorts(needle: _Needle) -> None:
    _legs(needle, hem=66 + 2.5 * needle.cut.rise, foot=11 + 1.3 * needle.cut.flare, crotch=53, top=22)


_KINDS: dict[str, Callable[[_Needle], None]] = {
    "t-shirt": _t_shirt,
    "shirt": _shirt,
    "sweater": _sweater,
    "hoodie": _hoodie,
    "jacket": _jacket,
    "dress": _dress,
    "skirt": _skirt,
    "trousers": _trousers,
    "shorts": _shorts,
}
