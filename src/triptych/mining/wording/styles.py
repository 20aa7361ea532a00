"""Frames for four styles: shop shorthand, sentences, captions like FashionIQ's, relative captions like CIRR's.

Phrasings are the agent's own: no benchmark of this package words a query like this.
"""

import re
from collections.abc import Mapping

import numpy as np

from triptych.mining.wording.grammar import Parts, verb_of
from triptych.mining.wording.lexicon import american, is_plural

STYLES = ("shorthand", "sentence", "captions", "relative")

# By the part of `Parts` that a frame takes; {item} is what the thing stays, such as a shirt. A circumflex makes the
# first letter a capital.
_FRAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "shorthand": {
        "bare": ("{0}", "{0}", "{0}", "{0} please", "rather {0}", "prefer {0}", "{0}, same style", "similar, {0}",
                 "same model, {0}", "{0}, rest the same"),
        "after": ("same {0}", "similar {0}", "like this {0}", "something like this {0}", "same style {0}",
                  "one like this {0}", "also {0}?", "this kind {0}", "same thing but {0}", "{0} please"),
        "denied": ("not {0}", "just not {0}", "like this, not {0}", "same but not {0}", "not {0} please"),
        "thing": ("{0} like this", "similar but {0}", "{0} in this style", "{0} please", "prefer {0}"),
        "of_item": ("{0}", "{0}, similar style", "{0} like this", "{0} please"),
    },
    "sentence": {
        "after": ("I'd like this {0}.", "Does this come {0}?", "Could I get this {0}?", "I want the same thing {0}.",
                  "I love this, but I need it {0}.", "Can you find me something similar {0}?",
                  "Any chance of getting this {0}?", "Nice, but I'd want it {0}.",
                  "Looking for one just like this {0}.",
                  "Do you have anything like this {0}?", "Is this also available {0}?", "I'd buy this one {0}.",
                  "Please show me something like this {0}."),
        "predicate": ("I want it to be {0}.", "I'd like one that's {0}.", "Do you have something similar that's {0}?",
                      "It needs to be {0}.", "I'm looking for the same thing, but it has to be {0}.",
                      "Could you find one that's {0}?", "Nice, but it should be {0}.",
                      "Anything like this that's {0}?", "I like the style, I just want it to be {0}."),
        "denied": ("I don't want it to be {0}.", "Do you have one that isn't {0}?", "Nice, just not {0}.",
                   "I'm looking for something like this that isn't {0}.", "Please show me one that is not {0}.",
                   "It can be anything but {0}.", "Anything similar that's not {0}?"),
        "thing": ("I'm looking for {0}.", "I'd prefer {0}.", "Do you sell {0} like this?", "I actually need {0}.",
                  "I'd rather get {0}.", "Can you show me {0} instead?", "What I want is {0}.",
                  "I'm after {0} in a similar style."),
        "of_item": ("I'm looking for {0} like this.", "Do you have {0} in this style?", "I want {0} similar to this.",
                    "I'd prefer {0}."),
    },
    "captions": {
        "clauses": ("{0}", "{0}", "{0}", "{0}", "{0}", "^{0}", "it {0}"),
        "bare": ("{0}",),
        "of_item": ("is {0}", "is {0}", "{0}", "^{0}"),
        "item": ("the {item} {0}",),
    },
    "relative": {
        "after": ("Same style {0}.", "The same item {0}.", "Similar one {0}.", "Another one {0}.",
                  "The same thing but {0}.", "Shows a similar one {0}.", "same but {0}",
                  "A similar item {0}.", "Show this item {0}.", "Identical but {0}."),
        "predicate": ("Make this one {0}.", "The one in the target photo is {0}.", "similar style but {0}",
                      "The second one is {0}.", "It is {0} instead.", "Change it so that it is {0}.",
                      "same item but {0}"),
        "denied": ("Show one that is not {0}.", "Same style but not {0}.", "The target photo is not {0}.",
                   "similar, but it is not {0}", "It should not be {0}.", "Shows one that isn't {0}."),
        "thing": ("Shows {0}.", "Show {0} instead.", "The target photo is of {0}.", "Change to {0}.",
                  "^{0} in the same style.", "Instead of this, show {0}.", "similar style but {0}",
                  "The target photo shows {0}.", "Make it {0} instead."),
        "of_item": ("Shows {0}.", "^{0} of the same style.", "Show {0} instead.", "The target photo has {0}.",
                    "^{0}.", "{0} that looks similar", "Change it to {0}."),
        "item": ("The {item} {0}.", "The {item} {0} instead."),
        "item_after": ("Same {item} {0}.", "The same {item} but {0}.", "Similar {item} {0}.", "same {item}, {0}",
                       "Show the {item} {0}.", "Another {item} {0}."),
    },
}  # fmt: skip

_CASUAL = 0.35  # share of the sentences that are typed without a capital and a full stop


def say(style: str, parts: Parts, random: np.random.Generator) -> str:
    """One text of a style, drawn among its frames; empty where the draw has no words for these parts."""
    frames = _FRAMES[style]
    usable = [name for name in frames if _filling(name, parts)]
    if style == "captions" and ", " in parts.bare:
        usable = [name for name in usable if name != "bare"]
    if not usable:
        return ""
    name = usable[int(random.integers(len(usable)))]
    frame = frames[name][int(random.integers(len(frames[name])))]
    text = _filled(frame, _filling(name, parts), parts.item)
    if style in ("sentence", "relative") and random.random() < _CASUAL:
        text = re.sub(r"\bI\b", "i", text[:1].lower() + text[1:].removesuffix("."))
    us = style in ("captions", "relative") or random.random() < 0.5
    return american(text) if us else text


def _filling(name: str, parts: Parts) -> str:
    if name == "item":
        return _agreeing(parts.clauses, parts.item) if parts.item else ""
    if name == "item_after":
        return parts.after if parts.item else ""
    said: str = getattr(parts, name)
    return said


def _agreeing(clauses: str, noun: str) -> str:
    """Clauses whose verbs agree with a plural: trousers are, have."""
    if not is_plural(noun):
        return clauses
    first, _, rest = clauses.partition(" ")
    verbs = {"is": verb_of(noun), "has": "have", "does": "do", "doesn't": "don't", "comes": "come", "looks": "look"}
    for singular, plural in (("is", "are"), ("has", "have")):
        rest = rest.replace(f" and {singular} ", f" and {plural} ")
    return f"{verbs.get(first, first)} {rest}"


def _filled(frame: str, said: str, item: str) -> str:
    """A frame with its words; a circumflex has the text begin with a capital."""
    # Not str.format: a vocabulary of one's own may hold any braces.
    text = re.sub(r"\{(?:item|0)\}", lambda found: item if found[0] == "{item}" else said, frame.removeprefix("^"))
    return text[:1].upper() + text[1:] if frame.startswith("^") else text
