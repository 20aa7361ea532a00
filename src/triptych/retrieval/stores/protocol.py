"""The protocol of vector stores.

A custom store is a class with these methods, made by a `registry.StoreFactory`.
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
    """The conditions of a query on its results, besides similarity."""

    k: int
    """The most results to return."""
    where: tuple[str, ...] = ()
    """Conditions on the metadata that every result fulfils."""
    without: tuple[str, ...] = ()
    """SHA-256s of the query's own pictures. A picture with such content is no result."""


class StoreHit(NamedTuple):
    """The name of a picture, and the inner product of its vector and the query's."""

    name: str
    score: float


Blocks = Callable[[], Iterator[tuple[NDArray[np.int64], Vectors]]]
"""Yields a gallery's vectors in blocks: the rows of a block, and their unit vectors `(n, d)`."""


@dataclass(frozen=True)
class Rows:
    """`n` pictures to add to a store: names, SHA-256s of the files, vectors `(n, d)` and metadata."""

    names: Sequence[str]
    hashes: Sequence[str]
    vectors: Vectors
    metadata: pa.Table


class Store(Protocol):
    """A store of vectors. Conditions are applied before the nearest are chosen, never after."""

    def search(self, queries: Vectors, terms: Sequence[SearchTerms]) -> list[list[StoreHit]]:
        """Find the nearest pictures of each query `(n, d)` under its own terms, best first.

        Raises:
            UsageError: a condition cannot be read.
            StoreError: the store does not answer.
        """
        ...

    def vector(self, name: str) -> Vectors:
        """The vector `(d,)` of a picture. Raises KeyError if there is no picture with this name."""
        ...

    def add(self, rows: Rows) -> None:
        """Add pictures. A picture whose name exists is replaced."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Remove pictures. Unknown names are ignored."""
        ...

    def check(self) -> None:
        """Raise StoreError if searches cannot be answered."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A store that can be made ready for many searches, which takes longer than one search does."""

    def prepare(self) -> None:
        """Do what makes searches faster. They find the same."""
        ...
