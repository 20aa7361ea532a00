"""A small grammar: forms of one or two changes become noun phrases, modifiers and predicates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych.mining.wording.forms import Forms
from triptych.mining.wording.lexicon import is_pair, is_plural, may_have_sleeves, with_article

_ORDER = (
    "quality", "occasion", "sleeves", "feature", "pattern", "print", "label", "medium", "colour", "material", "wearer",
    "kind",
)  # fmt: skip
"""Of adjectives before a noun: length and size, pattern, colour, material; the wearer stands next to the noun."""
_PREPOSITIONS = ("in", "of", "made", "to", "down", "off", "with", "showing", "without", "for")
_ONE = "one"
_PAIR = 0.4  # share of plural nouns such as trousers that are worded as a pair


@dataclass(frozen=True)
class Parts:
    """What the changes of a question are in a sentence; empty where they cannot be said so."""

    thing: str
    """With an article: a red dress, one with long sleeves."""
    after: str
    """After a noun: in red with long sleeves."""
    predicate: str
    """After "be": red, striped and not blue. Of a single negation, nothing."""
    denied: str
    """After "be not", of a single negation: blue, a skirt."""
    clauses: str
    """With a verb in the third person: is red and has long sleeves."""
    bare: str
    """Typed into a search box: red, long sleeves."""
    item: str = ""
    """What the thing is, where that stays: shirt."""
    of_item: str = ""
    """That thing with the changes, with an article: a red shirt."""


Random = np.random.Generator


def parts_of(forms: Sequence[Forms], random: Random, item: str = "") -> Parts:
    """Put the forms of one or two changes together, drawing among the ways that there are."""
    shuffled = [forms[place] for place in random.permutation(len(forms))]
    others = [one for one in forms if one.role != "kind"]
    if any(one.role == "sleeves" for one in forms) and not may_have_sleeves(item):
        item = ""
    noun = next((_pick(one.nouns, random) for one in forms if one.nouns), "")
    thing = "" if len(others) < len(forms) and not noun else _thing(noun or _ONE, others, random)
    denied = forms[0].denied if len(forms) == 1 else ()
    return Parts(
        thing=thing,
        after="" if len(others) < len(forms) else _after(others, random),
        predicate="" if noun else _predicate(shuffled, random),
        denied=_pick(denied, random) if denied else "",
        clauses=_clauses(shuffled, thing, random) if thing or not noun else "",
        bare=_bare(shuffled, noun, others, random),
        item=item,
        of_item=_thing(item, others, random) if item and len(others) == len(forms) else "",
    )


def _pick(ways: Sequence[str], random: Random) -> str:
    return ways[int(random.integers(len(ways)))]


def _thing(noun: str, others: Sequence[Forms], random: Random) -> str:
    """A noun phrase with its article, each form before the noun or after it; empty where one has no place there."""
    split = _placed(noun, others, random)
    if split is None:
        return ""
    before, after = split
    core = " ".join([*before, noun])
    with_pair = _some(core) if random.random() < _PAIR else with_article(core)
    some = _ONE if noun == _ONE and not before else with_pair
    return f"{some} {after}" if after else some


def _some(core: str) -> str:
    return f"a pair of {core}" if is_pair(core) else with_article(core)


def _placed(noun: str, others: Sequence[Forms], random: Random) -> tuple[list[str], str] | None:
    """The words before a noun, in their order, and those after it; None where they do not go together."""
    if any(one.role == "sleeves" for one in others) and not may_have_sleeves(noun):
        return None
    before: list[tuple[int, str]] = []
    after: list[Forms] = []
    for one in others:
        # Nobody says "a men's one".
        fits = one.before and not (noun == _ONE and one.role in ("wearer", "occasion") and "'" in one.before[0])
        if fits and (not one.after or random.random() < 0.5):
            before.append((_ORDER.index(one.role), _pick(one.before, random)))
        elif one.after:
            after.append(one)
        else:
            return None
    return [word for _, word in sorted(before)], _after(after, random) if after else ""


def _after(forms: Sequence[Forms], random: Random) -> str:
    """Modifiers after a noun, those with one preposition joined; empty where a form has none."""
    if not all(one.after for one in forms):
        return ""
    said = [_pick(one.after, random) for one in forms]
    said.sort(key=lambda text: (_place(text), " on " in text))
    joined: list[str] = []
    for text in said:
        first = text.split()[0]
        if joined and first in ("with", "without") and joined[-1].startswith(first + " "):
            joined[-1] += " and " + text.removeprefix(first + " ")
        else:
            joined.append(text)
    return " ".join(joined)


def _place(text: str) -> int:
    first = text.split()[0]
    return _PREPOSITIONS.index(first) if first in _PREPOSITIONS else len(_PREPOSITIONS)


def _predicate(forms: Sequence[Forms], random: Random) -> str:
    """What follows "be": adjectives joined by "and", then what can only stand after them."""
    adjectives = [_pick(one.predicate, random) for one in forms if one.predicate]
    rest = [one for one in forms if not one.predicate]
    if not adjectives or not all(one.after for one in rest) or all(one.startswith("not ") for one in adjectives):
        return ""
    if any(" and " in one or "instead" in one or " than " in one for one in adjectives) and len(forms) > 1:
        return ""
    # What is denied comes last, after what is not an adjective.
    adjectives.sort(key=lambda text: (text.startswith(("not ", "any ")), text.startswith(("for ", "made "))))
    said = " and ".join(adjectives)
    return f"{said} {_after(rest, random)}" if rest else said


def _clauses(forms: Sequence[Forms], thing: str, random: Random) -> str:
    """Predicates in the third person, joined as people join them."""
    if any(one.nouns for one in forms):
        return f"is {_some(thing) if is_plural(thing) and not thing.startswith('a ') else thing}"
    found = [_clause(one, random) for one in forms]
    if not all(found):
        return ""
    # What is denied comes last: "is red and has no stripes".
    found.sort(key=_denies)
    if len(forms) == 1 and forms[0].role == "sleeves":  # the wardrobe's queries say "has long sleeves"
        found = [clause.replace("has ", "comes with ") if clause.startswith("has ") else clause for clause in found]
    (verb, first), *others = (clause.split(" ", 1) for clause in found)
    said = f"{verb} {first}"
    for other, rest in others:
        if other == verb in ("is", "has") and random.random() < 0.7:
            said += f" and {rest}"
        elif verb == "is" and other == "has" and not _denies(f"has {rest}") and random.random() < 0.5:
            said += f" with {rest}"
        else:
            said += f" and {other} {rest}"
    return said


def _clause(form: Forms, random: Random) -> str:
    ways = [*form.clauses, *(f"is {way}" for way in form.predicate), *(f"has {way}" for way in form.has)]
    if form.nouns:
        ways += [f"is {_some(noun)}" for noun in form.nouns]
    if not ways:
        ways = [f"comes {way}" for way in form.after]
    return _pick(ways, random) if ways else ""


def _denies(clause: str) -> bool:
    return any(word in f" {clause} " for word in (" not ", " no ", " doesn't ", " any ", " other ", " different "))


def _bare(forms: Sequence[Forms], noun: str, others: Sequence[Forms], random: Random) -> str:
    """As one types it into a search box: without articles and verbs."""
    if noun:
        split = _placed(noun, others, random)
        return " ".join([*split[0], noun, *([split[1]] if split[1] else [])]) if split else ""
    found = [_keywords(one, random) for one in forms]
    return ", ".join(found) if all(found) else ""


def _keywords(form: Forms, random: Random) -> str:
    own = [*form.bare, *(saying for saying in form.alone if "{old}" not in saying)]
    ways = own or [*form.before, *map(_without_article, form.has)] or [*form.after]
    return _pick(ways, random) if ways else ""


def _without_article(phrase: str) -> str:
    return phrase.removeprefix("a ").removeprefix("an ")


def verb_of(noun: str) -> str:
    """The form of "be" that a noun takes."""
    return "are" if is_plural(noun) else "is"
