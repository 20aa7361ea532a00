"""Draw a picture of a garment: its position, background, light and folds."""

from math import cos, pi, radians, sin
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from triptych.benchmarks.datasets.wardrobe.garments import Garment, Rgb
from triptych.benchmarks.datasets.wardrobe.sewing import sew
from triptych.benchmarks.datasets.wardrobe.sheet import Sheet

Field = npt.NDArray[np.float32]

# Grounds are muted and light, so that every garment stands out from every one of them.
GROUNDS: tuple[Rgb, ...] = (
    (236, 226, 210),
    (222, 230, 224),
    (214, 226, 236),
    (238, 218, 212),
    (228, 222, 236),
    (240, 232, 200),
    (216, 212, 204),
    (206, 222, 214),
    (234, 206, 190),
    (196, 208, 220),
)


def draw(garment: Garment, view_seed: int, size: int = 96) -> Image.Image:
    """Draw a square RGB picture of a garment.

    Args:
        garment: the garment.
        view_seed: each seed gives another picture of it.
        size: the side, in pixels.
    """
    rng = Random(f"view {view_seed} of line {garment.line}")
    sheet = sew(garment, 3 * size)
    place = _Place(sheet, rng)
    sun = rng.uniform(0, 2 * pi)
    light = (cos(sun), -0.5 - 0.5 * abs(sin(sun)))

    # The garment is drawn at twice the resolution for smooth edges. Light is soft and needs only the final resolution.
    picture = _ground(2 * size, rng)
    cover = place.bring(sheet.cover, sheet.unit, 2 * size)
    picture.paste(place.bring(sheet.colours, sheet.unit, 2 * size), mask=cover)
    cover = cover.reduce(2)
    lit = np.asarray(place.bring(_shade(sheet, light, rng), sheet.unit / 3, size), dtype=np.float32) / 128
    alpha = np.asarray(cover, dtype=np.float32) / 255
    factor = alpha * lit + (1 - alpha) * _shadow(cover, light, rng)
    coloured = np.asarray(picture.reduce(2), dtype=np.float32) * (factor[..., None] * _exposure(size, light, rng))
    return Image.fromarray(np.minimum(coloured, 255).astype(np.uint8))


class _Place:
    """The position of a sheet in the picture: turned, scaled, shifted and perhaps mirrored."""

    def __init__(self, sheet: Sheet, rng: Random) -> None:
        left, top, right, foot = sheet.cover.getbbox() or (0, 0, sheet.side, sheet.side)
        self._middle = ((left + right) / 2 / sheet.unit, (top + foot) / 2 / sheet.unit)
        extent = max((right - left) * 1.04, foot - top) / sheet.unit
        scale = min(1.2, 88 / extent) * rng.uniform(0.8, 1.0)
        angle = radians(max(-20.0, min(20.0, rng.gauss(0, 7))))
        slack = 46 - extent * scale / 2
        self._shift = (50 + rng.uniform(-0.8, 0.8) * slack, 50 + rng.uniform(-0.7, 0.7) * slack)
        self._turn = (cos(angle) / scale, sin(angle) / scale)
        self._flip = -1.0 if rng.random() < 0.5 else 1.0

    def bring(self, image: Image.Image, unit: float, wide: int) -> Image.Image:
        """What a picture of `wide` pixels shows of an image with `unit` pixels to 1 of the sheet's 100."""
        cosine, sine = self._turn
        (mx, my), (px, py) = self._middle, self._shift
        a, b, d, e = self._flip * cosine, self._flip * sine, -sine, cosine
        ratio = 100 / wide * unit
        c, f = (mx - a * px - b * py) * unit, (my - d * px - e * py) * unit
        return image.transform(
            (wide, wide),
            Image.Transform.AFFINE,
            (a * ratio, b * ratio, c, d * ratio, e * ratio, f),
            Image.Resampling.BILINEAR,
        )


def _noise(rng: Random, columns: int, rows: int, side: int) -> Field:
    """A smooth random field around 0."""
    seeds = np.frombuffer(rng.randbytes(columns * rows), dtype=np.uint8).reshape(rows, columns)
    rough = Image.fromarray((seeds.astype(np.float32) - 127.5) / 128)
    return np.asarray(rough.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)


def _shade(sheet: Sheet, light: tuple[float, float], rng: Random) -> Image.Image:
    """How much light the cloth throws back (mode L, 128 is neutral), from its height and fresh folds."""
    side = sheet.side // 3
    height = np.asarray(sheet.heights, dtype=np.float32) / 255
    # Most folds are long and vertical, and a few are horizontal.
    folds = 0.5 * _noise(rng, 11, 3, side) + 0.3 * _noise(rng, 4, 7, side) + 0.3 * _noise(rng, 6, 6, side)
    strength = rng.uniform(0.6, 1.6)
    surface = (height + 0.22 * strength * folds) * np.float32(side / 96)
    down, across = np.gradient(surface)
    slope = across * np.float32(light[0]) + down * np.float32(light[1])
    shade = 1 - 1.15 * slope + 0.12 * (height - 0.8) + 0.05 * strength * folds
    return Image.fromarray(np.clip(shade * 128, 70, 176).astype(np.uint8))


