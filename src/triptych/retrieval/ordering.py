"""The order of results: boosted or sorted by metadata, near-duplicates folded, and where a page begins."""

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
"""The cosine of two pictures from which on they are near-duplicates.

Chosen on val photos of closet with the encoder `photos` (`bench/query_language.py`): of photos that were saved again,
halved or trimmed 19 in 20 are as near, and of other photos less than one in a hundred.
"""

MOST_FOLDED = 2000
"""The number of nearest pictures among which near-duplicates are folded. Each is compared with those before it."""


@dataclass(frozen=True)
class ResultOrder:
    """How results are ordered, and where they begin."""

    boosts: tuple[Boost, ...] = ()
    sort: tuple[Order, ...] = ()
    unique: bool = False
    """Whether a near-duplicate of a better result is folded into that one."""
    among: int = 200
    """How many of the nearest are boosted or sorted. There are no results beyond them then."""
    after: str = ""
    """The name of the picture after which results begin; if it is not among them, the offset counts."""

    @property
    def is_by_score(self) -> bool:
        """Whether results keep a store's order."""
        return not (self.boosts or self.sort or self.unique or self.after)


@dataclass(frozen=True)
class Placed:
    """A result at its place, with the names of the near-duplicates that are folded into it."""

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
    """`k` results in their order, and how many come before them.

    Args:
        order: how results are ordered.
        offset: how many results are skipped, unless `order.after` is among them.
        k: how many results to return.
        nearest: gives that many of the nearest pictures, best first.
        gallery: the pictures with their metadata.
        vector: gives a picture's vector `(d,)` in the encoder's space.
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
    """Results, boosted and then sorted. Equal ones keep the order of similarity."""
    known = gallery.metadata.take(pa.array([gallery.row_of[hit.name] for hit in found], pa.int64()))
    scores = np.array([hit.score for hit in found], np.float64)
    spread = float(scores.std()) if len(scores) else 0.0
    for boost in order.boosts:
        scores = scores + spread * boost.lifts(known)
    places = [one.places(known) for one in order.sort]
    rows = sorted(range(len(found)), key=lambda row: (*(place[row] for place in places), -scores[row], row))
    return [Placed(StoreHit(found[row].name, float(scores[row]))) for row in rows]


def _folded(placed: Sequence[Placed], gallery: Gallery, vector: Callable[[str], Vectors]) -> list[Placed]:
    """Results without the near-duplicates of better ones: equal files, or nearly equal vectors."""
    there: list[tuple[Placed, Vectors]] = []
    for one in placed:
        with suppress(KeyError):  # it was removed while this search was under way
            there.append((one, vector(one.hit.name)))
    if not there:
        return []
    placed, vectors = [one for one, _ in there], np.stack([own for _, own in there])
    kept = np.empty_like(vectors)  # the first `count` rows are those of `rows`
    rows: list[int] = []
    place_of: dict[bytes, int] = {}  # by a file's content
    folded: dict[int, list[str]] = {}
    for row, one in enumerate(placed):
        content = bytes(gallery.hashes[gallery.row_of[one.hit.name]])
        likeness = kept[: len(rows)] @ vectors[row]
        best = int(likeness.argmax()) if rows else -1
        same = place_of.get(content, best if rows and likeness[best] >= NEAR_DUPLICATE else -1)
        if same < 0:
            place_of[content] = len(rows)
            kept[len(rows)] = vectors[row]
            rows.append(row)
        else:
            folded.setdefault(same, []).append(one.hit.name)
    return [Placed(placed[row].hit, tuple(folded.get(place, ()))) for place, row in enumerate(rows)]
