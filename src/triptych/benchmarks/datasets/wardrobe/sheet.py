"""The sheet a garment is drawn on: its colours, where it covers the ground, and how high the cloth lies.

Points are (x, y): x from -50 to 50 around the middle, y from 0 at the top to 100.
"""

from collections.abc import Iterable, Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from triptych.benchmarks.datasets.wardrobe.garments import Rgb

Point = tuple[float, float]
Points = list[Point]


def bend(start: Point, control: Point, end: Point, steps: int = 9) -> Points:
    """A quadratic Bézier curve as points, both ends included."""
    (ax, ay), (bx, by), (cx, cy) = start, control, end
    curve = []
    for step in range(steps + 1):
        t = step / steps
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        curve.append((a * ax + b * bx + c * cx, a * ay + b * by + c * cy))
    return curve


def mirror(points: Iterable[Point]) -> Points:
    """The same points on the other side of the middle."""
    return [(-x, y) for x, y in points]


def whole(half: Points) -> Points:
    """A symmetric outline from its right half."""
    return half + mirror(reversed(half))


class Sheet:
    """A square sheet of `side` pixels, a multiple of 3; `ground` tinges the rims of what is laid on it."""

    def __init__(self, side: int, ground: Rgb) -> None:
        self.side = side
        self.unit = side / 100
        self.colours = Image.new("RGB", (side, side), ground)
        self.cover = Image.new("L", (side, side))
        self.heights = Image.new("L", (side // 3, side // 3))
        self._brush = ImageDraw.Draw(self.colours)

    def _pixels(self, points: Iterable[Point]) -> list[Point]:
        return [((x + 50) * self.unit, y * self.unit) for x, y in points]

    def piece(
        self,
        outline: Points,
        colour: Rgb,
        *,
        edge: Rgb | None = None,
        weave: Image.Image | None = None,
        second: Rgb = (0, 0, 0),
        bulge: float = 5.0,
    ) -> None:
        """Lay a piece of cloth on the sheet, `weave` saying where it shows `second`.

        The cloth rises over about `bulge` units from its border; 0 leaves it flat on what lies under it.
        """
        corners = self._pixels(outline)
        box = self._box(corners)
        left, top, right, foot = box
        mask = Image.new("L", (right - left, foot - top))
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in corners], fill=255)
        self.colours.paste(colour, box, mask)
        if weave is not None:
            self.colours.paste(second, box, ImageChops.multiply(mask, weave.crop(box)))
        self.cover.paste(255, box, mask)
        if bulge:
            small = mask.reduce(3)
            soft = small.filter(ImageFilter.GaussianBlur(bulge * self.unit / 3))
            self.heights.paste(soft, (left // 3, top // 3), small)
        if edge is not None:
            self.line([*outline, outline[0]], edge, 0.9)

    def _box(self, corners: Points) -> tuple[int, int, int, int]:
        """The part of the sheet around some pixels, on the grid of `heights`."""
        margin = 3 * round(self.unit)
        columns, rows = [int(x) for x, _ in corners], [int(y) for _, y in corners]
        return (
            max(0, (min(columns) - margin) // 3 * 3),
            max(0, (min(rows) - margin) // 3 * 3),
            min(self.side, (max(columns) + margin) // 3 * 3 + 3),
            min(self.side, (max(rows) + margin) // 3 * 3 + 3),
        )

    def line(self, points: Points, colour: Rgb, width: float = 0.9) -> None:
        """Draw a seam."""
        self._brush.line(self._pixels(points), fill=colour, width=max(1, round(width * self.unit)), joint="curve")

    def stitches(self, start: Point, end: Point, colour: Rgb, count: int, width: float = 0.8) -> None:
        """Draw a dashed seam."""
        (ax, ay), (bx, by) = start, end
        for index in range(count):
            near, far = index / count, (index + 0.55) / count
            self.line(
                [
                    (ax + (bx - ax) * near, ay + (by - ay) * near),
                    (ax + (bx - ax) * far, ay + (by - ay) * far),
                ],
                colour,
                width,
            )

    def discs(self, centres: Sequence[Point], radius: float, colour: Rgb, edge: Rgb | None = None) -> None:
        """Draw buttons."""
        for x, y in self._pixels(centres):
            reach = radius * self.unit
            self._brush.ellipse((x - reach, y - reach, x + reach, y + reach), fill=colour, outline=edge)
