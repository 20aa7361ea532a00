"""The order of results: boosts and sorting by metadata, folding of near-duplicates, and paging."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from triptych.core.vectors import Vectors
from triptych.retrieval.language import Boost, Order
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.protocol import StoreHit

NEAR_DUPLICATE = 0.955
"""The least cosine between two pictures that count as near-duplicates.

Chosen on val photos of closet with the encoder `photos` (`bench/query_language.py`): 95 % of the photos that were
saved again, halved or trimmed reach it, and less than 1 % of other photos do. On product photos, from which it was not
chosen (`bench/near_duplicates.py`): 99 to 100 % of such copies, and 1.5 % of other products of one type and colour.
"""

MOST_FOLDED = 2000
"""How many of the nearest pictures are searched for near-duplicates. Each is compared with those before it."""


@dataclass(frozen=True)
class ResultOrder:
    """How results are ordered, and where a page begins."""

    boosts: tuple[Boost, ...] = ()
    sort: tuple[Order, ...] = ()
    unique: bool = False
    """Whether a near-duplicate of a better result is folded into that result."""
    among: int = 200
    """How many of the nearest are boosted or sorted. Only these can be results then."""
    after: str = ""
    """The name of the picture after which results begin. If it is not a result, the offset counts."""

    @property
    def is_by_score(self) -> bool:
        """Whether results keep the store's order."""
        return not (self.boosts or self.sort or self.unique or self.after)


@dataclass(frozen=True)
class Placed:
    """A result, with the names of the near-duplicates that are folded into it."""

    hit: StoreHit
    folded: tuple[str, ...] = ()


def arranged(
    order: ResultOrder,
    offset: int,
    k: int,
    nearest: Callable[[int], Sequence[StoreHit]],
    gallery: Gallery,
    vector: Callable[[str], Vectors],
) -> tuple[int, list[Placed]]:
    """Return `k` results in their order, and how many precede them.

    Args:
        order: how results are ordered.
        offset: how many results are skipped, unless `order.after` is among them.
        k: how many results to return.
        nearest: returns the given number of nearest pictures, best first.
        gallery: the pictures with their metadata.
        vector: returns a picture's vector `(d,)` in the encoder's space.
    """
    fixed = bool(order.boosts or order.sort)
    most = order.among if fixed else MOST_FOLDED if order.unique else max(1, len(gallery))
    size = most if fixed else min(most, 2 * (offset + k))
    while True:
        found = [hit for hit in nearest(size) if hit.name in gallery.row_of]
        placed = _reordered(order, found, gallery) if fixed else [Placed(hit) for hit in found]
        if order.unique:
            placed = _folded(placed, gallery, vector)
        start = next((place + 1 for place, one in enumerate(placed) if _is(one, order.after)), None)
        first = offset if start is None else start
        whole = len(found) < size or size >= most
        if whole or (len(placed) >= first + k and (start is not None or not order.after)):
            return first, placed[first : first + k]
        size = min(most, 4 * size)


def _is(placed: Placed, name: str) -> bool:
    return bool(name) and (placed.hit.name == name or name in placed.folded)


def _reordered(order: ResultOrder, found: Sequence[StoreHit], gallery: Gallery) -> list[Placed]:
    """Boost results and then sort them. Equal ones keep the order of similarity."""
    known = gallery.metadata.take(pa.array([gallery.row_of[hit.name] for hit in found], pa.int64()))
    scores = np.array([hit.score for hit in found], np.float64)
    spread = float(scores.std()) if len(scores) else 0.0
    for boost in order.boosts:
        scores = scores + spread * boost.lifts(known)
    places = [one.places(known) for one in order.sort]
    rows = sorted(range(len(found)), key=lambda row: (*(place[row] for place in places), -scores[row], row))
    return [Placed(StoreHit(found[row].name, float(scores[row]))) for row in rows]


def _folded(placed: Sequence[Placed], gallery: Gallery, vector: Callable[[str], Vectors]) -> list[Placed]:
    """Remove the near-duplicates of better results: equal files, or nearly equal vectors."""
    there: list[tuple[Placed, Vectors]] = []
    for one in placed:
        with suppress(KeyError):  # it was removed while this search was under way
            there.append((one, vector(one.hit.name)))
    if not there:
        return []
    placed, vectors = [one for one, _ in there], np.stack([own for _, own in there])
    kept = np.empty_like(vectors)  # the first `count` rows are those of `rows`
    rows: list[int] = []
    place_of: dict[bytes, int] = {}  # the key is the SHA-256 of a picture's file
    folded: dict[int, list[str]] = {}
    for row, one in enumerate(placed):
        content = bytes(gallery.hashes[gallery.row_of[one.hit.name]])
        similarity = kept[: len(rows)] @ vectors[row]
        best = int(similarity.argmax()) if rows else -1
        same = place_of.get(content, best if rows and similarity[best] >= NEAR_DUPLICATE else -1)
        if same < 0:
            place_of[content] = len(rows)
            kept[len(rows)] = vectors[row]
            rows.append(row)
        else:
            folded.setdefault(same, []).append(one.hit.name)
    return [Placed(placed[row].hit, tuple(folded.get(place, ()))) for place, row in enumerate(rows)]
