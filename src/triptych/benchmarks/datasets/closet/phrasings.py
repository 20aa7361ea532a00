"""The wordings of the closet's queries, different for val and test.

The agent that makes training triplets uses other wordings, so that methods are not evaluated on wordings that they were
trained on.
"""

from collections.abc import Mapping

from triptych.benchmarks.datasets.closet.words import with_article
from triptych.core.text import hash_number

VAL: Mapping[frozenset[str], tuple[str, ...]] = {
    frozenset({"colour"}): (
        "could I see this in {colour}",
        "I like it but would prefer {colour}",
        "the same thing, only {colour}",
        "is there {a_colour} version of this",
        "switch the colour to {colour}",
    ),
    frozenset({"kind"}): (
        "I would rather have {a_kind}",
        "not this, {a_kind} please",
        "{a_kind} in the same colour",
        "is there {a_kind} like it",
        "swap it for {a_kind}",
    ),
    frozenset({"pattern"}): (
        "this, only {pattern}",
        "I would prefer it {pattern}",
        "is there one like this that is {pattern}",
        "the same colour and cut, {pattern}",
    ),
    frozenset({"sleeve"}): (
        "this with {sleeve}",
        "I need it with {sleeve}",
        "is there one with {sleeve}",
        "the same but it should have {sleeve}",
    ),
    frozenset({"colour", "kind"}): (
        "I would rather have {a_colour_kind}",
        "not this, {a_colour_kind} please",
        "looking for {a_kind} like it in {colour}",
        "swap it for {a_colour_kind}",
    ),
    frozenset({"colour", "pattern"}): (
        "this, only {pattern} and {colour}",
        "could I see it in {colour}, and {pattern}",
        "I would prefer {colour} and {pattern}",
    ),
    frozenset({"colour", "sleeve"}): (
        "this in {colour} with {sleeve}",
        "could I see it in {colour} and with {sleeve}",
        "I need {a_colour} one with {sleeve}",
    ),
    frozenset({"kind", "pattern"}): (
        "I would rather have {a_pattern_kind}",
        "not this, {a_pattern_kind} please",
        "is there {a_pattern_kind} like it",
    ),
    frozenset({"kind", "sleeve"}): (
        "I would rather have {a_kind} with {sleeve}",
        "is there {a_kind} like it with {sleeve}",
        "swap it for {a_kind} that has {sleeve}",
    ),
    frozenset({"pattern", "sleeve"}): (
        "this, only {pattern} and with {sleeve}",
        "is there one with {sleeve} that is {pattern}",
        "I would prefer it {pattern}, with {sleeve}",
    ),
}

TEST: Mapping[frozenset[str], tuple[str, ...]] = {
    frozenset({"colour"}): (
        "same one, {colour} this time",
        "do you have it in {colour}",
        "what about {colour}",
        "exactly this though {colour}",
        "find the {colour} one",
        "keep everything and make it {colour}",
    ),
    frozenset({"kind"}): (
        "same colour, but {a_kind}",
        "what about {a_kind}",
        "turn this into {a_kind}",
        "replace it with {a_kind}",
        "find {a_kind} to match",
    ),
    frozenset({"pattern"}): (
        "same one but {pattern}",
        "what about {a_pattern} one",
        "make it {pattern}",
        "keep the colour, but {pattern}",
    ),
    frozenset({"sleeve"}): (
        "same one, {sleeve} though",
        "what about {sleeve}",
        "make it one with {sleeve}",
        "keep it as it is but give it {sleeve}",
    ),
    frozenset({"colour", "kind"}): (
        "{a_colour_kind} this time",
        "what about {a_colour_kind}",
        "turn this into {a_colour_kind}",
        "replace it with {a_kind} in {colour}",
        "do you have {a_kind} like that in {colour}",
    ),
    frozenset({"colour", "pattern"}): (
        "same one, but {colour} and {pattern}",
        "make it {pattern}, in {colour}",
        "what about {colour} and {pattern}",
    ),
    frozenset({"colour", "sleeve"}): (
        "same one in {colour}, {sleeve} though",
        "make it {colour} with {sleeve}",
        "what about {colour} with {sleeve}",
    ),
    frozenset({"kind", "pattern"}): (
        "{a_pattern_kind} this time",
        "turn this into {a_pattern_kind}",
        "replace it with {a_kind} that is {pattern}",
    ),
    frozenset({"kind", "sleeve"}): (
        "{a_kind} with {sleeve} this time",
        "turn this into {a_kind} with {sleeve}",
        "what about {a_kind} with {sleeve}",
    ),
    frozenset({"pattern", "sleeve"}): (
        "same one but {pattern} and with {sleeve}",
        "make it {pattern}, with {sleeve}",
        "what about {a_pattern} one with {sleeve}",
    ),
}


def phrase(split: str, change: Mapping[str, str], query: str) -> str:
    """Word a change. The wording is selected by a hash of the query's id.

    Args:
        split: "val" has wordings of its own; "test" and "all" share the others.
        change: "kind", "colour", "pattern" and "sleeve" to words.
        query: the query's id.
    """
    ways = (VAL if split == "val" else TEST)[frozenset(change)]
    way = ways[hash_number(f"phrasing of {query}") % len(ways)]
    kind, colour, pattern = (change.get(name, "") for name in ("kind", "colour", "pattern"))
    articles = {
        "a_kind": kind,
        "a_colour": colour,
        "a_pattern": pattern,
        "a_colour_kind": f"{colour} {kind}",
        "a_pattern_kind": f"{pattern} {kind}",
    }
    said = {name: with_article(words) for name, words in articles.items() if words.strip()}
    return way.format(kind=kind, colour=colour, pattern=pattern, sleeve=change.get("sleeve", ""), **said)
