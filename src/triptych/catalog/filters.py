"""`--where`: conditions over metadata columns, such as `colour=red`, `price<=50` or `brand!=Acme`.

Spaces around column and value do not count, unless they stand between double quotes, as signs in a column's name must:
`"size (<40)"=" one "`. A value that is itself between quotes takes a second pair.
"""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from triptych.core.errors import UsageError

_CONDITION = re.compile(r'(\s*".+?"\s*|[^=!<>]+)(!=|<=|>=|=|<|>)(.*)', re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """A column, a sign of `= != < <= > >=`, and what to compare with: a number, or words in small letters."""

    column: str
    sign: str
    wanted: float | str


def read_conditions(schema: pa.Schema, conditions: Sequence[str]) -> list[Condition]:
    """Conditions over the columns of `schema`.

    Raises UsageError for a condition that cannot be read, an unknown column, or a number compared with a word.
    """
    return [_read(schema, condition) for condition in conditions]


def matching(metadata: pa.Table, conditions: Sequence[str]) -> NDArray[np.bool_]:
    """Which rows of `metadata` fulfil every condition: booleans `(n,)`. A missing value fulfils none but `!=`.

    Words compare regardless of case. Raises UsageError as `read_conditions` does.
    """
    rows = np.ones(len(metadata), bool)
    for condition in read_conditions(metadata.schema, conditions):
        rows &= _compare(metadata.column(condition.column), condition)
    return rows


def is_numeric(kind: pa.DataType) -> bool:
    """Whether a column of this type is compared as numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _read(schema: pa.Schema, condition: str) -> Condition:
    parts = _CONDITION.fullmatch(condition)
    if parts is None or not parts[1].strip():
        raise UsageError(f"--where {condition!r}: write COLUMN=VALUE, or with != < <= > >=")
    column, sign, wanted = parts.groups()
    column, wanted = column if column in schema.names else _meant(column), _meant(wanted)
    if column not in schema.names:
        known = ", ".join(schema.names)
        raise UsageError(f"--where {condition!r}: there is no column {column!r}; there are {known}")
    if not is_numeric(schema.field(column).type):
        return Condition(column, sign, wanted.casefold())
    try:
        return Condition(column, sign, float(wanted))
    except ValueError:
        raise UsageError(f"--where {condition!r}: the column holds numbers, and {wanted!r} is none") from None


def _meant(written: str) -> str:
    """A column or a value: between double quotes as it stands there, else without spaces around it."""
    bare = written.strip()
    return bare[1:-1] if len(bare) > 1 and bare[0] == bare[-1] == '"' else bare


def _compare(column: pa.ChunkedArray, condition: Condition) -> NDArray[np.bool_]:
    """Each distinct value is compared once: a column of words has few."""
    coded = column.combine_chunks().dictionary_encode()
    compare, wanted, numeric = _COMPARE[condition.sign], condition.wanted, is_numeric(column.type)
    values = coded.dictionary.to_pylist()
    fits = [compare(value if numeric else str(value).casefold(), wanted) for value in values]
    codes: NDArray[np.int64] = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    # A missing value has the code -1, and so the last place.
    fulfilled: NDArray[np.bool_] = np.array([*fits, condition.sign == "!="], bool)[codes]
    return fulfilled
