"""What every store of vectors does, wherever it keeps them.

A store of your own is a class with these methods, made as `registry.StoreFactory` says.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from triptych.core.vectors import Vectors


@dataclass(frozen=True)
class SearchTerms:
    """What a query asks of its results, beside being near."""

    k: int
    """How many, at most."""
    where: tuple[str, ...] = ()
    """Conditions over the metadata that a result fulfils."""
    without: tuple[str, ...] = ()
    """SHA-256s of the files that the query names: a picture with such a content is no result."""


class StoreHit(NamedTuple):
    """A picture by its name, and the inner product of its vector and the query's."""

    name: str
    score: float


Blocks = Callable[[], Iterator[tuple[NDArray[np.int64], Vectors]]]
"""Gives a gallery's vectors piece by piece: the rows of a piece, and their unit vectors `(n, d)`."""


@dataclass(frozen=True)
class Rows:
    """Pictures for a store: `n` names, SHA-256s of their files, vectors `(n, d)` and metadata."""

    names: Sequence[str]
    hashes: Sequence[str]
    vectors: Vectors
    metadata: pa.Table


class Store(Protocol):
    """Vectors that can be searched. Conditions are applied before the choice of the nearest, never after."""

    def search(self, queries: Vectors, terms: Sequence[SearchTerms]) -> list[list[StoreHit]]:
        """The nearest of each query `(n, d)` on its own terms, best first.

        Raises UsageError for a condition that cannot be read, StoreError where the store does not answer.
        """
        ...

    def vector(self, name: str) -> Vectors:
        """The vector `(d,)` of a picture. Raises KeyError where there is none of that name."""
        ...

    def add(self, rows: Rows) -> None:
        """Add pictures; one whose name is known is replaced."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Remove pictures; a name that is not known is ignored."""
        ...

    def check(self) -> None:
        """Raise StoreError where a search would not be answered now."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A store that can be made ready for many searches, which takes longer than one search does."""

    def prepare(self) -> None:
        """Do what makes searches faster. They find the same."""
        ...
