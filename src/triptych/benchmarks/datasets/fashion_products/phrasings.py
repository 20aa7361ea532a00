"""The wordings of the fashion queries, different for each split.

The agent that makes training triplets uses other wordings, so that methods are not evaluated on wordings that they were
trained on.
"""

from collections.abc import Mapping

from triptych.benchmarks.datasets.fashion_products.words import with_article
from triptych.core.text import hash_number

Phrasings = Mapping[frozenset[str], tuple[str, ...]]

_COLOUR = frozenset({"colour"})
_GENDER = frozenset({"gender"})
_KIND = frozenset({"kind"})

VAL: Phrasings = {
    _COLOUR: (
        "could i see it in {colour}",
        "i like it but would prefer {colour}",
        "this, only {colour}",
        "is there {a_colour} version",
        "switch it to {colour}",
        "identical except that it is {colour}",
        "{a_colour} variant of this",
        "looking for this design in {colour}",
        "the colour should be {colour}",
    ),
    _GENDER: (
        "could i see one for {gender}",
        "something similar, made for {gender}",
        "is there a version for {gender}",
        "the same thing but meant for {gender}",
        "this kind of item for {gender}",
        "i need one that is for {gender}",
        "looking for its counterpart for {gender}",
        "like this, from the range for {gender}",
    ),
    _KIND: (
        "show me {a_kind} in that colour",
        "i would rather have {a_kind}",
        "not this, {a_kind} please",
        "swap it for {a_kind}",
        "looking for {a_kind} that would match this",
        "is there {a_kind} like it",
        "the same look on {a_kind}",
        "i need {a_kind} of this colour",
    ),
    _COLOUR | _GENDER: (
        "show me {a_colour} one for {gender}",
        "something similar for {gender}, coloured {colour}",
        "i like it but need it in {colour} and for {gender}",
        "is there {a_colour} version for {gender}",
        "this, only {colour} and made for {gender}",
        "{a_colour} variant meant for {gender}",
        "looking for one in {colour} for {gender}",
        "switch to {colour}, from the range for {gender}",
    ),
    _COLOUR | _KIND: (
        "show me {a_colour_kind}",
        "i would rather have {a_colour_kind}",
        "not this, {a_colour_kind} please",
        "swap it for {a_colour_kind}",
        "looking for {a_kind} coloured {colour}",
        "is there {a_kind} like it in {colour}",
        "i need {a_kind}, and the colour should be {colour}",
        "like this but {a_kind}, only {colour}",
    ),
    _GENDER | _KIND: (
        "show me {a_kind} for {gender}",
        "i would rather have {a_kind} made for {gender}",
        "not this, {a_kind} for {gender} please",
        "swap it for {a_kind} meant for {gender}",
        "looking for {a_kind} for {gender} that would match this",
        "is there {a_kind} like it for {gender}",
        "i need {a_kind} of this colour for {gender}",
        "the same look on {a_kind} from the range for {gender}",
    ),
}

TEST: Phrasings = {
    _COLOUR: (
        "same product, {colour} this time",
        "find the {colour} one",
        "is it sold in {colour}",
        "what about {colour}",
        "exactly this though {colour}",
        "now the {colour} edition of it",
        "turn this {colour}",
        "recolour it {colour}",
        "can i get this model in {colour}",
        "keep everything and use {colour}",
    ),
    _GENDER: (
        "same style but sold to {gender}",
        "find the equivalent for {gender}",
        "is it sold for {gender}",
        "what about one for {gender}",
        "a similar piece designed for {gender}",
        "now as worn by {gender}",
        "replace it with one for {gender}",
        "keep the style and colour, for {gender} though",
        "can i get this type of product for {gender}",
    ),
    _KIND: (
        "same colour, {kind}",
        "find {a_kind} to go with it",
        "do you have {a_kind} like that",
        "what about {a_kind}",
        "{a_kind} of the same colour",
        "turn this into {a_kind}",
        "replace it with {a_kind}",
        "keep the colour, get me {a_kind}",
        "can i get {a_kind} in this shade",
    ),
    _COLOUR | _GENDER: (
        "same style for {gender}, {colour} this time",
        "find the {colour} equivalent for {gender}",
        "is it sold in {colour} for {gender}",
        "what about {colour}, for {gender}",
        "a similar piece designed for {gender}, though {colour}",
        "now in {colour}, as worn by {gender}",
        "replace it with {a_colour} one for {gender}",
        "keep the style, use {colour}, and choose one for {gender}",
        "can i get this type of product for {gender} in {colour}",
    ),
    _COLOUR | _KIND: (
        "{a_colour_kind} this time",
        "find {a_colour_kind} to go with it",
        "do you have {a_kind} like that in {colour}",
        "what about {a_colour_kind}",
        "turn this into {a_colour_kind}",
        "replace it with {a_kind} in {colour}",
        "keep the style, get me {a_colour_kind}",
        "can i get {a_colour_kind}",
        "from this to {a_kind}, recoloured {colour}",
    ),
    _GENDER | _KIND: (
        "same colour, {kind} for {gender}",
        "find {a_kind} for {gender} to go with it",
        "do you have {a_kind} like that for {gender}",
        "what about {a_kind} for {gender}",
        "{a_kind} of the same colour designed for {gender}",
        "turn this into {a_kind} for {gender}",
        "replace it with {a_kind} as worn by {gender}",
        "keep the colour, get me {a_kind} for {gender}",
        "can i get {a_kind} for {gender} in this shade",
    ),
}


def phrase(split: str, change: Mapping[str, str], query: str) -> str:
    """Word a change. The wording is selected by a hash of the query's id.

    Args:
        split: "val" has wordings of its own; "test" and "all" share the others.
        change: "colour", "gender" and "kind" to words.
        query: the query's id.
    """
    ways = (VAL if split == "val" else TEST)[frozenset(change)]
    way = ways[hash_number(f"phrasing of {query}") % len(ways)]
    kind, colour = change.get("kind", ""), change.get("colour", "")
    return way.format(
        gender=change.get("gender"),
        kind=kind,
        colour=colour,
        a_kind=with_article(kind),
        a_colour=with_article(colour),
        a_colour_kind=with_article(kind, colour),
    )
