"""A query: a reference, words, and conditions on the results; and how that becomes one vector."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from triptych.composers.baselines import WeightedSum
from triptych.composers.patches import reads_pixels
from triptych.composers.protocol import Composer
from triptych.composers.signed_texts import signed_vectors
from triptych.core.errors import UsageError
from triptych.core.vectors import Vectors, require_finite_rows, unit
from triptych.encoders.protocol import Encoder, Pixels


@dataclass(frozen=True, eq=False)
class Reference:
    """A picture to start from: its vector `(d,)`, and the SHA-256 of its file, which keeps it out of the results.

    `pixels` gives the prepared picture itself `(3, h, w)`, for a composer that reads it; None for one that does not.
    """

    vector: Vectors
    sha256: str
    pixels: Callable[[], Pixels] | None = None


@dataclass(frozen=True)
class SearchQuery:
    """What is searched for. Raises UsageError where it makes no sense."""

    reference: Reference | None = None
    text: str = ""
    weight: float | None = None
    """Of the words, in the sum of picture and words; a composer does without. None takes the library's."""
    where: tuple[str, ...] = ()
    k: int = 10
    offset: int = 0

    def __post_init__(self) -> None:
        if self.reference is None and not self.text.strip():
            raise UsageError("give a picture, words, or both")
        if self.k < 1 or self.offset < 0 or not (self.weight is None or 0 <= self.weight <= 1):
            raise UsageError("k must be at least 1, offset at least 0, and weight between 0 and 1")

    @property
    def composed(self) -> bool:
        """Whether there are both a picture and words."""
        return self.reference is not None and bool(self.text.strip())


def query_vectors(
    queries: Sequence[SearchQuery], encoder: Encoder, composer: Composer | None, usual_weight: float
) -> list[Vectors]:
    """The vector `(d,)` of each query; with a composer, those with picture and words lie in its space `(e,)`.

    A query that names no weight takes the usual one. What its words exclude is subtracted. All texts go through the
    encoder, and all compositions through the composer, at once.
    """
    vectors: list[Vectors] = [np.zeros(0, np.float32)] * len(queries)
    composed = [row for row, query in enumerate(queries) if composer is not None and query.composed]
    if composer is not None and composed:
        points = _compose(composer, [queries[row] for row in composed])
        for row, point in zip(composed, points, strict=True):
            vectors[row] = point
    plain = [row for row in range(len(queries)) if row not in set(composed)]
    worded = [row for row in plain if queries[row].text.strip()]
    texts = signed_vectors([queries[row].text.strip() for row in worded], encoder.encode_texts) if worded else ()
    text_of = dict(zip(worded, texts, strict=True))
    for row in plain:
        query = queries[row]
        if query.reference is None:
            vectors[row] = unit(text_of[row])
        elif row not in text_of:
            vectors[row] = unit(_reference(query))
        else:
            weight = usual_weight if query.weight is None else query.weight
            vectors[row] = WeightedSum.blend(_reference(query)[None], text_of[row][None], weight)[0]
    for row, query in enumerate(queries):
        maker = composer.name if composer is not None and row in composed else f"encoder {encoder.name}"
        require_finite_rows(vectors[row][None], lambda _, asked=query: _told(asked), maker)  # type: ignore[misc]
    return vectors


def _told(query: SearchQuery) -> str:
    """What a query is of, in words."""
    words = repr(query.text.strip()) if query.text.strip() else ""
    return " and ".join(part for part in ("the reference" if query.reference else "", words) if part)


def _compose(composer: Composer, queries: Sequence[SearchQuery]) -> Vectors:
    references, words = np.stack([_reference(query) for query in queries]), [query.text.strip() for query in queries]
    if reads_pixels(composer):
        return composer.compose(
            references, words, patches=composer.look(np.stack([_pixels(query) for query in queries]))
        )
    return composer.compose(references, words)


def _pixels(query: SearchQuery) -> Pixels:
    assert query.reference is not None
    assert query.reference.pixels is not None
    return query.reference.pixels()


def _reference(query: SearchQuery) -> Vectors:
    assert query.reference is not None
    return query.reference.vector
