"""Metadata stored by row, since reading single rows of a column-wise table is slow."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class MetadataTable:
    """The metadata of `n` pictures as JSON values, as an immutable snapshot. Unknown values are left out.

    Each distinct value of a column is stored once, and a picture is a row of codes `(n, columns)`.
    """

    def __init__(self, columns: Sequence[str], values: Sequence[list[Any]], codes: NDArray[np.int32]) -> None:
        self._columns = columns
        self._values = values
        self._codes = codes

    @classmethod
    def of(cls, metadata: pa.Table) -> Self:
        """The columns of a table except `name`."""
        columns = [column for column in metadata.column_names if column != "name"]
        coded = [metadata.column(column).combine_chunks().dictionary_encode("encode") for column in columns]
        codes = np.empty((len(metadata), len(columns)), np.int32)
        for place, column in enumerate(coded):
            codes[:, place] = column.indices.to_numpy(zero_copy_only=False)
        return cls(columns, [[_plain(value) for value in column.dictionary.to_pylist()] for column in coded], codes)

    def __call__(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """The metadata of these rows."""
        columns, values = self._columns, self._values
        return [
            {
                column: value
                for column, known, code in zip(columns, values, codes, strict=True)
                if (value := known[code]) is not None
            }
            for codes in self._codes[rows].tolist()
        ]

    def extended(self, metadata: pa.Table) -> Self:
        """Add rows at the end. New columns are ignored."""
        more = MetadataTable.of(metadata.select(self._columns))
        codes = more._codes + np.array([len(known) for known in self._values], np.int32)
        values = [known + new for known, new in zip(self._values, more._values, strict=True)]
        return type(self)(self._columns, values, np.concatenate([self._codes, codes]))


def _plain(value: Any) -> bool | int | float | str | None:
    """Keep numbers and booleans, and turn all else into text, also infinity, which JSON lacks. None means unknown."""
    if value in (None, "") or value != value:
        return None
    return value if isinstance(value, (bool, int, float)) and abs(value) < float("inf") else str(value)
