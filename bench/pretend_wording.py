"""How the pretend chat model of pretend_model.py words a change of garments, and how it reads such wordings.

No query of the wardrobe is worded like this (tests/test_bench_reasoners.py).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import permutations
from random import Random
from typing import Any

from triptych.benchmarks.datasets.wardrobe.garments import vocabulary
from triptych.triplets.file import Change

# {new}, {old}: the word; {a_new}, {a_old}: what it is called as a thing.
_PHRASES: Mapping[str, tuple[str, ...]] = {
    "colour": (
        "in a {new} tone", "{new} in colour", "made of {new} cloth", "in the colour {new}", "in {new} and not in {old}",
        "its {old} turned to {new}", "{new} all over and no longer {old}", "looking {new}",
    ),
    "pattern": (
        "covered in {a_new}", "its cloth {new}", "with {a_new} all over it", "of {new} material",
        "patterned with {a_new}", "with {a_new} and not {a_old}", "gone from {old} to {new}",
    ),
    "unpattern": (
        "with a plain surface", "its {old} pattern gone", "in one single shade", "of unpatterned cloth",
        "plain all over", "with {a_old} taken away",
    ),
    "sleeve": ("cut with {a_new}", "having {a_new} this time", "{new} in its cut", "with {a_new} and not {a_old}"),
    "length": ("{new} in length", "of a {new} length", "cut {new}", "{new} and no longer {old}"),
    "kind": ("turned into {a_new}", "as {a_new} and not {a_old}", "made as {a_new}", "remade as {a_new}"),
    "neckline": ("finished with {a_new}", "with {a_new} at the neck", "with {a_new} and not {a_old}"),
    "add": ("bearing {a_new}", "decorated with {a_new}", "with {a_new} at the front", "with the picture of {a_new}"),
    "swap": (
        "bearing {a_new}", "bearing {a_new} and no longer {a_old}", "with the picture of {a_new} and not of {a_old}",
        "with {a_new} at the front and not {a_old}", "its {old} exchanged for {a_new}",
    ),
    "remove": ("bare at the front", "its {old} taken off", "free of any picture", "no longer bearing {a_old}"),
}  # fmt: skip
_SHORTHAND = ("{0}", "{0}", "now {0}", "rather {0}", "similar, {0}")
_SENTENCES = (
    "please find this garment {0}",
    "i am looking for the same piece {0}",
    "it should look just like this yet {0}",
    "what i have in mind is this one {0}",
    "can you find it {0}?",
    "i like all of it but want it {0}",
    "the right one is {0}",
    "everything may stay as it is, only it must be {0}",
    "have you got this piece {0}?",
    "give me its sibling, {0}",
)
_CAPTIONS = ("is {0}", "appears {0}", "is shown {0}", "differs by being {0}", "this one is {0}", "was made {0}")
_RELATIVE = (
    "the same garment, {0}",
    "the same piece of clothing, yet {0}",
    "this design, but {0}",
    "a garment of the same cut, {0}",
    "as it is here, though {0}",
    "just like it, but {0}",
)

_THINGS: Mapping[str, str] = {
    "plain": "no pattern",
    "striped": "stripes",
    "checked": "checks",
    "dotted": "dots",
    "zigzag": "zigzag lines",
    "floral": "flowers",
    "sleeveless": "no sleeves",
    "short-sleeved": "short sleeves",
    "long-sleeved": "long sleeves",
    "trousers": "a pair of trousers",
    "shorts": "a pair of shorts",
}


def word_changes(changes: Sequence[Change], random: Random) -> dict[str, Any]:
    """Word the changes in each style that a reasoner is asked for."""

    def framed(frames: Sequence[str], worded: Sequence[Change]) -> str:
        shuffled = random.sample(worded, len(worded))
        return random.choice(frames).format(" and ".join(random.choice(_phrasings(one)) for one in shuffled))

    half = (len(changes) + 1) // 2
    return {
        "shorthand": framed(_SHORTHAND, changes),
        "sentence": framed(_SENTENCES, changes),
        "captions": [framed(_CAPTIONS, changes[:half]), framed(_CAPTIONS, changes[half:] or changes)],
        "relative": framed(_RELATIVE, changes),
    }


@cache
def read_wording(text: str) -> Mapping[str, str]:
    """The new word of each attribute that a wording of `word_changes` asks for; empty for any other text."""
    pattern, meaning = _known()
    return dict(meaning[found] for found in pattern.findall(text))


def _phrasings(change: Change) -> list[str]:
    key = change.attribute
    if key == "pattern" and change.new == "plain":
        key = "unpattern"
    if key == "print":
        key = "remove" if change.new == "none" else "add" if change.old == "none" else "swap"
    words = {"old": change.old, "new": change.new, "a_old": _thing(change.old), "a_new": _thing(change.new)}
    phrases = _PHRASES[key]
    if words["a_old"].startswith("no "):  # nobody says "with stripes and not no pattern"
        phrases = tuple(phrase for phrase in phrases if "{a_old}" not in phrase)
    return [phrase.format(**words) for phrase in phrases]


def _thing(word: str) -> str:
    return _THINGS.get(word) or f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


@cache
def _known() -> tuple[re.Pattern[str], Mapping[str, tuple[str, str]]]:
    """One pattern of all phrases, the longest first, and what each phrase asks for."""
    meaning = dict(_meanings())
    longest = sorted(meaning, key=lambda phrase: (-len(phrase), phrase))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest))})(?![\w-])"), meaning


def _meanings() -> Iterator[tuple[str, tuple[str, str]]]:
    for group, words in vocabulary().items():
        for old, new in permutations(words, 2):
            for phrase in _phrasings(Change(group, old, new)):
                yield phrase, (group, new)
