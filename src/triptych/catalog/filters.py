"""Find the rows of a catalog's metadata that fulfil conditions."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from triptych.catalog.conditions import Both, Comparison, Condition, Either, read_conditions
from triptych.catalog.values import iso_of

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matching(metadata: pa.Table, conditions: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows of `metadata` fulfil every condition: booleans `(n,)`.

    A missing value fulfils only `!=`. Words are compared regardless of case.

    Raises:
        UsageError: a condition cannot be read, as in `read_conditions`.
    """
    return _fulfilling(metadata, read_conditions(metadata.schema, conditions))


def _fulfilling(metadata: pa.Table, condition: Condition) -> NDArray[np.bool_]:
    match condition:
        case Comparison():
            return _compared(metadata.column(condition.column), condition)
        case Both(parts):
            rows = np.ones(len(metadata), bool)
            for part in parts:
                rows &= _fulfilling(metadata, part)
        case Either(parts):
            rows = np.zeros(len(metadata), bool)
            for part in parts:
                rows |= _fulfilling(metadata, part)
    return rows


def _compared(column: pa.ChunkedArray, comparison: Comparison) -> NDArray[np.bool_]:
    """Compare each distinct value once, since a column of words has few."""
    coded = column.combine_chunks().dictionary_encode()
    fits = [_fits(value, comparison) for value in coded.dictionary.to_pylist()]
    codes: NDArray[np.int64] = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    # A missing value has the code -1, and so the last place.
    fulfilled: NDArray[np.bool_] = np.array([*fits, _fits(None, comparison)], bool)[codes]
    return fulfilled


def _fits(value: Any, comparison: Comparison) -> bool:
    """Whether a value of a column, or None for a missing one, fulfils a comparison."""
    sign, wanted = comparison.sign, comparison.wanted
    if value is None or value == "" or value != value:
        return (None in wanted) == (sign == "=") if sign in {"=", "!="} else False
    if comparison.type == "text":
        value = str(value).casefold()
    elif comparison.type == "date":
        return _fits_date(iso_of(value), comparison)
    return (value in wanted) == (sign == "=") if sign in {"=", "!="} else _COMPARE[sign](value, wanted[0])


def _fits_date(moment: str, comparison: Comparison) -> bool:
    """Compare a moment only as far as the condition says: 2024-03 is that month."""
    prefixes = [str(prefix) for prefix in comparison.wanted if prefix is not None]
    if comparison.sign in {"=", "!="}:
        return any(moment.startswith(prefix) for prefix in prefixes) == (comparison.sign == "=")
    return _COMPARE[comparison.sign](moment[: len(prefixes[0])], prefixes[0])
