"""How a change is put into words, in the styles that people use.

Phrasings are the agent's own: no benchmark of this package words a query like this.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from triptych.triplets import Change, Modification

# Fragments that follow "the same" or stand alone; {old} and {new} are words of the vocabulary.
_FRAGMENTS: Mapping[str, tuple[str, ...]] = {
    "colour": ("in {new}", "but {new}", "{new} instead of {old}", "{new}", "with a {new} colour", "coloured {new}"),
    "kind": ("as a {new}", "a {new} instead of a {old}", "but a {new}", "{new}", "{new} rather than {old}"),
    "gender": ("for {new}", "made for {new}", "for {new} instead of {old}", "{new}'s", "meant for {new}"),
    "usage": ("for {new} wear", "{new} instead of {old}", "more {new}", "{new}"),
    "print": ("with a {new} print", "with a {new} on it", "{new} instead of the {old}", "{new} print"),
    "sleeve": ("{new}", "but {new}", "{new} instead of {old}"),
}
_ANY_GROUP = ("{new}", "but {new}", "{new} instead of {old}", "with {new} rather than {old}")

_SENTENCES = (
    "i want it {0}",
    "show me this one {0}",
    "the same thing {0}",
    "do you have this {0}?",
    "find me one like it, {0}",
    "same design, {0}",
)
_RELATIVE = ("the one i want is like this {0}", "the other picture shows it {0}", "same item {0}")
_CAPTIONS = ("is {0}", "it is {0}", "comes {0}", "should be {0}")


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
