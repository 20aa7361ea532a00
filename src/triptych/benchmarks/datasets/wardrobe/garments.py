"""The attributes of garments, and which kinds of garment have which."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

Rgb = tuple[int, int, int]

VOCABULARY = Path(__file__).parent / "vocabulary.json"
"""The words of `vocabulary()`, with other ways to say them, for the agent and the baselines."""

COLOURS: Mapping[str, Rgb] = {
    "black": (44, 44, 50),
    "white": (247, 245, 239),
    "grey": (150, 153, 158),
    "red": (212, 47, 50),
    "orange": (242, 129, 38),
    "yellow": (248, 206, 62),
    "green": (66, 156, 78),
    "teal": (20, 148, 150),
    "blue": (60, 126, 226),
    "navy": (34, 46, 104),
    "purple": (132, 76, 176),
    "pink": (246, 152, 188),
    "brown": (124, 80, 50),
}
PATTERNS = ("plain", "striped", "checked", "dotted", "zigzag", "floral")
SLEEVES = ("sleeveless", "short-sleeved", "long-sleeved")
NECKLINES = ("crew neck", "v-neck", "collar", "turtleneck", "hood")
LENGTHS = ("short", "long")
PRINTS = ("none", "star", "heart", "moon", "flower", "anchor", "lightning bolt", "cat", "tree")


@dataclass(frozen=True, slots=True)
class Kind:
    """The attributes that garments of one kind can have. A tuple is empty if the kind lacks the attribute."""

    sleeves: tuple[str, ...] = ()
    necklines: tuple[str, ...] = ()
    lengths: tuple[str, ...] = ()
    prints: tuple[str, ...] = ()
    patterns: tuple[str, ...] = PATTERNS


KINDS: Mapping[str, Kind] = {
    "t-shirt": Kind(SLEEVES, ("crew neck", "v-neck", "collar"), prints=PRINTS),
    "shirt": Kind(SLEEVES, ("collar",)),
    "sweater": Kind(SLEEVES, ("crew neck", "v-neck", "turtleneck"), prints=PRINTS),
    "hoodie": Kind(SLEEVES, ("hood",), prints=PRINTS),
    "jacket": Kind(("sleeveless", "long-sleeved"), ("collar", "hood"), LENGTHS),
    "dress": Kind(SLEEVES, ("crew neck", "v-neck", "collar"), LENGTHS),
    "skirt": Kind(lengths=LENGTHS),
    "trousers": Kind(),
    "shorts": Kind(),
}
CHANGEABLE = ("colour", "pattern", "sleeve", "print", "length")


@dataclass(frozen=True, slots=True)
class Garment:
    """One garment. An attribute that its kind lacks is the empty string.

    `line` is the design that it belongs to. Garments of one line share every detail that words do not name.
    """

    kind: str
    colour: str
    pattern: str
    sleeve: str
    neckline: str
    length: str
    print: str
    line: int

    def attributes(self) -> dict[str, str]:
        """The attributes by name, without the line."""
        return {name: str(value) for name, value in asdict(self).items() if name != "line"}


def changes(reference: Garment, target: Garment) -> dict[str, str]:
    """The attributes of `target` that differ from those of `reference`."""
    before = reference.attributes()
    return {name: value for name, value in target.attributes().items() if value != before[name]}


def options(kind: str, attribute: str) -> tuple[str, ...]:
    """The values that a changeable attribute can have for a kind of garment."""
    having = KINDS[kind]
    return {
        "colour": tuple(COLOURS),
        "pattern": having.patterns,
        "sleeve": having.sleeves,
        "print": having.prints,
        "length": having.lengths,
    }[attribute]


def sample(line: int, rng: Random) -> Garment:
    """Draw the first garment of a line, with random attributes."""
    kind = rng.choice(tuple(KINDS))
    having = KINDS[kind]

    def one(values: tuple[str, ...]) -> str:
        return rng.choice(values) if values else ""

    # Plain and unprinted are as frequent as in a shop; a print on a loud pattern is rare.
    pattern = "plain" if rng.random() < 0.4 else one(having.patterns)
    bare = rng.random() < (0.25 if pattern == "plain" else 0.5)
    return Garment(
        kind=kind,
        colour=one(tuple(COLOURS)),
        pattern=pattern,
        sleeve=one(having.sleeves),
        neckline=one(having.necklines),
        length=one(having.lengths),
        print="none" if bare and having.prints else one(having.prints),
        line=line,
    )


def vocabulary() -> dict[str, list[str]]:
    """Every attribute, with the words that captions use for it."""
    return {
        "colour": list(COLOURS),
        "kind": list(KINDS),
        "pattern": list(PATTERNS),
        "sleeve": list(SLEEVES),
        "neckline": list(NECKLINES),
        "length": list(LENGTHS),
        "print": list(PRINTS),
    }
