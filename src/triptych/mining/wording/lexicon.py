"""What the grammar knows of words: number, articles, comparatives, scales, and rules for words that are not listed."""

import re
from collections.abc import Mapping, Sequence


def words_of(text: str) -> frozenset[str]:
    """The words of a text, for lists that are easier to read as one."""
    return frozenset(text.split())


_PLURALS = frozenset({"men", "women", "children", "people", "feet", "teeth"})
_SINGULARS = ("ss", "us", "is", "canvas", "atlas", "christmas", "chaos")
# Nouns of which one speaks as of a pair; of longer names, the last word counts.
_PAIRS = words_of(
    "trousers pants jeans shorts leggings jeggings joggers tights capris briefs boxers trunks pyjamas pajamas "
    "shoes boots sandals slippers heels flats flops flip-flops sneakers trainers loafers floaters pumps mules "
    "socks stockings gloves mittens earrings cufflinks glasses sunglasses goggles chinos overalls dungarees "
    "headphones scissors skis"
)
_MASS = words_of(
    "kajal sunscreen luggage furniture jewellery jewelry clothing lingerie hosiery makeup equipment embroidery "
    "lace fringe fur denim linen stationery bedding lighting upholstery piping ruching make-up care "
    "bread pasta soup soap shampoo fruit"
)
_NO_SLEEVES = words_of(
    "skirt kilt bag handbag backpack rucksack purse clutch wallet hat cap beanie headband scarf shawl stole tie belt "
    "watch ring necklace pendant bracelet bangle brooch umbrella bra waistcoat vest poncho longsleeve jewellery"
)
_MASS_ENDING = re.compile(r".*(wear|ware)$")
_VOWEL = re.compile(r"(?:[ai]|e(?!u)|o(?!ne\b|ne-|nce)|u(?!ni(?!n)|s[ae]|r[aei]|k)|hour|honest|heir)", re.IGNORECASE)
_ADJECTIVE = re.compile(
    r".*(?:[^aeiou]ed|[aeiou][^aeiou]ed|ied|ous|ful|less|able|ible|ish|ive|ical|ic|al|ary|ern|esque|like|proof|free|ing)$"
)
_ADJECTIVES = words_of(
    "off-shoulder off-the-shoulder short long wide narrow high low tall deep thick thin slim loose tight large "
    "small big mini maxi midi medium tiny huge round square oval straight flat plain solid sheer bright dark "
    "light pale soft hard warm cool cold heavy new old open closed modern vintage rustic sporty smart festive "
    "elegant chic casual formal ethnic everyday striped checked dotted floral fluffy furry shiny glossy matt "
    "matte silky woolly wooden woollen golden leathery young adult wet dry sunny cloudy snowy rainy foggy empty "
    "full dirty clean crowded busy quiet indoor outdoor rectangular flared skinny relaxed regular fitted "
    "oversized cropped knee-length ankle-length floor-length unisex checkered plaid neutral pointed pointy "
    "asymmetric asymmetrical sleeveless strapless fierce calm happy sad angry simple ornate bold sparkly glittery "
    "stripy spotty flowery frilly lacy baggy comfy fancy dressy trendy classic retro"
)
_NOT_ADJECTIVES = words_of(
    "fabric metal animal floral-print plastic ceramic crystal ring earring wing building wedding training petal "
    "coral medal sandal floaters table cable vegetable bed shed wool bedding picnic clothing clothes weed seed "
    "reed feed speed salwar kurta bangle music topic mosaic tunic logo lighting evening camping hiking running "
    "swimming yachting"
)

_COMPARATIVES = {"good": "better", "bad": "worse", "far": "farther"}
_SCALES: Sequence[tuple[Sequence[str], str, str]] = (
    (("micro", "mini", "short", "knee-length", "midi", "medium", "calf-length", "long", "ankle-length", "maxi",
      "floor-length"), "shorter", "longer"),
    (("extra small", "xs", "s", "small", "m", "medium", "l", "large", "big", "xl", "extra large", "xxl", "huge"),
     "smaller", "larger"),
    (("flat", "low", "kitten", "mid", "medium", "high", "tall", "very high"), "lower", "higher"),
    (("skinny", "slim", "narrow", "fitted", "regular", "straight", "relaxed", "loose", "wide", "baggy", "oversized"),
     "narrower", "wider"),
    (("sheer", "thin", "light", "medium", "thick", "heavy"), "thinner", "thicker"),
)  # fmt: skip
_SLEEVES = ("no", "cap", "short", "elbow", "half", "three-quarter", "3/4", "long", "full")

# Of 10 for white; what is not listed is on no scale.
_LIGHTNESS = {
    "black": 0, "charcoal": 2, "navy": 2, "navy blue": 2, "dark blue": 2, "dark green": 2, "dark grey": 2.5,
    "maroon": 2.5, "burgundy": 2.5, "brown": 3, "dark brown": 2, "coffee brown": 3, "purple": 3, "olive": 4,
    "green": 4.5, "blue": 4, "red": 4.5, "teal": 4, "grey": 5, "gray": 5, "magenta": 5, "rust": 4.5, "mauve": 6,
    "taupe": 5.5, "khaki": 6, "tan": 6.5, "turquoise": 6.5, "orange": 6.5, "coral": 7, "mustard": 6.5, "pink": 7.5,
    "yellow": 8, "light blue": 8, "light grey": 8, "light green": 8, "lavender": 8, "peach": 8.5, "beige": 8.5,
    "cream": 9.3, "off-white": 9.6, "off white": 9.6, "ivory": 9.5, "white": 10,
}  # fmt: skip
_DECISIVE = 2.5  # difference of lightness from which one colour is called lighter or darker

