"""Lines of garments: one design in several colours and variants, as a shop offers it."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from triptych.benchmarks.datasets.wardrobe.garments import CHANGEABLE, Garment, options, sample

# How often a variant differs from its sibling in what; attributes that a kind lacks drop out.
_STEPS: Mapping[tuple[str, ...], float] = {
    ("colour",): 9,
    ("pattern",): 3,
    ("sleeve",): 3,
    ("print",): 7,
    ("length",): 4,
    ("colour", "pattern"): 2,
    ("colour", "sleeve"): 2,
    ("colour", "print"): 4,
    ("colour", "length"): 1,
    ("pattern", "sleeve"): 1,
    ("print", "sleeve"): 1,
    ("length", "pattern"): 1,
}


def changeable(kind: str) -> tuple[str, ...]:
    """The attributes in which garments of one line can differ."""
    return tuple(attribute for attribute in CHANGEABLE if options(kind, attribute))


def design(line: int, rng: Random) -> list[Garment]:
    """The 3 to 5 different garments of a new line. Each is one or two changes away from an earlier one."""
    garments = [sample(line, rng)]
    steps = {step: weight for step, weight in _STEPS.items() if set(step) <= set(changeable(garments[0].kind))}
    wanted = rng.randint(3, 5)
    while len(garments) < wanted:
        sibling = rng.choice(garments)
        (step,) = rng.choices(list(steps), list(steps.values()))
        other = {attribute: _another(sibling, attribute, rng) for attribute in step}
        variant = replace(sibling, **other)  # type: ignore[arg-type]
        if variant not in garments:
            garments.append(variant)
    return garments


def _another(garment: Garment, attribute: str, rng: Random) -> str:
    """Another value of an attribute. A print is removed as often as it is replaced."""
    current = garment.attributes()[attribute]
    if attribute in ("print", "pattern") and current not in ("none", "plain") and rng.random() < 0.4:
        return "none" if attribute == "print" else "plain"
    return rng.choice([value for value in options(garment.kind, attribute) if value != current])
