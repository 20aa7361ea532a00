"""How a word of a vocabulary enters a sentence: as an adjective, after the noun, after "is" and "has", as the noun."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from triptych.mining.wording.lexicon import (
    comparative,
    is_adjective,
    is_mass,
    is_plural,
    plural_of,
    singular_of,
    with_article,
)
from triptych.mining.wording.roles import Role, role_of
from triptych.tagging.vocabulary import Vocabulary

NOTHING = frozenset({"none", "nothing", "no", "without"})
"""The words of a vocabulary for having nothing of a group."""


@dataclass(frozen=True)
class Forms:
    """The forms of a word, or of its negation; each may be said in several ways, and may be missing."""

    role: Role
    before: tuple[str, ...] = ()
    """Before a noun: red, long-sleeved, men's."""
    after: tuple[str, ...] = ()
    """After a noun: in red, with long sleeves, for men."""
    predicate: tuple[str, ...] = ()
    """After "is": red, for men."""
    has: tuple[str, ...] = ()
    """After "has": long sleeves, a star on it, no print."""
    nouns: tuple[str, ...] = ()
    """What the thing is, without an article: shirt, trousers."""
    clauses: tuple[str, ...] = ()
    """Whole predicates: comes in red, does not have a hood."""
    bare: tuple[str, ...] = ()
    """By itself, as one types it into a search box: no stripes, anything but blue."""
    lacks: tuple[str, ...] = ()
    """After "without" and "no": stripes, hood, long sleeves. Without an article."""
    denied: tuple[str, ...] = ()
    """Of a negation, what follows "is not": blue, a skirt, for men."""
    alone: tuple[str, ...] = ()
    """A vocabulary's own sayings that are none of these; `{old}` stands for the old word."""


# What a patterned thing has.
_PATTERNS: Mapping[str, str] = {
    "striped": "stripes", "stripy": "stripes", "checked": "checks", "checkered": "checks", "dotted": "dots",
    "spotted": "spots", "polka dot": "polka dots", "polka-dot": "polka dots", "printed": "print", "zigzag": "zigzags",
    "floral": "floral print", "paisley": "paisley print", "animal-print": "animal print", "leopard": "leopard print",
    "camouflage": "camouflage print", "colour-blocked": "colour blocks", "color-blocked": "color blocks",
    "embroidered": "embroidery", "quilted": "quilting", "tropical": "tropical print", "patterned": "pattern",
    "graphic": "graphic", "abstract": "abstract print", "geometric": "geometric pattern",
}  # fmt: skip
_PLAIN = frozenset({"plain", "solid", "unpatterned", "no pattern", "none"})
_WEARERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unisex": (("unisex",), ("for men and women",)),
    "male": (("men's",), ("for men",)),
    "female": (("women's",), ("for women",)),
}
_OCCASIONS: Mapping[str, tuple[str, ...]] = {
    "party": ("for a party", "for parties"), "wedding": ("for a wedding", "for weddings"),
    "beach": ("for the beach",), "office": ("for the office",), "gym": ("for the gym",), "home": ("for the home",),
    "everyday": ("for every day",), "work": ("for work",),
}  # fmt: skip
_NO_SHADE = re.compile(r".*(?:ed|ic|ent|nude|skin|clear|colou?rs)$")  # nobody says "in metallic"
_PREPOSITION = re.compile(r"(with|without|in|for|of|on|off|from|made|showing|free of|down|to|as)\s")
_PREDICATIVE = re.compile(r"(for|in|made|off)\s")  # nobody says "is with writing"


def role_in(vocabulary: Vocabulary, group: str) -> Role:
    """The part that a group plays, by what the vocabulary states, its name or its words."""
    return role_of(group, vocabulary.groups.get(group, ()), vocabulary.roles.get(group, ""))


def forms_of(vocabulary: Vocabulary, group: str, word: str) -> Forms:
    """The forms of a word, the vocabulary's sayings among them."""
    role = role_in(vocabulary, group)
    forms = _forms(role, group, word)
    for saying in vocabulary.sayings.get(group, {}).get(word, ()):
        forms = _with_saying(forms, saying)
    return forms


