"""`--where`: conditions over metadata columns, such as `colour=red`, `price<=50` or `brand!=Acme`."""

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from triptych.errors import UsageError

_CONDITION = re.compile(r"\s*([^=!<>]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matching(metadata: pa.Table, conditions: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows of `metadata` fulfil every condition: booleans `(n,)`. A missing value fulfils none but `!=`.

    Words compare regardless of case. Raises UsageError for a condition that cannot be read, an unknown column, or a
    number compared with a word.
    """
    rows = np.ones(len(metadata), bool)
    for condition in conditions:
        parts = _CONDITION.fullmatch(condition)
        if parts is None:
            raise UsageError(f"--where {condition!r}: write COLUMN=VALUE, or with != < <= > >=")
        column, sign, wanted = parts.groups()
        if column not in metadata.column_names:
            known = ", ".join(metadata.column_names)
            raise UsageError(f"--where {condition!r}: there is no column {column!r}; there are {known}")
        rows &= _compare(metadata.column(column), sign, wanted, condition)
    return rows


def _compare(column: pa.ChunkedArray, sign: str, wanted: str, condition: str) -> NDArray[np.bool_]:
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    target: float | str
    try:
        target = float(wanted) if numeric else wanted.casefold()
    except ValueError:
        raise UsageError(f"--where {condition!r}: the column holds numbers, and {wanted!r} is none") from None
    compare = _COMPARE[sign]
    values = [value if numeric or value is None else str(value).casefold() for value in column.to_pylist()]
    return np.array([sign == "!=" if value is None else compare(value, target) for value in values], bool)
