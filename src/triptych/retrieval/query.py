"""A query: references, words, and conditions on the results; and its vector."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from triptych.composers.baselines import WeightedSum
from triptych.composers.negation import signed_phrases
from triptych.composers.patches import reads_pixels
from triptych.composers.protocol import Composer
from triptych.composers.signed_texts import SignedTexts, combined_vectors
from triptych.core.errors import UsageError
from triptych.core.vectors import Vectors, require_finite_rows, unit
from triptych.encoders.protocol import Encoder, Pixels
from triptych.retrieval.ordering import ResultOrder

UNLIKE = 0.3
"""The share of the mean of unlike pictures that is subtracted; chosen with `bench/query_language.py`."""

_CLAUSES = re.compile(r"[.,;:!?()\n]+")  # punctuation that would end an exclusion

MOST_PICTURES = 20
"""The most pictures of a query, wanted and unwanted; each costs an encoding."""
MOST_TEXTS = 20
"""The most texts of a query, wanted and unwanted."""


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference of a search: its vector `(d,)`, and the SHA-256 of its file, which excludes it from the results.

    `pixels` returns the prepared picture `(3, h, w)` for a composer that reads it, and is None otherwise. `weight` is
    the weight among several references.
    """

    vector: Vectors
    sha256: str
    pixels: Callable[[], Pixels] | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class SearchQuery:
    """A search query.

    Raises:
        UsageError: neither a reference nor a text is given, or a value is out of its range.
    """

    reference: Reference | None = None
    text: str = ""
    weight: float | None = None
    """The weight of the words in the weighted sum; not used with a composer. None means the catalog's default."""
    where: tuple[str, ...] = ()
    k: int = 10
    offset: int = 0
    more_references: tuple[Reference, ...] = ()
    """Further references, each with its weight."""
    more_texts: tuple[tuple[str, float], ...] = ()
    """Further texts, each with its weight; the weight of `text` is 1."""
    unlike: tuple[Reference, ...] = ()
    """Pictures that the results should not resemble, each with its weight. They are never results."""
    unwanted: tuple[str, ...] = ()
    """Phrases that the results should not show, such as "stripes"."""
    order: ResultOrder = ResultOrder()

    def __post_init__(self) -> None:
        if not (self.has_pictures or self.has_words):
            raise UsageError("give a picture, words, or both")
        if self.k < 1 or self.offset < 0 or not (self.weight is None or 0 <= self.weight <= 1):
            raise UsageError("k must be at least 1, offset at least 0, and weight between 0 and 1")
        if len(self.references) + len(self.unlike) > MOST_PICTURES:
            raise UsageError(f"at most {MOST_PICTURES} pictures make a query")
        if len(self.texts) + len(self.unwanted) > MOST_TEXTS:
            raise UsageError(f"at most {MOST_TEXTS} texts make a query")

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """The pictures that results should resemble."""
        return (*((self.reference,) if self.reference is not None else ()), *self.more_references)

    @cached_property
    def texts(self) -> tuple[tuple[str, float], ...]:
        """The texts that are not empty, each with its weight."""
        given = ((self.text, 1.0), *self.more_texts)
        return tuple((text.strip(), weight) for text, weight in given if text.strip())

    @property
    def has_pictures(self) -> bool:
        """Whether there is a picture that results should or should not resemble."""
        return bool(self.references or self.unlike)

    @property
    def has_words(self) -> bool:
        """Whether there are words for what results should or should not show."""
        return bool(self.texts or self.unwanted)

    @property
    def composed(self) -> bool:
        """Whether the query has both a reference picture and words."""
        return bool(self.references) and self.has_words

    @property
    def signed_texts(self) -> SignedTexts:
        """The words, split into what is wanted and what is not."""
        return SignedTexts(self.texts, self.unwanted)

    @property
    def sentence(self) -> str:
        """The words as one text, for a composer."""
        phrases = (f"without {_CLAUSES.sub(' ', phrase)}" for phrase in self.unwanted)
        return ", ".join((*(text for text, _ in self.texts), *phrases))


