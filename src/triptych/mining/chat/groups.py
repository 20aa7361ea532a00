"""Groups of pictures that a chat reasoner sees together with a reference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.core.vectors import Vectors, nearest

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
    """
    plain = views[0]
    for start in range(0, len(references), _BLOCK):
        rows = np.asarray(references[start : start + _BLOCK])
        found = [nearest(view[rows], view, width + 1) for view in views]
        for place, row in enumerate(rows.tolist()):
            chosen = _choose(row, plain, [(near[place], cosines[place]) for near, cosines in found], size)
            similarity = plain[chosen] @ plain[row]
            yield Group(names[row], tuple(names[other] for other in chosen), tuple(similarity.tolist()))


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