def _shadow(cover: Image.Image, light: tuple[float, float], rng: Random) -> Field:
    """The soft shadow on the ground as a factor, 1 where there is none."""
    unit = cover.width / 100
    reach = rng.uniform(1.5, 4.5) * unit
    moved = ImageChops.offset(cover, round(-light[0] * reach), round(-light[1] * reach))
    blurred = moved.filter(ImageFilter.GaussianBlur(rng.uniform(1.2, 2.6) * unit))
    return 1 - np.float32(rng.uniform(0.3, 0.46) / 255) * np.asarray(blurred, dtype=np.float32)


def _exposure(size: int, light: tuple[float, float], rng: Random) -> Field:
    """Brightness across the picture, a little warm or cool, as an array of shape (size, size, 3)."""
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    field = 1 + 0.06 * (ramp[None, :] * np.float32(light[0]) + ramp[:, None] * np.float32(light[1]))
    warmth = rng.uniform(-0.035, 0.045)
    tint = np.array([1 + warmth, 1, 1 - warmth], dtype=np.float32) * np.float32(rng.uniform(0.9, 1.06))
    return field[..., None] * tint


def _mixed(first: Rgb, second: Rgb, share: float) -> Rgb:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _ground(wide: int, rng: Random) -> Image.Image:
    """What the garment lies on or hangs before."""
    first, second = rng.sample(GROUNDS, 2)
    ground = rng.choice((_gradient, _gradient, _room, _paper, _planks, _spot, _tiles))
    return ground(wide, first, second, rng)


def _gradient(wide: int, first: Rgb, second: Rgb, rng: Random) -> Image.Image:
    """Two colours melting into each other."""
    corners = Image.new("RGB", (2, 2))
    corners.putdata([first, _mixed(first, second, rng.random()), _mixed(first, second, rng.random()), second])
    return corners.resize((wide, wide), Image.Resampling.BICUBIC)


def _room(wide: int, first: Rgb, second: Rgb, rng: Random) -> Image.Image:
    """A wall, a skirting board and a floor."""
    image = _gradient(wide, first, _mixed(first, (255, 255, 255), 0.4), rng)
    brush = ImageDraw.Draw(image)
    floor = wide * rng.uniform(0.7, 0.86)
    brush.rectangle((0, floor, wide, wide), fill=_mixed(second, (150, 120, 90), 0.3))
    brush.rectangle((0, floor - wide * 0.03, wide, floor), fill=_mixed(second, (255, 255, 255), 0.6))
    return image


def _paper(wide: int, first: Rgb, second: Rgb, rng: Random) -> Image.Image:
    """A sheet of paper, askew on a table."""
    image = Image.new("RGB", (wide, wide), _mixed(second, (120, 110, 100), 0.18))
    tilt, inset = rng.uniform(-0.05, 0.05) * wide, rng.uniform(0.03, 0.09) * wide
    corners = [
        (inset + tilt, inset - tilt),
        (wide - inset + tilt, inset + tilt),
        (wide - inset - tilt, wide - inset + tilt),
        (inset - tilt, wide - inset - tilt),
    ]
    ImageDraw.Draw(image).polygon(corners, fill=_mixed(first, (255, 255, 255), 0.35))
    return image


def _planks(wide: int, first: Rgb, second: Rgb, rng: Random) -> Image.Image:
    """Painted floorboards."""
    image = Image.new("RGB", (wide, wide))
    brush = ImageDraw.Draw(image)
    base = _mixed(first, (196, 160, 120), rng.uniform(0.1, 0.5))
    step, upright = wide / rng.randint(4, 7), rng.random() < 0.5
    for index in range(8):
        near, far = index * step, (index + 1) * step
        box = (near, 0, far, wide) if upright else (0, near, wide, far)
        brush.rectangle(box, fill=_mixed(base, second, rng.uniform(0, 0.35)))
        seam = (far, 0, far, wide) if upright else (0, far, wide, far)
        brush.line(seam, fill=_mixed(base, (90, 70, 50), 0.35), width=max(1, wide // 110))
    return image


def _spot(wide: int, first: Rgb, second: Rgb, rng: Random) -> Image.Image:
    """A big disc behind the garment."""
    image = _gradient(wide, first, _mixed(first, (255, 255, 255), 0.3), rng)
    radius = wide * rng.uniform(0.3, 0.44)
    x, y = wide * rng.uniform(0.4, 0.6), wide * rng.uniform(0.4, 0.6)
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=second)
    return image


def _tiles(wide: int, first: Rgb, second: Rgb, rng: Random) -> Image.Image:
    """Pale tiles with their joints."""
    image = _gradient(wide, _mixed(first, (255, 255, 255), 0.3), first, rng)
    brush = ImageDraw.Draw(image)
    step, start = wide / rng.uniform(2.5, 4), rng.uniform(0, 1)
    for index in range(5):
        at = (index + start - 0.5) * step
        for line in ((at, 0, at, wide), (0, at, wide, at)):
            brush.line(line, fill=_mixed(second, first, 0.4), width=max(1, wide // 70))
    return image
