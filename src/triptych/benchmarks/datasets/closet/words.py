"""Natural words for the values of the closet's annotations."""

from collections.abc import Mapping

KINDS: Mapping[str, str] = {
    "long-sleeve-top": "long-sleeved top",
    "tank-top": "tank top",
}
"""The word for a single item of a kind, if the value itself is not that word."""

PLURALS = frozenset(
    {"shorts", "trousers", "jeans", "joggers", "leggings", "sandals", "sneakers", "shoes", "boots", "heels", "pyjamas"}
)

COLOURS: Mapping[str, str] = {"light-blue": "light blue", "multicolour": "multicoloured"}

# Weaves and yarns without a printed pattern count as plain, since annotators agree on them in only 4 of 5 cases.
PLAIN = frozenset({"plain", "melange", "knit", "denim", "lace"})
PATTERNS: Mapping[str, str] = {
    "plain": "plain",
    "print": "printed",
    "striped": "striped",
    "checked": "checked",
    "colour-block": "colour-blocked",
    "floral": "floral",
    "dotted": "dotted",
    "animal": "animal-print",
    "camouflage": "camouflage",
}
SLEEVES: Mapping[str, str] = {
    "long": "long sleeves",
    "short": "short sleeves",
    "three-quarter": "three-quarter sleeves",
    "none": "no sleeves",
}

USUAL_SLEEVES: Mapping[str, str] = {
    "blazer": "long",
    "cardigan": "long",
    "coat": "long",
    "hoodie": "long",
    "jacket": "long",
    "long-sleeve-top": "long",
    "polo": "short",
    "sweatshirt": "long",
    "t-shirt": "short",
    "tank-top": "none",
    "vest": "none",
}
"""The sleeves that a kind usually has. They follow the kind and are not mentioned."""


def with_article(kind: str) -> str:
    """A kind with its article, if it takes one: "a shirt", "an orange shirt", "trousers"."""
    if kind.split()[-1] in PLURALS:
        return kind
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
