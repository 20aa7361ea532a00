"""The types of metadata columns, found once from all values and stored as types of Parquet columns."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

import pyarrow as pa

from triptych.catalog.options import GivenType
from triptych.catalog.values import (
    Amount,
    DateOrder,
    Decimal,
    date_orders,
    is_ambiguous_date,
    is_blank,
    is_code,
    is_no_value,
    read_amount,
    read_boolean,
    read_date,
    read_number,
)
from triptych.core.text import truncate

TYPED = b"triptych-types"
"""The key in a table's schema that marks its columns as typed."""

ColumnType = Literal["number", "date", "boolean", "text"]

_SHOWN = 40  # characters of an example
_WHOLE = 2**63  # numbers from here on do not fit int64


def type_of(kind: pa.DataType) -> ColumnType:
    """The column type of a Parquet type, which decides how values are compared."""
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    return "date" if pa.types.is_date(kind) or pa.types.is_timestamp(kind) else "text"


@dataclass(frozen=True)
class TypedColumn:
    """A column's values in its type; null if there is no value."""

    values: pa.Array
    lost: int = 0
    """How many values do not fit the type, and are null now."""
    notes: list[str] = field(default_factory=list)
    """Notes for a person, without the column's name."""

    @property
    def type(self) -> ColumnType:
        """The type of all values."""
        return type_of(self.values.type)


class TypeReader:
    """Finds the types of a table's columns. What one column shows of the decimal sign counts for columns that do not
    show it.

    Args:
        columns: the cells of each column, by its name.
        separator: between the table's cells. A semicolon suggests that 1.299 means 1299.
    """

    def __init__(self, columns: Mapping[str, Sequence[str]], separator: str = ",") -> None:
        self._columns = columns
        self._semicolons = separator == ";"
        self._known = {name: _known(values) for name, values in columns.items()}
        self._amounts = {name: _amounts(known) for name, known in self._known.items()}
        votes = Counter[Decimal]()
        for name, known in self._known.items():
            if _are_most(self._amounts[name], known):
                votes += _votes(self._amounts[name], known)
        self._usual: Decimal | None = None if votes["."] == votes[","] else votes.most_common(1)[0][0]

    def read(self, name: str, given: GivenType | None = None) -> TypedColumn:
        """Read a column in the type that fits its values, or in the one `given` by a person."""
        notes: list[str] = []
        kind = given or self._chosen(name, notes)
        values = self._columns[name]
        if kind == "text":
            return TypedColumn(
                pa.array([None if is_blank(value) else value for value in values], pa.string()), 0, notes
            )
        known = self._known[name]
        meant = self._meanings(name, kind, notes)
        lost = Counter({text: count for text, count in known.items() if meant.get(text) is None})
        if lost:
            what = {"number": "numbers", "boolean": "yes or no"}.get(kind, "dates")
            notes.append(
                f"{lost.total()} of {known.total()} values are no {what} and are left out, such as {_example(lost)}; "
                f"--column-type {name}=text keeps all as they are"
            )
        return TypedColumn(_array([meant.get(value) for value in values]), lost.total(), notes)

    def _chosen(self, name: str, notes: list[str]) -> GivenType:
        """The type that fits a column's values. If it is text for a reason that may
        surprise, the reason is added to `notes`."""
        known, amounts = self._known[name], self._amounts[name]
        if not known:
            return "text"
        if _all_booleans(known):
            return "boolean"
        dates = Counter({text: count for text, count in known.items() if date_orders(text)})
        # 20240301 is a number, too, so a column of such values is one of dates only if all of them are dates.
        if _are_most(dates, known) and dates.total() >= sum(known[text] for text in amounts):
            order = _order(dates)
            if order is None:
                notes.append(
                    f"kept as text, since nothing tells whether {_example(dates)} has the day or the month first; give "
                    f"--column-type {name}=dmy or {name}=mdy"
                )
            return order or "text"
        if _are_most(amounts, known):
            why = _why_no_numbers(known, amounts)
            if why:
                notes.append(f"kept as text, since {why}; --column-type {name}=number reads numbers")
            return "text" if why else "number"
        for what, found in (("number", amounts), ("date", dates)):
            others = Counter({text: count for text, count in known.items() if text not in found})
            if 3 * others.total() <= 2 * known.total():
                notes.append(
                    f"kept as text: {others.total()} of {known.total()} values are no {what}s, such as "
                    f"{_example(others)}; --column-type {name}={what} leaves these out"
                )
        return "text"

    def _meanings(self, name: str, kind: GivenType, notes: list[str]) -> Mapping[str, Any]:
        """The meaning of each distinct value; None, or missing, if it has none."""
        known, amounts = self._known[name], self._amounts[name]
        if kind == "boolean":
            return {text: read_boolean(text) for text in known}
        if kind != "number":
            order = kind if kind in ("dmy", "mdy") else _order(known)
            return {text: _date_in(text, order) for text in known}
        decimal = self._decimal(name, notes)
        if units := {amount.unit for amount in amounts.values()} - {""}:
            notes.append(f"numbers, without the sign {', '.join(sorted(units))}")
        return {text: amount.value(decimal) for text, amount in amounts.items()}

    def _decimal(self, name: str, notes: list[str]) -> Decimal:
        """The decimal sign of a column. If it is uncertain, `notes` say what was assumed."""
        amounts = self._amounts[name]
        votes = _votes(amounts, self._known[name])
        unsure = {text: amount for text, amount in amounts.items() if amount.ambiguous}
        if votes["."] != votes[","]:
            return votes.most_common(1)[0][0]
        if not unsure:
            return "."
        money = all(amount.money for amount in unsure.values())
        points = all(amount.by_point for amount in unsure.values())
        decimal: Decimal = "," if points and (money or self._semicolons) else "."
        if self._usual and not money:
            decimal = self._usual
        text, amount = next(iter(unsure.items()))
        notes.append(
            f"{truncate(text, _SHOWN)!r} is read as {amount.value(decimal)}; write numbers that can be one only"
        )
        return decimal


