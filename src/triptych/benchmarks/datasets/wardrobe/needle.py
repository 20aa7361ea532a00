"""The needle: one garment's cloth, colours and cut, and the details that many kinds share."""

from math import cos, radians, sin

from PIL import Image

from triptych.benchmarks.datasets.wardrobe.cuts import accent, cloth, cut_of, luminance, seam, toned
from triptych.benchmarks.datasets.wardrobe.garments import Garment
from triptych.benchmarks.datasets.wardrobe.motifs import MOTIFS
from triptych.benchmarks.datasets.wardrobe.sheet import Point, Points, Sheet, mirror
from triptych.benchmarks.datasets.wardrobe.weaves import weave


class Needle:
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
        self.sheet.piece(outline, self.main, edge=self.edge, weave=self.weave(turn), second=self.woven, bulge=bulge)

    def trimmed(self, outline: Points, trim: str, bulge: float = 2) -> None:
        """Lay a collar, cuff or band: in the second colour if the line has this trim."""
        colour = self.second if self.has(trim) else self.main
        self.sheet.piece(outline, colour, edge=seam(colour), bulge=bulge)


def ribs(needle: Needle, corners: Points, trim: str, count: int = 5) -> None:
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


def placket(needle: Needle, top: float, foot: float, buttons: int) -> None:
    """A buttoned strip down the front."""
    colour = needle.second if needle.has("yoke") else needle.main
    half = 2.3
    if needle.garment.pattern == "plain" or needle.has("yoke"):
        needle.sheet.piece([(-half, top), (half, top), (half, foot), (-half, foot)], colour, bulge=0)
    needle.sheet.line([(-half, top), (-half, foot)], needle.edge, 0.6)
    needle.sheet.line([(half, top), (half, foot)], needle.edge, 0.6)
    knob = (252, 250, 244) if luminance(colour) < 190 else toned(needle.inside, 0.8)
    step = (foot - top) / (buttons + 0.4)
    needle.sheet.discs([(0, top + step * (index + 0.6)) for index in range(buttons)], 1.25, knob, needle.inside)


def pockets(needle: Needle, x: float, y: float, width: float, height: float) -> None:
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


def print_on(needle: Needle, centre: Point, size: float) -> None:
    """The printed picture, on a round patch of plain cloth where the cloth is patterned."""
    motif = needle.garment.print
    if motif in ("", "none"):
        return
    cut = needle.cut
    size *= 1 + 0.14 * cut.print_size
    x, y = centre
    if cut.print_aside:
        x, y, size = x + 7.5, y - 4, size * 0.8
    angle = radians(11 * cut.print_tilt)
    turn = (cos(angle), sin(angle))

    def placed(points: Points) -> Points:
        return [
            (x + size * (px * turn[0] - py * turn[1]), y + size * (px * turn[1] + py * turn[0])) for px, py in points
        ]

    filled, cleared = MOTIFS[motif]
    if needle.garment.pattern != "plain":
        needle.sheet.discs([(x, y)], size * 1.3, needle.main, needle.edge)
    for points in filled:
        needle.sheet.piece(placed(points), needle.second, bulge=0)
    for points in cleared:
        needle.sheet.piece(placed(points), needle.main, bulge=0)
