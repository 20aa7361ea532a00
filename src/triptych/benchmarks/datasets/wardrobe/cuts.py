"""The cut of a line: details that no text names, and that all garments of the line share."""

from dataclasses import dataclass
from functools import lru_cache
from random import Random

from triptych.benchmarks.datasets.wardrobe.garments import COLOURS, Rgb

CREAM, INK, MUSTARD = (250, 240, 216), (48, 46, 58), (238, 190, 74)
CORAL, SKY, MINT = (240, 112, 96), (150, 200, 236), (170, 220, 190)


@dataclass(frozen=True, slots=True)
class Cut:
    """Proportions, from -1 to 1 around the usual ones, and choices."""

    width: float
    flare: float
    drop: float
    hem: float
    neck: float
    depth: float
    arm: float
    cuff: float
    collar: float
    rise: float
    weave_scale: float
    weave_angle: float
    weave_share: float
    weave_style: float
    print_size: float
    print_tilt: float
    print_aside: bool
    trims: frozenset[str]
    pocket: str
    fastening: str
    buttons: int
    accents: tuple[str, ...]
    tint: Rgb


ACCENTS = ("cream", "deep", "pale", "ink", "mustard", "coral", "sky", "mint")
TRIMS = ("neck", "cuffs", "hem", "sleeves", "yoke", "belt", "pleats")


@lru_cache(maxsize=64)
def cut_of(line: int) -> Cut:
    """The cut of a line, by its number."""
    rng = Random(f"cut of line {line}")

    def about() -> float:
        return rng.uniform(-1, 1)

    return Cut(
        width=about(),
        flare=about(),
        drop=about(),
        hem=about(),
        neck=about(),
        depth=about(),
        arm=about(),
        cuff=about(),
        collar=about(),
        rise=about(),
        weave_scale=about(),
        weave_angle=rng.choice((0.0, 0.0, 90.0, 45.0, -30.0, 20.0)),
        weave_share=about(),
        weave_style=rng.random(),
        print_size=about(),
        print_tilt=about(),
        print_aside=rng.random() < 0.22,
        trims=frozenset(trim for trim in TRIMS if rng.random() < 0.33),
        pocket=rng.choice(("none", "left", "right", "both")),
        fastening=rng.choice(("buttons", "zip")),
        buttons=rng.randint(3, 6),
        # The first two weigh more: a shop's second colour is mostly a neutral or a tone of the first.
        accents=tuple(rng.sample(ACCENTS[:4], 2) + rng.sample(ACCENTS, len(ACCENTS)))
        if rng.random() < 0.65
        else tuple(rng.sample(ACCENTS, len(ACCENTS))),
        tint=(rng.randint(-9, 9), rng.randint(-9, 9), rng.randint(-9, 9)),
    )


def toned(colour: Rgb, factor: float) -> Rgb:
    """A colour made deeper (`factor` below 1) or paler (above 1)."""
    if factor <= 1:
        red, green, blue = (round(part * factor) for part in colour)
    else:
        red, green, blue = (round(255 - (255 - part) / factor) for part in colour)
    return red, green, blue


def luminance(colour: Rgb) -> float:
    """The perceived lightness of a colour, from 0 to 255."""
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def seam(colour: Rgb) -> Rgb:
    """The colour of seams and outlines on cloth: deeper than the cloth, or paler if the cloth is almost black."""
    return toned(colour, 0.66) if luminance(colour) > 66 else toned(colour, 1.36)


def cloth(colour: str, cut: Cut) -> Rgb:
    """The main colour of a garment: the named colour, varied a little by the line."""
    red, green, blue = (max(0, min(255, part + shift)) for part, shift in zip(COLOURS[colour], cut.tint, strict=True))
    return red, green, blue


def accent(main: Rgb, cut: Cut, *, quiet: bool = False) -> Rgb:
    """The second colour: the first of the line's favourite colours that contrasts with the main one.

    A `quiet` one is a neutral or a tone of the main colour.
    """
    palette = {
        "cream": CREAM,
        "ink": INK,
        "mustard": MUSTARD,
        "coral": CORAL,
        "sky": SKY,
        "mint": MINT,
        "deep": toned(main, 0.52),
        "pale": toned(main, 2.4),
    }

    def stands_out(other: Rgb) -> bool:
        difference = sum(abs(a - b) for a, b in zip(main, other, strict=True)) / 3
        return difference > 62 and abs(luminance(main) - luminance(other)) > 38

    names = [name for name in cut.accents if name in ACCENTS[:4] or not quiet]
    fallback = INK if luminance(main) > 140 else CREAM
    return next((palette[name] for name in names if stands_out(palette[name])), fallback)