def with_types(stored: pa.Table) -> pa.Table:
    """Stored metadata, with typed columns also if they were written by an earlier version."""
    known = TYPED in (stored.schema.metadata or {})
    columns = {}
    for name, column in zip(stored.column_names, stored.columns, strict=True):
        if type_of(column.type) == "text":  # one in which nothing is known yet, too, so that something can become known
            words = column.cast(pa.string())
            column = words if known or name == "name" else typed_text(words)
        columns[name] = column
    return pa.table(columns)


def typed_text(column: pa.ChunkedArray) -> pa.Array:
    """A stored text column in the type of its values if all of them have it, else unchanged."""
    values = column.combine_chunks()
    found = TypeReader({"": [value or "" for value in values.to_pylist()]}).read("")
    return values if found.lost else found.values


def value_as(text: str, kind: pa.DataType) -> Any:
    """Convert a value to a column type; None for a value that means nothing.

    Raises:
        ValueError: the value is not of the type.
    """
    wanted = type_of(kind)
    if is_no_value(text) if wanted != "text" else not text:
        return None
    value: Any = text
    if wanted == "number":
        value = read_number(text)
        if value is not None and pa.types.is_integer(kind):
            value = int(value) if value == int(value) and -_WHOLE <= value < _WHOLE else None
    elif wanted == "boolean":
        value = {"1": True, "0": False}.get(text.strip(), read_boolean(text))
    elif wanted == "date":
        value = _date_for(text, kind)
    if value is None:
        raise ValueError(text)
    return value


def _date_for(text: str, kind: pa.DataType) -> date | None:
    moment = _date_in(text, None)
    if moment is None or not pa.types.is_timestamp(kind):
        return None if isinstance(moment, datetime) else moment
    return _moment(moment, aware=kind.tz is not None)


