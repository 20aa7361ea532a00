"""What part a group of a vocabulary plays in a sentence: what its words name, by the group's name and their shape."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from triptych.mining.wording.lexicon import is_adjective, is_plural, words_of

Role = Literal[
    "kind",
    "colour",
    "pattern",
    "print",
    "material",
    "wearer",
    "occasion",
    "sleeves",
    "feature",
    "quality",
    "medium",
    "label",
]
"""What the words of a group name: what a thing is, its colour, pattern, motif, material, who wears it, what it is for,
its sleeves, another part that it has, what it is like (an adjective), what the picture is, or anything else."""

ROLES: tuple[str, ...] = get_args(Role)

_BY_NAME: Mapping[str, Role] = {
    **dict.fromkeys(("colour", "color", "hue", "shade", "tint", "base colour", "basecolour", "main colour"), "colour"),
    **dict.fromkeys(
        ("kind", "type", "category", "class", "product", "article", "article type", "garment", "item", "object",
         "subcategory", "species", "animal", "breed", "product type", "subject", "thing", "vehicle", "dish"), "kind"),
    **dict.fromkeys(("pattern", "texture", "weave"), "pattern"),
    **dict.fromkeys(("print", "graphic", "motif", "logo", "picture", "emblem"), "print"),
    **dict.fromkeys(("material", "fabric", "textile", "leather", "wood", "metal", "stuff"), "material"),
    **dict.fromkeys(("gender", "sex", "wearer", "audience", "age group", "for whom", "person"), "wearer"),
    **dict.fromkeys(("usage", "occasion", "use", "purpose", "activity", "season", "event", "sport", "room"),
                    "occasion"),
    **dict.fromkeys(("sleeve", "sleeves", "sleeve length"), "sleeves"),
    **dict.fromkeys(
        ("neckline", "neck", "collar", "closure", "fastening", "heel", "toe", "strap", "straps", "pocket", "pockets",
         "handle", "leg", "legs", "hem", "cuff", "hood", "back", "waist", "lapel", "top", "base", "lid", "background"),
        "feature"),
    **dict.fromkeys(("medium", "rendering", "technique"), "medium"),
    **dict.fromkeys(
        ("length", "size", "height", "width", "fit", "cut", "shape", "silhouette", "style", "look", "mood", "condition",
         "weight", "finish", "depth", "volume"), "quality"),
}  # fmt: skip
_COLOURS = words_of("black white grey gray red blue green yellow brown pink orange purple")
_PATTERNS = words_of("plain striped checked floral dotted printed plaid")
_MATERIALS = words_of("cotton leather wool silk denim linen wood metal steel glass plastic polyester velvet")
_WEARERS = words_of("men women boys girls unisex kids children")
_ENOUGH = 0.4  # share of a group's words with a telling word, from which the group gets the role of that word
_PREPOSITION = re.compile(r"(?:with|without|in|for|of|on|having|showing)\s")


def role_of(group: str, words: Sequence[str], stated: str = "") -> Role:
    """The part that a group plays.

    Args:
        group: its name.
        words: its words.
        stated: what the vocabulary says of it; empty where it says nothing.
    """
    for role in get_args(Role):
        if role == stated:
            return role  # type: ignore[no-any-return]
    name = re.sub(r"[\s_-]+", " ", group.strip().lower())
    for known in (name, name.split()[-1] if name else ""):
        if known in _BY_NAME:
            return _checked(_BY_NAME[known], words)
    for telling, role in _TELLING:
        if sum(bool(set(word.lower().split()) & telling) for word in words) >= _ENOUGH * len(words):
            return role
    if sum(is_adjective(word) or bool(_PREPOSITION.match(word)) for word in words) >= 0.8 * len(words):
        return "quality"
    return "label"


_TELLING: tuple[tuple[frozenset[str], Role], ...] = (
    (_COLOURS, "colour"),
    (_PATTERNS, "pattern"),
    (_MATERIALS, "material"),
    (_WEARERS, "wearer"),
)


def _checked(role: Role, words: Sequence[str]) -> Role:
    """A role that the words fit: a style may be "flowers", a sleeve "off-shoulder"."""
    if role == "quality" and sum(map(is_adjective, words)) < len(words) / 2 and not any(map(is_plural, words)):
        return "label"
    return role