def _forms(role: Role, group: str, word: str) -> Forms:
    if _PREPOSITION.match(word) and role not in ("kind", "label"):
        has = (word.removeprefix("with "),) if word.startswith("with ") else ()
        return Forms(role, after=(word,), predicate=(word,) if _PREDICATIVE.match(word) else (), has=has)
    if role == "kind":
        return Forms(role, nouns=(word,))
    if role == "colour":
        return _colour(word)
    if role == "pattern":
        return _pattern(word)
    if role == "print":
        return _print(group, word)
    if role == "material":
        return _material(word)
    if role == "wearer":
        return _wearer(word)
    if role == "occasion":
        return _occasion(word)
    if role in ("sleeves", "feature"):
        return _feature(role, group, word)
    if role == "medium":
        some = with_article(word)
        return Forms(role, after=(f"as {some}",), bare=(f"as {some}",), clauses=(f"is {some}", f"is shown as {some}"))
    if role == "quality":
        return _quality(group, word)
    return _label(group, word)


def _colour(word: str) -> Forms:
    if word == "skin":
        word = "skin-coloured"
    if _NO_SHADE.match(word):
        return Forms("colour", before=(word,), predicate=(word,))
    return Forms(
        "colour",
        before=(word,),
        after=(f"in {word}",),
        predicate=(word,),
        clauses=(
            f"is {word}",
            f"is {word}",
            f"is all {word}",
            f"is {word} in colour",
            f"is {with_article(word)} colour",
            f"has {with_article(word)} colour",
            f"is {word} coloured",
            f"is more {word}",
            f"comes in {word}",
        ),
    )


def _pattern(word: str) -> Forms:
    if word in _PLAIN:
        said = () if word in NOTHING or " " in word else (word,)
        return Forms(
            "pattern",
            said,
            ("without a pattern", "with no pattern"),
            said,
            ("no pattern",),
            clauses=("is not patterned",),
        )
    noun = _PATTERNS.get(word, word.replace("-print", " print") if word.endswith("-print") else f"{word} pattern")
    some = with_article(noun)
    return Forms("pattern", (word,), (f"with {some}",), (word,), (some,), lacks=(noun,))


def _print(group: str, word: str) -> Forms:
    name = singular_of(group)
    if word in NOTHING:
        return Forms(
            "print",
            after=(f"without {with_article(name)}", f"with no {name}"),
            has=(f"no {name}", f"no {name} on it"),
            bare=(f"no {name}", f"without {with_article(name)}"),
            clauses=(f"does not have {with_article(name)}",),
        )
    some = with_article(word)
    if is_adjective(word):
        return Forms("print", after=(f"with {some} {name}",), has=(f"{some} {name}",), lacks=(f"{word} {name}",))
    has = (f"{some} {name}", f"{some} on it")
    return Forms("print", after=tuple(f"with {one}" for one in has), has=has, lacks=(f"{word} {name}", word))


def _material(word: str) -> Forms:
    if is_adjective(word):
        return Forms("material", (word,), (), (word,))
    return Forms("material", (word,), (f"in {word}", f"made of {word}"), (f"made of {word}",))


def _wearer(word: str) -> Forms:
    before, after = _WEARERS.get(word, ((_genitive(word),), (f"for {word}",)))
    predicate = (word, *after) if word == "unisex" else after
    return Forms("wearer", before, after, predicate, clauses=tuple(f"is made {way}" for way in after))


def _genitive(noun: str) -> str:
    return f"{noun}'" if noun.endswith("s") and is_plural(noun) else f"{noun}'s"


def _occasion(word: str) -> Forms:
    if is_adjective(word):
        return Forms("occasion", (word,), (f"for {word} wear",), (word, comparative(word)), clauses=(f"looks {word}",))
    after = _OCCASIONS.get(word, (f"for {word}",))
    return Forms("occasion", (word,), after, after, clauses=tuple(f"is made {way}" for way in after))


