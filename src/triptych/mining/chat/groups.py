"""Groups of pictures that a chat reasoner sees together with a reference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.core.cluster import HERE, Workers
from triptych.core.neighbours import shards
from triptych.core.vectors import Vectors, nearest_in_pieces

_DUPLICATE = 0.98  # cosine from which two pictures count as the same
_SPREAD = 0.5  # weight of the similarity to pictures already chosen, which is subtracted from a candidate's score
_BLOCK = 256  # references looked up at once


@dataclass(frozen=True)
class Group:
    """A reference and its candidates, by name, each with its cosine to the reference."""

    reference: str
    candidates: tuple[str, ...]
    similarity: tuple[float, ...]


def groups(
    names: Sequence[str],
    views: Sequence[Vectors],
    references: Sequence[int],
    *,
    width: int,
    size: int,
    workers: Workers = HERE,
) -> Iterator[Group]:
    """Make a group for each reference: near pictures, but no duplicates, and not all alike.

    Candidates are chosen in turn from the `width` nearest pictures of each view by maximal marginal relevance
    (Carbonell and Goldstein 1998). The first view is that of the plain vectors. A group is smaller if there are not
    enough pictures.

    Args:
        names: the pictures.
        views: vectors `(n, d)` of the pictures in each view.
        references: their rows.
        width: nearest pictures of each view.
        size: pictures of a group, without the reference.
        workers: who finds them; each worker's machine holds all views.
    """
    blocks = [references[start : start + _BLOCK] for start in range(0, len(references), _BLOCK)]
    for block in workers.map(_Grouping, (tuple(views), width, size), blocks):
        for row, chosen, similarity in block:
            yield Group(names[row], tuple(names[other] for other in chosen), similarity)


_Rows = tuple[int, list[int], tuple[float, ...]]
"""A group by rows: the reference, the candidates, and the cosine of each."""


class _Grouping:
    """Makes the groups of a block of references."""

    def __init__(self, views: Sequence[Vectors], width: int, size: int) -> None:
        self._views, self._width, self._size = views, width, size

    def __call__(self, references: Sequence[int]) -> list[_Rows]:
        rows, plain = np.asarray(references), self._views[0]
        found = [nearest_in_pieces(view[rows], shards(view), self._width + 1) for view in self._views]
        made: list[_Rows] = []
        for place, row in enumerate(rows.tolist()):
            chosen = _choose(row, plain, [(near[place], cosines[place]) for near, cosines in found], self._size)
            made.append((row, chosen, tuple((plain[chosen] @ plain[row]).tolist())))
        return made


def _choose(
    row: int,
    plain: Vectors,
    found: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    size: int,
) -> list[int]:
    pools = []
    for near, cosines in found:
        fit = (near != row) & (plain[near] @ plain[row] < _DUPLICATE)
        pools.append((near[fit], cosines[fit], np.zeros(int(fit.sum()), np.float32)))
    chosen: list[int] = []
    turn = 0
    while len(chosen) < size and any(len(near) for near, _, _ in pools):
        near, cosines, crowd = pools[turn % len(pools)]
        turn += 1
        if not len(near):
            continue
        best = int(near[int((cosines - _SPREAD * crowd).argmax())])
        chosen.append(best)
        # Duplicates of the chosen picture are removed, and similar ones count less.
        for index, (near, cosines, crowd) in enumerate(pools):
            like = plain[near] @ plain[best]
            kept = (like < _DUPLICATE) & (near != best)
            pools[index] = (near[kept], cosines[kept], np.maximum(crowd, like)[kept])
    return chosen
