"""Answer queries: compute their vectors, find neighbours in the stores, and order the results."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from triptych.composers.protocol import Composer, readings_of
from triptych.core.errors import UsageError
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder, TextReading
from triptych.retrieval.ordering import Placed, arranged
from triptych.retrieval.query import SearchQuery, query_vectors, unwanted_of
from triptych.retrieval.results import Hit, Hits
from triptych.retrieval.snapshot import CatalogSnapshot
from triptych.retrieval.stores.gallery import picture_id
from triptych.retrieval.stores.protocol import SearchTerms, Store, StoreHit


@dataclass(frozen=True)
class Answers:
    """The hits of each query, and the seconds that encoding and searching took for all."""

    hits: list[Hits]
    encoding: float
    finding: float


@dataclass(frozen=True)
class Answering:
    """Answers queries with an encoder, an optional composer, and the default weight of the words in a sum."""

    encoder: Encoder
    composer: Composer | None
    weight: float

    def __call__(self, queries: Sequence[SearchQuery], snapshot: CatalogSnapshot, root: str) -> Answers:
        """Answer each query among a snapshot's pictures, which lie below `root`. See `OpenCatalog.answer`."""
        for query in queries:
            self._check(query)
        started = perf_counter()
        vectors = query_vectors(queries, self.encoder, self.composer, self.weight)
        encoded = perf_counter()
        places = self._places(queries, vectors, snapshot)
        finding = perf_counter() - encoded
        hits = [
            Hits(_hits(snapshot, placed, first, root), reading, unwanted_of(query, self.composer))
            for (first, placed), query, reading in zip(places, queries, self._readings(queries), strict=True)
        ]
        return Answers(hits, encoded - started, finding)

    def _places(
        self, queries: Sequence[SearchQuery], vectors: Sequence[Vectors], snapshot: CatalogSnapshot
    ) -> list[tuple[int, list[Placed]]]:
        """The results of each query, and how many results precede them. Queries in the store's own order are answered
        in one call."""
        found: list[tuple[int, list[Placed]]] = [(0, [])] * len(queries)
        for composed in (False, True):
            rows = [
                row
                for row, query in enumerate(queries)
                if (self.composer is not None and query.composed) == composed and query.order.is_by_score
            ]
            if not rows:
                continue
            store = snapshot.composed if composed else snapshot.plain
            terms = [_terms(queries[row], queries[row].offset + queries[row].k) for row in rows]
            for row, hits in zip(rows, store.search(np.stack([vectors[row] for row in rows]), terms), strict=True):
                offset = queries[row].offset
                found[row] = offset, [Placed(hit) for hit in hits[offset:]]
        for row, query in enumerate(queries):
            if not query.order.is_by_score:
                composed = self.composer is not None and query.composed
                nearest = _nearest(snapshot.composed if composed else snapshot.plain, vectors[row], query)
                plain = snapshot.plain
                found[row] = arranged(query.order, query.offset, query.k, nearest, snapshot.gallery, plain.vector)
        return found

    def _check(self, query: SearchQuery) -> None:
        """Check the weights.

        Raises:
            UsageError: a weight would have no effect.
        """
        if query.weight is not None and not (query.has_pictures and query.has_words):
            raise UsageError("weight: needs a picture and words; give both, or no weight")
        if self.composer is None or not query.composed:
            return
        name = self.composer.name
        if query.weight is not None:
            raise UsageError(f"weight: the composer {name} has no weight of its words; give no weight, or no composer")
        if len({weight for _, weight in query.texts}) > 1:
            raise UsageError(f"text: the composer {name} joins texts and ignores their weights")

    def _readings(self, queries: Sequence[SearchQuery]) -> list[TextReading | None]:
        """How the encoder reads the words of each query, or the composer if the query also has a picture."""
        readings: list[TextReading | None] = [None] * len(queries)
        for composed in (False, True):
            rows = [row for row, query in enumerate(queries) if query.composed == composed and query.has_words]
            composer = self.composer if composed else None
            texts = {row: _read_texts(queries[row], as_one=composer is not None) for row in rows}
            read = iter(readings_of([text for row in rows for text in texts[row]], self.encoder, composer))
            for row in rows:
                if own := [one for _ in texts[row] if (one := next(read, None))]:
                    readings[row] = _joined(own)
        return readings


def _nearest(store: Store, vector: Vectors, query: SearchQuery) -> Callable[[int], list[StoreHit]]:
    def find(k: int) -> list[StoreHit]:
        return store.search(vector[None], [_terms(query, k)])[0]

    return find


def _terms(query: SearchQuery, k: int) -> SearchTerms:
    named = (*query.references, *query.unlike)
    return SearchTerms(k, query.where, tuple(dict.fromkeys(one.sha256 for one in named)))


def _read_texts(query: SearchQuery, *, as_one: bool) -> list[str]:
    return [query.sentence] if as_one else [*(text for text, _ in query.texts), *query.unwanted]


def _joined(readings: Sequence[TextReading]) -> TextReading:
    """Join the readings of several texts: all unknown words, and the parts of the longest text."""
    longest = max(readings, key=lambda one: one.tokens)
    unknown = tuple(dict.fromkeys(word for one in readings for word in one.unknown))
    return TextReading(longest.tokens, longest.limit, unknown, longest.parts)


def _hits(snapshot: CatalogSnapshot, placed: Sequence[Placed], first: int, root: str) -> list[Hit]:
    row_of = snapshot.gallery.row_of
    # A picture that was removed during this search has no row any more.
    left = [(one, row) for one in placed if (row := row_of.get(one.hit.name)) is not None]
    known = snapshot.metadata([row for _, row in left])
    return [
        Hit(
            rank,
            one.hit.name,
            os.path.join(root, one.hit.name),
            round(one.hit.score, 6),
            picture_id(one.hit.name),
            metadata,
            one.folded,
        )
        for rank, ((one, _), metadata) in enumerate(zip(left, known, strict=True), start=first + 1)
    ]