_FAMILIES = {
    "blue": ("navy", "turquoise", "teal", "denim", "indigo"),
    "red": ("maroon", "burgundy", "wine", "scarlet", "crimson", "rust"),
    "green": ("olive", "teal", "mint", "khaki"),
    "pink": ("rose", "magenta", "peach", "coral", "fuchsia"),
    "purple": ("lavender", "mauve", "violet", "plum", "lilac"),
    "grey": ("charcoal", "silver", "steel"),
    "brown": ("tan", "taupe", "camel", "bronze", "copper"),
    "white": ("cream", "ivory"),
    "yellow": ("mustard", "gold"),
    "beige": ("cream", "nude", "skin", "tan"),
    "striped": ("stripy",),
    "shoes": ("sneakers", "trainers", "loafers"),
    "trousers": ("pants", "chinos", "joggers"),
}


def with_article(phrase: str) -> str:
    """A phrase with the indefinite article, where its noun takes one: "an orange shirt", but "jeans" and "swimwear"."""
    return phrase if is_plural(phrase) or is_mass(phrase) else f"{'an' if _VOWEL.match(phrase) else 'a'} {phrase}"


def is_plural(noun: str) -> bool:
    """Whether a noun, or the last word of a longer name, stands in the plural."""
    last = _head(noun)
    return (
        last in _PLURALS or last in _PAIRS or (last.endswith("s") and not last.endswith(_SINGULARS) and len(last) > 3)
    )


def is_mass(noun: str) -> bool:
    """Whether a noun is uncountable, such as swimwear."""
    last = _head(noun)
    return last in _MASS or bool(_MASS_ENDING.match(last))


def is_pair(noun: str) -> bool:
    """Whether one says "a pair of" it."""
    return _head(noun) in _PAIRS


def may_have_sleeves(noun: str) -> bool:
    """Whether to speak of a thing's sleeves: not of trousers, and not of what has them in its name."""
    return not noun or ("sleeve" not in noun and not is_pair(noun) and _head(noun) not in _NO_SLEEVES)


def plural_of(noun: str) -> str:
    """The plural of a noun: sleeve, sleeves; strap, straps."""
    if is_plural(noun) or is_mass(noun):
        return noun
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else noun + "s"


def singular_of(noun: str) -> str:
    """The singular of a group's name: sleeves, sleeve."""
    if not is_plural(noun) or noun in _PAIRS:
        return noun
    return noun[:-3] + "y" if noun.endswith("ies") else noun[:-1]


def is_adjective(word: str) -> bool:
    """Whether a word is taken for an adjective: listed, or by its ending."""
    last = word.lower().split()[-1]
    if last in _NOT_ADJECTIVES or is_plural(last):
        return False
    return last in _ADJECTIVES or last.split("-")[-1] in _ADJECTIVES or bool(_ADJECTIVE.match(last))


def comparative(adjective: str) -> str:
    """Longer for long, more casual for casual."""
    if known := _COMPARATIVES.get(adjective):
        return known
    if " " in adjective or "-" in adjective or not re.fullmatch(r"[^aeiou]*[aeiouy]{1,2}[^aeiouy]*[ey]?", adjective):
        return f"more {adjective}"
    if adjective.endswith("e"):
        return adjective + "r"
    if adjective.endswith("y"):
        return adjective[:-1] + "ier"
    doubled = re.fullmatch(r"[^aeiou]*[aeiou][bdgmnpt]", adjective)
    return adjective + adjective[-1] * bool(doubled) + "er"


def compared(old: str, new: str, words: Sequence[str]) -> str:
    """How sizes differ, such as "longer", where all words of a group lie on a scale; else nothing."""
    lowered = [word.lower() for word in words]
    for scale, less, more in _SCALES:
        if set(lowered) <= set(scale):
            step = scale.index(new.lower()) - scale.index(old.lower())
            return more if step > 0 else less if step < 0 else ""
    return ""


def compared_colours(old: str, new: str) -> str:
    """Lighter or darker, where that is sure; else nothing."""
    before, after = _LIGHTNESS.get(old.lower()), _LIGHTNESS.get(new.lower())
    if before is None or after is None or abs(after - before) < _DECISIVE:
        return ""
    return "lighter" if after > before else "darker"


def compared_sleeves(old: str, new: str) -> str:
    """Shorter or longer, of sleeves such as "short" and "no"; else nothing, and for what has none."""
    if old not in _SLEEVES or new not in _SLEEVES or "no" in (old, new):
        return ""
    return "longer" if _SLEEVES.index(new) > _SLEEVES.index(old) else "shorter"


def excluded_by(word: str, words: Sequence[str], texts: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The words that "not `word`" excludes: itself, and those that name a kind of it, as navy is a blue.

    Args:
        word: the excluded word.
        words: all words of its group.
        texts: other ways to say each of them; a way that holds the word makes its word a kind of it.
    """
    kin = {word, *_FAMILIES.get(word, ())}
    wanted = set(re.split(r"[\s-]+", word.lower()))

    def is_kind(other: str) -> bool:
        return any(wanted <= set(re.split(r"[\s-]+", text.lower())) for text in (other, *texts.get(other, ())))

    return tuple(other for other in words if other in kin or (len(wanted) == 1 and is_kind(other)))


def american(text: str) -> str:
    """American spelling of the words that the grammar itself uses, and of common colours."""
    return re.sub(r"\b([Gg])rey", r"\1ray", text.replace("olour", "olor"))


def _head(noun: str) -> str:
    """The word that decides the number of a noun phrase."""
    return re.split(r" (?:of|with|in|for|on|without) ", noun.lower())[0].split()[-1] if noun.strip() else ""
