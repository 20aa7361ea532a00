"""Names of pictures in Arrow's memory: a quarter of the bytes of a list of strings."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_CHUNKS = 64  # chunks of a growing column, at most; more are slow to read, so they are joined


class Names(Sequence[str]):
    """The names of a gallery's rows, immutable.

    Args:
        names: the names; an Arrow column is not copied.
        first: as many names from the first on are the ones that `in_order` is about; by default all.
    """

    def __init__(self, names: Iterable[str] | pa.ChunkedArray, first: int | None = None) -> None:
        if isinstance(names, pa.ChunkedArray):
            self.column = names
        else:
            self.column = pa.chunked_array([pa.array(list(names), pa.string())])
        self.first = len(self.column) if first is None else first

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        found: str | list[str] = self.column[row].to_pylist() if isinstance(row, slice) else self._one(int(row))
        return found

    def __iter__(self) -> Iterator[str]:
        for chunk in self.column.chunks:
            for start in range(0, len(chunk), 65_536):
                yield from chunk.slice(start, 65_536).to_pylist()

    def _one(self, row: int) -> str:
        whole = self._whole
        found: str = (self.column if whole is None else whole)[row].as_py()
        return found

    @cached_property
    def _whole(self) -> pa.StringArray | None:
        """The only chunk, which is faster to read than a column."""
        return self.column.chunk(0) if self.column.num_chunks == 1 else None

    @cached_property
    def in_order(self) -> bool:
        """Whether the first names are distinct, and in order of code points."""
        first = self.column[: self.first]
        return len(first) < 2 or bool(pc.all(pc.less(first[:-1], first[1:])).as_py())

    def extended(self, names: Iterable[str]) -> "Names":
        """These names, and more at the end."""
        column = pa.chunked_array([*self.column.chunks, pa.array(list(names), pa.string())], pa.string())
        joined = pa.chunked_array([column.combine_chunks()]) if column.num_chunks > _CHUNKS else column
        return Names(joined, self.first)


class SortedRows(Mapping[str, int]):
    """From name to row by binary search, for names in order and some that were added later. It takes no memory.

    Args:
        names: the names of all rows; the first ones are in order.
        alive: a mask `(n,)` of the rows that count.
    """

    def __init__(self, names: Names, alive: NDArray[np.bool_]) -> None:
        self._names, self._alive = names, alive
        self._later = {name: row for row, name in enumerate(names[names.first :], start=names.first)}

    def __getitem__(self, name: str) -> int:
        row = self._later.get(name)
        if row is None or not self._alive[row]:
            row = bisect_left(self._names, name, hi=self._names.first)
            if row == self._names.first or not self._alive[row] or self._names[row] != name:
                raise KeyError(name)
        return row

    def __len__(self) -> int:
        return int(self._alive.sum())

    def __iter__(self) -> Iterator[str]:
        return (name for name, alive in zip(self._names, self._alive, strict=True) if alive)


class RowsOfIds(Mapping[str, int]):
    """From public id to row, in 16 bytes a row.

    Args:
        names: the names of all rows.
        alive: a mask `(n,)` of the rows that count.
        id_of: gives the id of a name, whose first 15 characters are hexadecimal.
    """

    def __init__(self, names: Names, alive: NDArray[np.bool_], id_of: Callable[[str], str]) -> None:
        self._names, self._alive, self._id_of = names, alive, id_of
        keys = np.fromiter((int(id_of(name)[:15], 16) for name in names), np.int64, len(names))
        self._rows = np.argsort(keys, kind="stable")
        self._keys = keys[self._rows]

    def __getitem__(self, wanted: str) -> int:
        try:
            key = int(wanted[:15], 16)
        except ValueError:
            raise KeyError(wanted) from None
        first, end = (int(np.searchsorted(self._keys, key, side)) for side in ("left", "right"))
        for row in self._rows[first:end].tolist():
            if self._alive[row] and self._id_of(self._names[row]) == wanted:
                return int(row)
        raise KeyError(wanted)

    def __len__(self) -> int:
        return int(self._alive.sum())

    def __iter__(self) -> Iterator[str]:
        return (self._id_of(name) for name, alive in zip(self._names, self._alive, strict=True) if alive)
