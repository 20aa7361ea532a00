"""Texts about garments: captions in the style of a shop, and modifications in the style of customers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from triptych.benchmarks.datasets.wardrobe.garments import Garment, changes

Voice = Literal["val", "test"]

_PLURAL = ("trousers", "shorts")
_PATTERN_NOUNS = {
    "plain": "no pattern",
    "striped": "stripes",
    "checked": "checks",
    "dotted": "dots",
    "zigzag": "a zigzag pattern",
    "floral": "a floral pattern",
}
_NECKLINE_NOUNS = {
    "crew neck": "a crew neck",
    "v-neck": "a v-neck",
    "collar": "a collar",
    "turtleneck": "a turtleneck",
    "hood": "a hood",
}
_SLEEVE_NOUNS = {
    "sleeveless": "no sleeves",
    "short-sleeved": "short sleeves",
    "long-sleeved": "long sleeves",
}


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _some(phrase: str, kind: str) -> str:
    """With an article, or as a pair."""
    return f"a pair of {phrase}" if kind in _PLURAL else _a(phrase)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


# {it}: the garment with adjectives and details; {some}: the same with an article.
_CAPTIONS = (
    "{it}",
    "{it}",
    "{some}",
    "a picture of {some}",
    "a photo of {some}",
    "{some} on a light background",
    "new in: {it}",
    "shop the {it}",
    "our {it}",
    "the {it}, seen from the front",
    "{it}, product photo",
    "{some}, laid flat",
    "online shop picture of {some}",
)
_LOOSE = (
    "{kind} in {colour}{details}",
    "{some_kind} in {colour}{details}",
    "{kind}, {colour}{details}",
    "{colour} {kind}{details}",
    "for every day: {kind} in {colour}{details}",
    "this {kind} comes in {colour}{details}",
)


def caption(garment: Garment, seed: int) -> str:
    """A caption for a picture of the garment. It may leave out attributes, but never the kind."""
    rng = Random(f"caption {seed} of line {garment.line}")
    kind = garment.kind
    says = {
        name: bool(value) and rng.random() < chance
        for name, value, chance in (
            ("colour", garment.colour, 0.95),
            ("pattern", garment.pattern, 0.35 if garment.pattern == "plain" else 0.9),
            ("sleeve", garment.sleeve, 0.75),
            ("length", garment.length, 0.8),
            ("neckline", garment.neckline if kind != "hoodie" else "", 0.5),
            ("print", garment.print, 0.06 if garment.print == "none" else 0.92),
        )
    }
    details = []
    if says["neckline"]:
        details.append(_NECKLINE_NOUNS[garment.neckline])
    if says["print"]:
        details.append(_print_noun(garment.print, rng))
    if rng.random() < 0.68:
        adjectives = [
            value
            for name, value in (
                ("length", garment.length),
                ("colour", garment.colour),
                ("pattern", garment.pattern),
                ("sleeve", garment.sleeve),
            )
            if says[name]
        ]
        if rng.random() < 0.25:
            rng.shuffle(adjectives)
        it = " ".join([*adjectives, kind])
        if details:
            it += f" with {_listed(details)}"
        return rng.choice(_CAPTIONS).format(it=it, some=_some(it, kind))
    if says["sleeve"]:
        details.insert(0, _SLEEVE_NOUNS[garment.sleeve])
    if says["pattern"]:
        details.insert(0, _PATTERN_NOUNS[garment.pattern])
    noun = f"{garment.length} {kind}" if says["length"] else kind
    return rng.choice(_LOOSE).format(
        kind=noun,
        some_kind=_some(noun, kind),
        colour=garment.colour,
        details=f" with {_listed(details)}" if details else "",
    )


def _print_noun(motif: str, rng: Random) -> str:
    if motif == "none":
        return "no print"
    return rng.choice((f"{_a(motif)} print", f"{_a(motif)} on the chest", f"{_a(motif)} on it", f"{_a(motif)} print"))


@dataclass(frozen=True, slots=True)
class _Phrases:
    """The ways in which one voice asks for a change, by what changes."""

    colour: tuple[str, ...]
    pattern: tuple[str, ...]
    unpattern: tuple[str, ...]
    sleeve: tuple[str, ...]
    length: tuple[str, ...]
    add: tuple[str, ...]
    swap: tuple[str, ...]
    remove: tuple[str, ...]
    joined: tuple[str, ...]


# The two voices share no phrase, so that a method tuned on one is measured on unfamiliar words.
_VOICES: Mapping[Voice, _Phrases] = {
    "val": _Phrases(
        colour=(
            "the same but in {new}",
            "{new} in place of {old}",
            "make it {new}",
            "this one in {new}, please",
            "is there {a_new} version?",
            "I would like it in {new}",
            "change the colour to {new}",
        ),
        pattern=(
            "the same but {new}",
            "now with {noun}",
            "make it {new}",
            "I would like it {new}",
            "is there {a_new} version?",
            "change the pattern to {new}",
            "{new} in place of {old}",
        ),
        unpattern=(
            "the same but plain",
            "without the {old} pattern",
            "make it plain",
            "I would like it plain",
            "is there a plain version?",
            "plain in place of {old}",
        ),
        sleeve=(
            "make it {new}",
            "the same but {new}",
            "now with {noun}",
            "I would like it {new}",
            "is there {a_new} version?",
            "change it to {noun}",
            "{new} in place of {old}",
        ),
        length=(
            "make it {new}",
            "the same but {new}er",
            "{a_new} version",
            "I would like it {new}er",
            "{new} in place of {old}",
            "is there {a_new} one?",
            "{new}er, please",
        ),
        add=(
            "add {a_new}",
            "{a_new} on it, please",
            "the same but with {a_new} print",
            "put {a_new} on the front",
            "I would like it with {a_new}",
            "is there one with {a_new}?",
        ),
        swap=(
            "swap the {old} for {a_new}",
            "{a_new} instead of the {old}",
            "change the print to {a_new}",
            "the same but with {a_new} in place of the {old}",
            "I would like {a_new}, not {a_old}",
            "make the {old} {a_new}",
        ),
        remove=(
            "leave out the {old}",
            "nothing printed on it",
            "take the {old} off",
            "the same but without a print",
            "I would like it without the {old}",
            "drop the {old} print",
        ),
        joined=(
            "the same but {first} and {second}",
            "{first} and {second}",
            "I would like it {first} and {second}",
            "this one {first}, {second}",
            "is there one {first} and {second}?",
            "make it one {first} and {second}",
        ),
    ),
    "test": _Phrases(
        colour=(
            "in {new}",
            "same design, {new} colour",
            "do you have this in {new}?",
            "turn it {new}",
            "like this, only {new}",
            "{a_new} one rather than {a_old} one",
            "show me the {new} one",
            "{new}, not {old}",
        ),
        pattern=(
            "in {new} fabric",
            "give it {noun}",
            "do you have this with {noun}?",
            "like this, only {new}",
            "show me the {new} one",
            "{new}, not {old}",
            "same design with {noun}",
        ),
        unpattern=(
            "in plain fabric",
            "lose the {old} pattern",
            "do you have this without a pattern?",
            "like this, only plain",
            "show me the plain one",
            "plain, not {old}",
        ),
        sleeve=(
            "give it {noun}",
            "same design, {new}",
            "do you have this with {noun}?",
            "like this, only {new}",
            "show me the {new} one",
            "has {noun}",
            "{new}, not {old}",
        ),
        length=(
            "give it {a_new} cut",
            "same design, {new}",
            "do you have this in {a_new} cut?",
            "like this, only {new}er",
            "show me the {new} one",
            "should be {new}, not {old}",
            "turn it into {a_new} one",
        ),
        add=(
            "has {a_new} on the chest",
            "give it {a_new} print",
            "do you have this with {a_new}?",
            "like this, plus {a_new}",
            "show me the one with {a_new}",
            "same design with {a_new} printed on",
        ),
        swap=(
            "replace the {old} with {a_new}",
            "has {a_new} where the {old} is",
            "do you have this with {a_new} rather than {a_old}?",
            "like this, only with {a_new} for the {old}",
            "show me the {new}, not the {old}",
            "turn the {old} into {a_new}",
        ),
        remove=(
            "remove the {old}",
            "lose the print",
            "do you have this with nothing on the chest?",
            "like this, minus the {old}",
            "show me the unprinted one",
            "same design with no {old}",
        ),
        joined=(
            "like this, only {first} and {second}",
            "{first}, also {second}",
            "do you have this {first} and {second}?",
            "show me this {first} and {second}",
            "same design, {first}, {second}",
            "{first}, and {second} too",
        ),
    ),
}
_FRAGMENTS = {
    "colour": "in {new}",
    "pattern": "with {noun}",
    "sleeve": "with {noun}",
    "length": "in {a_new} cut",
    "add": "with {a_new} print",
    "swap": "with {a_new} print",
    "remove": "without the {old}",
}


def modification(reference: Garment, target: Garment, voice: Voice, rng: Random) -> str:
    """A modification from one garment to another that differs in one or two attributes.

    Args:
        reference, target: the garments.
        voice: whose wordings are used; those of val and test differ.
        rng: draws among the wordings.
    """
    phrases, changed = _VOICES[voice], changes(reference, target)
    if len(changed) == 1:
        (attribute,) = changed
        return _filled(rng.choice(_phrases(phrases, reference, target, attribute)), reference, target, attribute)
    first, second = (
        _filled(_FRAGMENTS[_manner(reference, target, attribute)], reference, target, attribute)
        for attribute in changed
    )
    return rng.choice(phrases.joined).format(first=first, second=second)


def relative_captions(reference: Garment, target: Garment, voice: Voice, rng: Random) -> list[str]:
    """Two captions of the change, as in FashionIQ: each names one change, or both the only one."""
    phrases, changed = _VOICES[voice], list(changes(reference, target))
    if len(changed) == 1:
        said = rng.sample(_phrases(phrases, reference, target, changed[0]), 2)
        return [_filled(phrase, reference, target, changed[0]) for phrase in said]
    return [
        _filled(rng.choice(_phrases(phrases, reference, target, attribute)), reference, target, attribute)
        for attribute in changed
    ]


def _manner(reference: Garment, target: Garment, attribute: str) -> str:
    """The kind of a change, which decides its possible wordings."""
    if attribute == "print":
        return "remove" if target.print == "none" else "add" if reference.print == "none" else "swap"
    return attribute


def _phrases(phrases: _Phrases, reference: Garment, target: Garment, attribute: str) -> tuple[str, ...]:
    manner = _manner(reference, target, attribute)
    said: tuple[str, ...] = getattr(
        phrases, "unpattern" if target.pattern == "plain" and manner == "pattern" else manner
    )
    return said


def _filled(phrase: str, reference: Garment, target: Garment, attribute: str) -> str:
    old, new = reference.attributes()[attribute], target.attributes()[attribute]
    nouns = {**_PATTERN_NOUNS, **_SLEEVE_NOUNS}
    return phrase.format(old=old, new=new, a_old=_a(old), a_new=_a(new), noun=nouns.get(new, new))
