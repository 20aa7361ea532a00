"""How a change is put into words, in the styles that people use.

Phrasings are the agent's own: no benchmark of this package words a query like this.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from triptych.triplets import Change, Modification

# Fragments that follow "the same" or stand alone; {old} and {new} are words of the vocabulary.
_FRAGMENTS: Mapping[str, tuple[str, ...]] = {
    "colour": (
        "in {new}", "but {new}", "{new} instead of {old}", "{new}", "with a {new} colour", "coloured {new}",
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
_ANY_GROUP = ("{new}", "but {new}", "{new} instead of {old}", "with {new} rather than {old}", "{new}, not {old}")

# Many frames, so that a composer learns to look past them to the words that matter.
_SENTENCES = (
    "i want it {0}",
    "show me this very one {0}",
    "the same thing {0}",
    "do you have this {0}?",
    "find me one like it, {0}",
    "same design, {0}",
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


def word(changes: Sequence[Change], random: np.random.Generator) -> tuple[Modification, ...]:
    """Four wordings of the same changes: shop shorthand, a sentence, two captions (FashionIQ), a relative caption."""

    def fragment(change: Change) -> str:
        choices = _FRAGMENTS.get(change.group, _ANY_GROUP)
        text = choices[random.integers(len(choices))].format(old=change.old, new=change.new)
        return "without a print" if change.group == "print" and change.new.startswith("no ") else text

    def joined(by: str) -> str:
        ordered = [changes[index] for index in random.permutation(len(changes))]
        return by.join(fragment(change) for change in ordered)

    def framed(frames: Sequence[str]) -> str:
        return frames[random.integers(len(frames))].format(joined(" and "))

    captions = [_CAPTIONS[random.integers(len(_CAPTIONS))].format(joined(" and ")) for _ in range(2)]
    return (
        Modification("shorthand", joined(", ")),
        Modification("sentence", framed(_SENTENCES)),
        Modification("captions", " and ".join(captions)),
        Modification("relative", framed(_RELATIVE)),
    )
