"""How a change is put into words, in the styles that people use.

Phrasings are the agent's own: no benchmark of this package words a query like this.
"""

import re
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from triptych.tagging.vocabulary import Vocabulary
from triptych.triplets.file import Change, Modification

# Fragments that follow "the same" or stand alone; {old} and {new} are words of the vocabulary.
_FRAGMENTS: Mapping[str, tuple[str, ...]] = {
    "colour": (
        "in {new} this time", "but {new}", "{new} instead of {old}", "{new}", "with a {new} colour", "coloured {new}",
        "not {old} but {new}", "dyed {new}", "in a {new} shade", "{new} rather than {old}",
    ),
    "kind": (
        "as a {new}", "a {new} instead of a {old}", "but a {new}", "{new}", "{new} rather than {old}",
        "not a {old} but a {new}", "in the form of a {new}", "{new}, not {old}",
    ),
    "gender": (
        "for {new}", "made for {new}", "for {new} instead of {old}", "{new}'s", "that {new} wear", "in a cut for {new}",
        "{new} rather than {old}", "sized for {new}",
    ),
    "usage": ("for {new} wear", "{new} instead of {old}", "more {new}", "{new}", "for {new} occasions"),
    "print": ("with a {new} print", "with a {new} on it", "{new} instead of the {old}", "{new} print"),
    "sleeve": ("{new}", "but {new}", "{new} instead of {old}", "cut {new}"),
}  # fmt: skip
_ANY_GROUP = (
    "{new}",
    "but {new}",
    "{new} instead of {old}",
    "with {new} rather than {old}",
    "{new} and no longer {old}",
)

# Many frames, so that a composer learns to look past them to the words that matter.
_SENTENCES = (
    "i want it {0}",
    "show me this very one {0}",
    "the same thing {0}",
    "is this to be had {0}?",
    "find me one like it, {0}",
    "the design as it is, {0}",
    "please change it: {0}",
    "i am after something of this style, {0}",
    "make that {0}",
    "keep all else, {0}",
    "this model exactly, yet {0}",
    "could you get me this piece {0}?",
    "i would buy it {0}",
    "what i need is this product {0}",
    "any version of it {0}?",
    "an edition {0}",
    "a variant {0}, otherwise equal",
    "replace this by one {0}",
    "let it be {0}",
    "nearly right, only i prefer it {0}",
    "my favourite would be {0}",
    "looks good; now {0}",
    "similar item {0}",
    "its twin {0}",
    "turn it around: {0}",
    "go for {0}",
)
_RELATIVE = (
    "the one i want is like this {0}",
    "the other picture shows it {0}",
    "same item {0}",
    "compared with this, {0}",
    "the second photo has one {0}",
    "unlike the reference, {0}",
    "another of the kind {0}",
)
_CAPTIONS = ("is {0}", "it is {0}", "comes {0}", "should be {0}", "has to be {0}", "seems {0}")


_BEFORE_VOWEL = re.compile(r"\ba(?= (?:[aei]|o(?!ne)|u(?!ni|s)))")
_NOTHING = "none"  # a vocabulary's word for having none of a group
_WITHOUT = ("without a {group}", "with no {old}", "no {group}", "without the {old}")
_SAYING = 0.5  # share of the changes that are said in one of the vocabulary's other ways, where it has any
_WORDINGS = 2  # of each style


def word_changes(
    changes: Sequence[Change], vocabulary: Vocabulary, random: np.random.Generator
) -> tuple[Modification, ...]:
    """The same changes in four styles: shop shorthand, a sentence, two captions (FashionIQ), a relative caption."""

    def pick(choices: Sequence[str]) -> str:
        return choices[int(random.integers(len(choices)))]

    def fragment(change: Change) -> str:
        sayings = vocabulary.sayings[change.group][change.new]
        if sayings and random.random() < _SAYING:
            choices = sayings
        elif change.new == _NOTHING:
            choices = _WITHOUT
        else:
            choices = _FRAGMENTS.get(change.group, _ANY_GROUP)
        if change.old == _NOTHING:
            choices = tuple(choice for choice in choices if "{old}" not in choice) or ("{new}",)
        # Not str.format: a vocabulary of one's own may hold any braces.
        words = {"{group}": change.group, "{old}": change.old, "{new}": change.new}
        return reduce(lambda text, name: text.replace(name, words[name]), words, pick(choices))

    def joined(by: str) -> str:
        ordered = [changes[index] for index in random.permutation(len(changes))]
        return by.join(fragment(change) for change in ordered)

    def framed(frames: Sequence[str]) -> str:
        return pick(frames).format(joined(" and "))

    def wordings() -> tuple[Modification, ...]:
        said = {
            "shorthand": joined(", "),
            "sentence": framed(_SENTENCES),
            "captions": f"{framed(_CAPTIONS)} and {framed(_CAPTIONS)}",
            "relative": framed(_RELATIVE),
        }
        return tuple(Modification(style, _BEFORE_VOWEL.sub("an", text)) for style, text in said.items())

    return tuple(wording for _ in range(_WORDINGS) for wording in wordings())
