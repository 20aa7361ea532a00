"""Facets for filtering: the columns of a catalog's metadata with readable names, values and counts."""

import math
import re
from collections import Counter
from datetime import date
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from triptych.catalog.columns import type_of
from triptych.catalog.values import iso_of

# Sizes that suit a list on a screen.
_VALUES = 60  # values of a column that are listed
_FOUND = 50  # values that a search within a column returns
_REPEATED = 2.0  # a text column with more values lists the commonest if a value has this many pictures on average

_WORDS = re.compile(r"[A-Z]{2,}(?=[A-Z][a-z]|\b|\d|_|$)|[A-Z]?[^\W\dA-Z_]+|[A-Z]|\d+|[^\W\d_]+")


def label_of(name: str) -> str:
    """A readable name of a column: "Article type" for `articleType` or `article_type`."""
    if re.search(r"[^\w-]", name):  # the name is already readable
        return name[:1].upper() + name[1:]
    words = [word if len(word) > 1 and word.isupper() else word.lower() for word in _WORDS.findall(name)]
    joined = " ".join(words)
    return joined[:1].upper() + joined[1:] if joined else name


def columns(metadata: pa.Table) -> list[dict[str, Any]]:
    """The columns that conditions can use, with label, type, values, counts, and the range of numbers and dates.

    Values are given as text: words by frequency, all others in ascending order, at most 60. No values are given for a
    column of words with a different value for nearly every picture, or for more than 60 numbers or dates.
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
                "min": _end(in_order[0]) if ordered else None,
                "max": _end(in_order[-1]) if ordered else None,
            }
        )
    return described


class Facets:
    """The columns of a catalog, as `columns` describes them, counted again only where it has changed."""

    def __init__(self) -> None:
        self._known: tuple[pa.Table, list[dict[str, Any]]] | None = None

    def __call__(self, metadata: pa.Table) -> list[dict[str, Any]]:
        """Describe the columns of `metadata`, which is the same object as long as nothing changes."""
        known = self._known
        if known is None or known[0] is not metadata:
            known = self._known = (metadata, columns(metadata))
        return known[1]


def values_of(metadata: pa.Table, name: str, part: str) -> list[dict[str, Any]]:
    """The values of a column that contain `part`, regardless of case, with their counts, by frequency; at most 50.

    Raises:
        KeyError: there is no such column.
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
    """Whether a condition can contain the value: it is neither missing nor an infinite number."""
    return value not in (None, "") and not (isinstance(value, float) and not math.isfinite(value))


def _shown(value: Any) -> str:
    """A value as text that a condition can contain."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return iso_of(value) if isinstance(value, date) else str(value)


def _end(value: Any) -> float | str:
    return iso_of(value)[:10] if isinstance(value, date) else cast(float, value)
