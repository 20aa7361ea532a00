"""The pictures of a store, without their vectors, as an immutable snapshot."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from threading import Lock
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from triptych.catalog.catalog import Catalog
from triptych.catalog.filters import matching
from triptych.retrieval.stores.names import Names, RowsOfIds, SortedRows
from triptych.retrieval.stores.protocol import SearchTerms

# Cache of the rows that fulfil the latest conditions. The numbers bound its memory and are not tuned.
_REMEMBERED = 64  # sets of conditions, at most
_SHORT = 10_000  # characters of a set; longer ones are not cached
_BYTES = 32 * 1024 * 1024  # bytes of all rows
_CHUNKS = 64  # chunks of a growing table, at most; more are slow to read, so they are joined
_MANY = 2_000_000  # more pictures have no dictionary of their names, which takes 150 bytes for each


@dataclass(frozen=True)
class Gallery:
    """`n` pictures. Row `i` is the same picture in all arrays. A removed picture keeps its row, but is not alive."""

    names: Names
    hashes: NDArray[np.bytes_]
    metadata: pa.Table
    alive: NDArray[np.bool_]
    _masks: OrderedDict[tuple[str, ...], NDArray[np.bool_]] = field(default_factory=OrderedDict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def of(cls, catalog: Catalog) -> Self:
        """Take the usable pictures of a catalog, in its order."""
        names = Names(catalog.column("name"))
        return cls(names, fixed_hashes(catalog.column("sha256")), catalog.metadata, np.ones(len(names), bool))

    def __len__(self) -> int:
        return int(self.alive.sum())

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """Maps the names of the pictures that are alive to rows."""
        if len(self.names) > _MANY and self.names.in_order:
            return SortedRows(self.names, self.alive)
        return {name: row for row, name in enumerate(self.names) if self.alive[row]}

    @cached_property
    def row_of_id(self) -> Mapping[str, int]:
        """Maps the public ids of the pictures that are alive to rows."""
        if len(self.names) > _MANY:
            return RowsOfIds(self.names, self.alive, picture_id)
        return {picture_id(name): row for name, row in self.row_of.items()}

    @cached_property
    def living(self) -> pa.Table:
        """The metadata of the pictures that are alive."""
        return self.metadata if self.alive.all() else self.metadata.filter(pa.array(self.alive))

    def allowed(self, terms: SearchTerms) -> NDArray[np.bool_]:
        """A mask `(n,)` of the rows that may answer a query. Raises UsageError for a condition that cannot be read."""
        allowed = self.alive & self.fulfilling(terms.where) if terms.where else self.alive
        for content in terms.without:  # a few
            allowed = allowed & (self.hashes != content.encode())
        return allowed

    def fulfilling(self, where: tuple[str, ...]) -> NDArray[np.bool_]:
        """A mask `(n,)` of the rows that fulfil every condition."""
        with self._lock:
            known = self._masks.get(where)
            if known is not None:
                self._masks.move_to_end(where)
                return known
        mask = matching(self.metadata, where)
        if sum(map(len, where)) <= _SHORT:
            with self._lock:
                self._masks[where] = mask
                while len(self._masks) > max(1, min(_REMEMBERED, _BYTES // max(1, mask.nbytes))):
                    self._masks.popitem(last=False)
        return mask

    def extended(self, names: Sequence[str], hashes: Sequence[str], metadata: pa.Table) -> Self:
        """Add rows at the end. A name that was there before is alive only in its new row."""
        alive = self.without(names).alive
        table = pa.concat_tables([self.metadata, metadata.select(self.metadata.column_names)])
        return replace(
            self,
            names=self.names.extended(names),
            hashes=np.concatenate([self.hashes, np.array(hashes, "S64")]),
            metadata=table.combine_chunks() if table.column(0).num_chunks > _CHUNKS else table,
            alive=np.concatenate([alive, np.ones(len(names), bool)]),
            _masks=OrderedDict(),
            _lock=Lock(),
        )

    def without(self, names: Sequence[str]) -> Self:
        """Mark pictures as not alive."""
        alive = self.alive.copy()
        alive[[self.row_of[name] for name in names if name in self.row_of]] = False
        return replace(self, alive=alive)


def picture_id(name: str) -> str:
    """The public id of a picture, a hash of its name: it hides the path and is stable as long as the name is."""
    return sha256(name.encode()).hexdigest()[:20]


def fixed_hashes(column: pa.ChunkedArray) -> NDArray[np.bytes_]:
    """A column of SHA-256s as an array `(n,)`, without a Python string of each."""
    if not len(column) or column.null_count or pc.any(pc.not_equal(pc.binary_length(column), 64)).as_py():
        return np.array(column.to_pylist(), "S64")
    chunks = [
        np.frombuffer(
            chunk.buffers()[2], "S64", len(chunk), int(np.frombuffer(chunk.buffers()[1], np.int32)[chunk.offset])
        )
        for chunk in column.chunks
        if len(chunk)
    ]
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
