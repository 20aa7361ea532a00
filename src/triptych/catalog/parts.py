"""The parts of a catalog, `part-*.parquet`: their columns, the latest row of each name, and reading vectors."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from triptych.core.errors import DataError
from triptych.core.vectors import Vectors

ROW = "row"
"""A column that is not on disk: where an entry stands among all parts' rows."""

ROW_GROUP = 4096
"""Rows that are read at a time."""

_OUTSIDE = r"^/|(^|/)\.\.(/|$)|\x00"  # what no name of a picture is like


def part_schema(dim: int) -> pa.Schema:
    """The columns of a part, with vectors of `dim` numbers."""
    return pa.schema(
        [
            ("name", pa.string()),
            ("bytes", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("sha256", pa.string()),
            ("status", pa.string()),
            ("reason", pa.string()),
            ("vector", pa.list_(pa.float32(), dim)),
        ]
    )


def next_part(parts: Sequence[str]) -> str:
    """The name of the part that follows these."""
    numbers = [int(part[5:-8]) for part in parts]
    return f"part-{max(numbers, default=-1) + 1:06d}.parquet"


def latest_rows(table: pa.Table, folder: Path) -> pa.Table:
    """The latest row of each name, ordered by name, with its ROW.

    Raises:
        DataError: a name leads out of the root.
    """
    # Names that are listed as refused need not be paths; those of pictures were paths once.
    used = table.column("name").filter(pc.not_equal(table.column("status"), "rejected"))
    outside = used.filter(pc.match_substring_regex(used, _OUTSIDE))
    if len(outside):
        raise DataError(f"{folder}: {outside[0].as_py()!r} leads outside the catalog's root; do not use it")
    names = table.column("name")
    if len(names) < 2 or pc.all(pc.less(names[:-1], names[1:])).as_py():
        return table.append_column(ROW, pa.array(np.arange(len(names))))
    order = pc.sort_indices(names)  # is stable, so the last of equal names is the latest
    ordered = names.take(order)
    last = np.append(pc.not_equal(ordered[:-1], ordered[1:]).to_numpy(), True)
    rows = order.cast(pa.int64()).filter(pa.array(last))
    return table.take(rows).append_column(ROW, rows)


def read_vectors(
    parts: Sequence[pq.ParquetFile], rows: NDArray[np.int64], dim: int
) -> tuple[Vectors, NDArray[np.bool_]]:
    """Read the vectors `(n, dim)` of rows, which are numbered over all parts, and which rows have one.

    Parts are read piece by piece, so that vectors are in memory once.

    Raises:
        OSError: a part cannot be read.
        ArrowInvalid: a part is damaged.
    """
    matrix = np.empty((len(rows), dim), np.float32)
    found = np.zeros(len(rows), bool)
    for places, vectors in stream_vectors(parts, rows, dim):
        matrix[places] = vectors
        found[places] = True
    return matrix, found


def stream_vectors(
    parts: Sequence[pq.ParquetFile], rows: NDArray[np.int64], dim: int
) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
    """The vectors of rows piece by piece, each with its places among `rows`. Rows without a vector are left out.

    Raises:
        OSError: a part cannot be read.
        ArrowInvalid: a part is damaged.
    """
    place = np.full(sum(part.metadata.num_rows for part in parts), -1)
    place[rows] = np.arange(len(rows))
    start = 0
    for part in parts:
        for batch in part.iter_batches(ROW_GROUP, columns=["vector"], use_threads=False):
            column = batch.column(0)
            known = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
            vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)  # without nulls
            places = place[start + known]
            yield places[places >= 0], vectors[places >= 0]
            start += len(column)