def query_vectors(
    queries: Sequence[SearchQuery], encoder: Encoder, composer: Composer | None, usual_weight: float
) -> list[Vectors]:
    """Compute the vector `(d,)` of each query. With a composer, queries of picture and words have vectors `(e,)` in the
    composer's space.

    A query without a weight gets the default weight. What the words exclude is subtracted. All texts are encoded in one
    call, and all compositions are made in one call.
    """
    vectors: list[Vectors] = [np.zeros(0, np.float32)] * len(queries)
    composed = [row for row, query in enumerate(queries) if composer is not None and query.composed]
    if composer is not None and composed:
        for row, point in zip(composed, _composed(composer, [queries[row] for row in composed]), strict=True):
            vectors[row] = point
    plain = [row for row in range(len(queries)) if row not in set(composed)]
    worded = [row for row in plain if queries[row].has_words]
    texts = combined_vectors([queries[row].signed_texts for row in worded], encoder.encode_texts) if worded else ()
    text_of = dict(zip(worded, texts, strict=True))
    for row in plain:
        query = queries[row]
        if not query.has_pictures:
            vectors[row] = unit(text_of[row])
        elif row not in text_of:
            vectors[row] = unit(_pictures(query, encoder.dim))
        else:
            weight = usual_weight if query.weight is None else query.weight
            vectors[row] = WeightedSum.blend(_pictures(query, encoder.dim)[None], text_of[row][None], weight)[0]
    for row, query in enumerate(queries):
        maker = composer.name if composer is not None and row in composed else f"encoder {encoder.name}"
        require_finite_rows(vectors[row][None], lambda _, asked=query: _described(asked), maker)  # type: ignore[misc]
    return vectors


def _described(query: SearchQuery) -> str:
    """Describe a query in words, for error messages."""
    pictures = "the reference" if len(query.references) == 1 and not query.unlike else "the pictures"
    words = repr(query.sentence) if query.has_words else ""
    return " and ".join(part for part in (pictures if query.has_pictures else "", words) if part)


def _composed(composer: Composer, queries: Sequence[SearchQuery]) -> list[Vectors]:
    """Compose the vector `(e,)` of each query. With several references it is the weighted mean of their compositions.

    Pictures that results should not resemble are subtracted in the composer's space.
    """
    owners = [row for row, query in enumerate(queries) for _ in query.references]
    references = [reference for query in queries for reference in query.references]
    vectors = np.stack([reference.vector for reference in references])
    words = [queries[row].sentence for row in owners]
    if reads_pixels(composer):
        pixels = np.stack([_pixels(reference) for reference in references])
        points = composer.compose(vectors, words, patches=composer.look(pixels))
    else:
        points = composer.compose(vectors, words)
    made = []
    for row, query in enumerate(queries):
        own = [place for place, owner in enumerate(owners) if owner == row]
        point = points[own[0]] if len(own) == 1 else _mean(points[own], query.references)
        if query.unlike:
            away = composer.gallery(np.stack([reference.vector for reference in query.unlike]))
            point = unit(point - np.float32(UNLIKE) * _mean(away, query.unlike, scaled=False))
        made.append(point)
    return made


def _pixels(reference: Reference) -> Pixels:
    assert reference.pixels is not None
    return reference.pixels()


def _pictures(query: SearchQuery, dim: int) -> Vectors:
    """The mean of the wanted pictures, minus a share of the mean of the unwanted ones."""
    if len(query.references) == 1:
        wanted = query.references[0].vector
    elif query.references:
        wanted = _mean(np.stack([one.vector for one in query.references]), query.references)
    else:
        wanted = np.zeros(dim, np.float32)
    if not query.unlike:
        return wanted
    away = _mean(np.stack([one.vector for one in query.unlike]), query.unlike, scaled=False)
    signed: Vectors = wanted - np.float32(UNLIKE) * away
    return signed


def _mean(vectors: Vectors, references: Sequence[Reference], *, scaled: bool = True) -> Vectors:
    """The mean `(d,)` of vectors `(n, d)`, weighted as the references; if `scaled`, with length one."""
    weights = np.array([one.weight for one in references], np.float32)
    mean: Vectors = (weights / weights.sum()) @ vectors
    return unit(mean) if scaled else mean


def unwanted_of(query: SearchQuery, composer: Composer | None) -> tuple[str, ...]:
    """What the words of a query exclude, if it is subtracted from the query's vector."""
    if composer is None or not query.composed:
        return query.signed_texts.all_unwanted
    return signed_phrases(query.sentence).unwanted if getattr(composer, "signed_texts", False) else ()