def _feature(role: Role, group: str, word: str) -> Forms:
    """A part that a thing has: long sleeves, a crew neck, a hood, a high heel; or an adjective that says so."""
    part = "sleeves" if role == "sleeves" else singular_of(group)
    if word in NOTHING or word == f"no {part}":
        return _without(role, part, before=("sleeveless",) if role == "sleeves" else ())
    if match := re.fullmatch(r"([\w-]+)less", word):
        return replace(_without(role, plural_of(match[1]), before=(word,)), predicate=(word,))
    if match := re.fullmatch(r"(.+)[\s-](sleeve|neck|heel|strap|collar|button|pocket|toe|hood)(?:ed|led|ped|d)", word):
        noun = f"{match[1]} {plural_of(match[2]) if match[2] in ('sleeve', 'strap', 'button', 'pocket') else match[2]}"
        return _having(role, noun, adjective=word)
    if word in ("hooded", "collared"):
        return _having(role, word.removesuffix("ed"), adjective=word)
    if part in word or is_plural(word) or not is_adjective(word):
        bare = re.sub(r"\b(short|long|three-quarter|half) sleeves$", r"\1-sleeved", word)
        return _having(role, word, adjective=bare if bare != word else "")
    return _having(role, f"{word} {part}")


def _having(role: Role, noun: str, adjective: str = "") -> Forms:
    some = with_article(noun)
    said = (adjective,) if adjective else ()
    return Forms(role, said, (f"with {some}",), said, (some,), lacks=(noun,))


def _without(role: Role, part: str, before: tuple[str, ...] = ()) -> Forms:
    some = with_article(part)
    return Forms(
        role,
        before,
        (f"without {some}", f"with no {part}"),
        before,
        (f"no {part}",),
        clauses=(f"does not have {some}",),
    )


def _quality(group: str, word: str) -> Forms:
    name = singular_of(group).replace("_", " ")
    if not is_adjective(word):
        after = (f"in {name} {word}",) if name == "size" else (f"with {with_article(word)} {name}",)
        return Forms("quality", (), after, (), (f"{with_article(word)} {name}",) if name != "size" else ())
    places = {"length": f"in {with_article(word)} cut", "size": f"in {word}"}
    return Forms("quality", (word,), (places[name],) if name in places else (), (word,))


def _label(group: str, word: str) -> Forms:
    """Of a word of which nothing is known, what is always right: "the season is winter"."""
    name = group.replace("_", " ")
    if word in NOTHING:
        return _without("label", singular_of(name))
    return Forms("label", after=(f"with {word} as its {name}",), bare=(word, f"{name}: {word}"),
                 clauses=(f"has {word} as its {name}",))  # fmt: skip


def _with_saying(forms: Forms, saying: str) -> Forms:
    """The forms with one more way to say the word, which goes where its shape belongs."""
    if "{" in saying or saying.startswith(("no longer", "not ")):
        return replace(forms, alone=(*forms.alone, saying))
    if saying.startswith("having "):
        return replace(forms, has=_added(forms.has, saying.removeprefix("having ")))
    if _PREPOSITION.match(saying):
        has = saying.removeprefix("with ")
        held = (*forms.has, has) if has != saying else forms.has
        return replace(forms, after=_added(forms.after, saying), has=tuple(dict.fromkeys(held)))
    if forms.role == "kind":
        return replace(forms, nouns=_added(forms.nouns, saying))
    if re.match(r"an?\s", saying) and saying.endswith("'s"):  # a woman's
        return replace(forms, before=forms.before)
    if forms.role == "wearer":
        return forms  # without "menswear", which is not a form of the wearer's name
    if forms.role in ("sleeves", "feature", "print") and (is_plural(saying) or not is_adjective(saying)):
        return replace(forms, has=_added(forms.has, saying if is_plural(saying) else with_article(saying)))
    if is_plural(saying) and not is_mass(saying):
        return replace(forms, has=_added(forms.has, saying))
    if re.match(r"\w+er$", saying) and saying not in ("silver",):
        return replace(forms, predicate=_added(forms.predicate, saying))
    return replace(forms, before=_added(forms.before, saying), predicate=_added(forms.predicate, saying))


def _added(known: Sequence[str], one: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, one)))
