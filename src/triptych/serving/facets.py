"""What people can choose by: the columns of a catalog's metadata, by names that they read, with values and counts."""

import math
import re
from collections import Counter
from datetime import date
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from triptych.catalog.columns import type_of
from triptych.catalog.values import iso_of

_VALUES = 60  # of a column, that are offered at once
_FOUND = 50  # values that a search within a column gives
_REPEATED = 2.0  # pictures of a value, on average, from which on a column of many values is one to choose by

_WORDS = re.compile(r"[A-Z]{2,}(?=[A-Z][a-z]|\b|\d|_|$)|[A-Z]?[^\W\dA-Z_]+|[A-Z]|\d+|[^\W\d_]+")


def label_of(name: str) -> str:
    """A column's name as people read it: "Article type" for `articleType` or `article_type`."""
    if re.search(r"[^\w-]", name):  # it is written for people already
        return name[:1].upper() + name[1:]
    words = [word if len(word) > 1 and word.isupper() else word.lower() for word in _WORDS.findall(name)]
    joined = " ".join(words)
    return joined[:1].upper() + joined[1:] if joined else name


def columns(metadata: pa.Table) -> list[dict[str, Any]]:
    """The columns that a condition can be about: label, type, ends if they have an order, values and counts.

    Values are given as text: of words the commonest first, all else in order. There are at most 60. There are none of
    a column of words in which next to every picture has a value of its own, and of numbers and dates only if they are
    few.
    """
    described = []
    for name in metadata.column_names:
        if name == "name":
            continue
        counts, kind = _counted(metadata, name), type_of(metadata.schema.field(name).type)
        in_order = [value for value, _ in counts.most_common()] if kind == "text" else sorted(counts)
        repeated = counts.total() >= _REPEATED * len(counts)
        offered = in_order[:_VALUES] if len(in_order) <= _VALUES or (kind == "text" and repeated) else []
        ordered = kind in {"number", "date"} and bool(in_order)
        described.append(
            {
                "name": name,
                "label": label_of(name),
                "kind": kind,
                "values": [_shown(value) for value in offered],
                "counts": [counts[value] for value in offered],
                "distinct": len(counts),
                "least": _end(in_order[0]) if ordered else None,
                "most": _end(in_order[-1]) if ordered else None,
            }
        )
    return described


def values_of(metadata: pa.Table, name: str, part: str) -> list[dict[str, Any]]:
    """The values of a column that contain `part`, regardless of case, and their counts; the commonest first.

    At most 50. Raises KeyError where there is no such column.
    """
    if name == "name" or name not in metadata.column_names:
        raise KeyError(name)
    wanted = part.strip().casefold()
    found = [(value, count) for value, count in _counted(metadata, name).most_common() if _holds(value, wanted)]
    return [{"value": _shown(value), "count": count} for value, count in found[:_FOUND]]


def _holds(value: Any, wanted: str) -> bool:
    return wanted in _shown(value).casefold()


def _counted(metadata: pa.Table, name: str) -> Counter[Any]:
    counted = pc.value_counts(metadata.column(name).combine_chunks()).to_pylist()
    return Counter({one["values"]: one["counts"] for one in counted if _is_said(one["values"])})


def _is_said(value: Any) -> bool:
    """Whether a value is one that a condition can name: no missing one, and no number without end."""
    return value not in (None, "") and not (isinstance(value, float) and not math.isfinite(value))


def _shown(value: Any) -> str:
    """A value as a condition can have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return iso_of(value) if isinstance(value, date) else str(value)


def _end(value: Any) -> float | str:
    return iso_of(value)[:10] if isinstance(value, date) else cast(float, value)