def _moment(value: date, *, aware: bool) -> datetime:
    """A date's midnight, or a moment, in UTC: so is one that does not say where it was."""
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    in_utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return in_utc if aware else in_utc.replace(tzinfo=None)


def _known(values: Sequence[str]) -> Counter[str]:
    """How often each value stands there, without marks for nothing."""
    return Counter({text: count for text, count in Counter(values).items() if not is_no_value(text)})


def _amounts(known: Counter[str]) -> dict[str, Amount]:
    return {text: amount for text in known if (amount := read_amount(text)) is not None}


def _are_most(some: Iterable[str], known: Counter[str]) -> bool:
    """Whether `some` of the values stand in two thirds of the cells."""
    return 3 * sum(known[text] for text in some) >= 2 * known.total()


def _votes(amounts: Mapping[str, Amount], known: Counter[str]) -> Counter[Decimal]:
    """How many values are numbers with one sign before the decimals only."""
    votes = Counter[Decimal]()
    for text, amount in amounts.items():
        if amount.comma is None:
            votes["."] += known[text]
        elif amount.point is None:
            votes[","] += known[text]
    return votes


def _why_no_numbers(known: Counter[str], amounts: Mapping[str, Amount]) -> str:
    """What would be lost if a column of numbers were one; empty where nothing would."""
    if codes := [text for text in known if is_code(text)]:
        why = "begins with a zero" if codes[0].strip().startswith("0") else "has more digits than a number keeps"
        return f"{_example(codes)} {why}"
    signs = {amount.by_point: text for text, amount in amounts.items() if amount.ambiguous}
    votes = _votes(amounts, known)
    if len(signs) == 2 and votes["."] == votes[","]:
        return f"nothing tells which of {signs[True].strip()!r} and {signs[False].strip()!r} has decimals"
    units = {amount.unit for amount in amounts.values()} - {""}
    return f"its numbers are of different units, {', '.join(sorted(units))}" if len(units) > 1 else ""


def _all_booleans(known: Counter[str]) -> bool:
    """Whether all are yes or no; a column of `no` alone may as well be one of countries."""
    said = {read_boolean(text) for text in known}
    return None not in said and (len(said) == 2 or {text.strip().casefold() for text in known} <= {"true", "false"})


def _order(texts: Counter[str]) -> DateOrder | None:
    """Whether the day or the month comes first; None if it is unknown and makes a difference."""
    votes = Counter[DateOrder]()
    for text, count in texts.items():
        orders = date_orders(text)
        if len(orders) == 1:
            votes[next(iter(orders))] += count
    if votes["dmy"] == votes["mdy"]:
        return None if votes["dmy"] or any(is_ambiguous_date(text) for text in texts) else "dmy"
    return "dmy" if votes["dmy"] > votes["mdy"] else "mdy"


def _date_in(text: str, order: DateOrder | None) -> date | None:
    """A date in this order; where there is none, only one that is the same in either."""
    if order is None:
        return None if is_ambiguous_date(text) else read_date(text, "dmy") or read_date(text, "mdy")
    return read_date(text, order)


def _example(texts: Iterable[str]) -> str:
    return repr(truncate(next(iter(texts)).strip(), _SHOWN))


def _array(values: Sequence[Any]) -> pa.Array:
    """Numbers, booleans, dates or moments, as narrow as they fit; moments in UTC where one says where it was."""
    known = [value for value in values if value is not None]
    if not known or isinstance(known[0], bool):
        return pa.array(values, pa.bool_() if known else pa.string())
    if not isinstance(known[0], date):
        whole = all(isinstance(value, int) and -_WHOLE <= value < _WHOLE for value in known)
        return pa.array(values, pa.int64() if whole else pa.float64())
    moments = [value for value in known if isinstance(value, datetime)]
    if not moments:
        return pa.array(values, pa.date32())
    aware = any(moment.tzinfo for moment in moments)
    stored = [None if value is None else _moment(value, aware=aware) for value in values]
    return pa.array(stored, pa.timestamp("us", "UTC" if aware else None))
