"""Make a query from words and options."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from triptych.core.boxes import Box
from triptych.core.errors import UsageError
from triptych.retrieval.language import Boost, Order, split_text_weight, split_weight
from triptych.retrieval.options import SearchOptions
from triptych.retrieval.ordering import ResultOrder
from triptych.retrieval.query import MOST_PICTURES, MOST_TEXTS, Reference, SearchQuery

PictureSource = Path | str | bytes

Pictures = PictureSource | Sequence[PictureSource] | None
Texts = str | Sequence[str]


class PictureLookup(Protocol):
    """The part of an open catalog that a query is made with."""

    def reference(
        self, *, image: Path | str | bytes | None = None, like: str | None = None, box: Box | None = None
    ) -> Reference:
        """Make the reference of a search."""
        ...

    def name_of(self, like: str) -> str | None:
        """The name of the picture with this name or id; None if there is none."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The columns that conditions can use."""
        ...


@dataclass(frozen=True)
class QueryParts:
    """The pictures and texts of a query, with their weights."""

    images: tuple[tuple[PictureSource, float], ...]
    likes: tuple[tuple[str, float], ...]
    unlikes: tuple[tuple[str, float], ...]
    texts: tuple[tuple[str, float], ...]
    unwanted: tuple[str, ...]


def parts_of(catalog: PictureLookup, image: Pictures, text: Texts, options: SearchOptions) -> QueryParts:
    """Split what was asked into pictures and texts with their weights.

    Raises:
        UsageError: a weight is out of range, or there are too many pictures or texts.
    """

    def named(given: Sequence[str]) -> tuple[tuple[str, float], ...]:
        return tuple(split_weight(one, lambda name: catalog.name_of(name) is not None) for one in given)

    images = () if image is None else (image,) if isinstance(image, (str, bytes, Path)) else tuple(image)
    texts = (text,) if isinstance(text, str) else tuple(text)
    if len(images) + len(options.like) + len(options.unlike) > MOST_PICTURES:
        raise UsageError(f"at most {MOST_PICTURES} pictures make a query")
    if len(texts) + len(options.unwanted) > MOST_TEXTS:
        raise UsageError(f"at most {MOST_TEXTS} texts make a query")
    return QueryParts(
        tuple(weighted_file(one) for one in images),
        named(options.like),
        named(options.unlike),
        tuple(split_text_weight(one) for one in texts if one.strip()),
        tuple(phrase.strip() for phrase in options.unwanted if phrase.strip()),
    )


def weighted_file(given: PictureSource) -> tuple[PictureSource, float]:
    """A picture file and its weight: `jacket.jpg:0.5`, unless there is a file of that name."""
    if isinstance(given, bytes):
        return given, 1.0
    return split_weight(str(given), lambda path: Path(path).exists())


def query_of(
    catalog: PictureLookup,
    image: Pictures,
    text: Texts,
    options: SearchOptions,
    given: Reference | None = None,
) -> SearchQuery:
    """Make the query. `given` is a further reference picture, already cropped to its box.

    Raises:
        UsageError: there is nothing to search for, or a part cannot be read.
        DataError: an image cannot be used.
    """
    asked = parts_of(catalog, image, text, options)
    box = Box.read(options.box) if options.box else None
    if box and len(asked.images) + len(asked.likes) + (given is not None) != 1:
        raise UsageError("--box applies to one picture; give only one")
    references = (
        *(_with_weight(catalog.reference(image=one, box=box), weight) for one, weight in asked.images),
        *(_with_weight(catalog.reference(like=one, box=box), weight) for one, weight in asked.likes),
    )
    return SearchQuery(
        given,
        weight=options.weight,
        where=options.where,
        k=options.k,
        offset=options.offset,
        more_references=references,
        more_texts=asked.texts,
        unlike=tuple(_with_weight(catalog.reference(like=one), weight) for one, weight in asked.unlikes),
        unwanted=asked.unwanted,
        order=order_of(catalog, options),
    )


def order_of(catalog: PictureLookup, options: SearchOptions) -> ResultOrder:
    """The order of the results.

    Raises:
        UsageError: a column does not exist.
    """
    schema = catalog.schema
    return ResultOrder(
        tuple(Boost.read(one, schema) for one in options.boost),
        tuple(Order.read(one, schema) for one in options.sort),
        options.unique,
        options.among,
        (catalog.name_of(options.after) or options.after) if options.after else "",
    )


def _with_weight(reference: Reference, weight: float) -> Reference:
    return Reference(reference.vector, reference.sha256, reference.pixels, weight)
