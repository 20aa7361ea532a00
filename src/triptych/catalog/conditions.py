"""`--where`: a condition over metadata columns is read into a tree of typed comparisons. This is the only parser of it.

    condition   = conjunction { "or" conjunction }
    conjunction = unit { "and" unit }
    unit        = "(" condition ")" | COLUMN SIGN VALUE | COLUMN [ "not" ] "in" "(" VALUE { "," VALUE } ")"
    SIGN        = "=" | "!=" | "<" | "<=" | ">" | ">="

So `price<=50 and (colour in (red, "navy blue") or brand!=Acme)`. Spaces around column and value do not count, nor does
the case of the words `and`, `or`, `not`, `in`. A column or value between quotes, " or ', is taken as it stands, with
the quote itself written twice. A value needs quotes where it holds ` and `, ` or `, brackets that do not match, or in a
list a comma; a column where its name holds a sign. `""` is no value: `price=""` holds for pictures without a price.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from triptych.catalog.columns import ColumnType, type_of
from triptych.catalog.values import date_orders, is_ambiguous_date, iso_prefix, read_amount, read_boolean, read_number
from triptych.core.errors import UsageError
from triptych.core.text import truncate

LONGEST = 4000
"""The most characters of a condition."""
DEEPEST = 20
"""The most levels of nested brackets."""
MOST = 500
"""The most comparisons in all conditions of a search."""

Sign = Literal["=", "!=", "<", "<=", ">", ">="]
Value = float | bool | str | None

_SIGNS: dict[str, Sign] = {
    "=": "=", "==": "=", "!=": "!=", "<>": "!=", "≠": "!=",
    "<": "<", "<=": "<=", "≤": "<=", ">": ">", ">=": ">=", "≥": ">=",
}  # fmt: skip
_SIGN = r"(?P<sign>!=|<>|<=|>=|==|[=<>≠≤≥])"
_IN = r"(?P<list>(?P<no>not\s+)?in\s*\()"
_RELATION = re.compile(rf"\s*(?:{_SIGN}|(?<![^\s\"']){_IN})", re.IGNORECASE)
_NEXT_RELATION = re.compile(rf"{_SIGN}|(?<=\s){_IN}", re.IGNORECASE)
_WORD = r"(?P<word>and|or)(?=[\s(\"']|$)"
_JOIN = re.compile(rf"\s*{_WORD}", re.IGNORECASE)
_STOP = re.compile(rf"[(),]|(?<=\s){_WORD}", re.IGNORECASE)
_AFTER_VALUE = rf"(?=\s*(?:\)|$)|\s*{_WORD})"
_AFTER_ITEM = r"(?=\s*[,)])"
_AFTER_COLUMN = rf"(?=\s*(?:{_SIGN}|{_IN}))"

_OPEN_BRACKET = "a closing bracket is missing"


@dataclass(frozen=True)
class Comparison:
    """A column compared with values. `=` means any of them, `!=` none of them; other signs have one value.

    Numbers and booleans are themselves, words are in lower case, and dates are the beginning of `iso_of`, so that
    2024-03 is any day of that March. None is the value of a picture about which nothing is known.
    """

    column: str
    type: ColumnType
    sign: Sign
    wanted: tuple[Value, ...]


@dataclass(frozen=True)
class Both:
    """All of the parts hold."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True)
class Either:
    """At least one of the parts holds."""

    parts: tuple["Condition", ...]


Condition = Comparison | Both | Either


def read_conditions(schema: pa.Schema, conditions: Sequence[str]) -> Both:
    """Read conditions over the columns of `schema`, all of which must hold.

    Raises:
        UsageError: a condition cannot be read, is too long or too deep, names an unknown column, or compares values
            that cannot be compared.
    """
    types = {field.name: type_of(field.type) for field in schema}
    read = tuple(_Reader(types, condition).read() for condition in conditions)
    if (count := sum(map(_comparisons, read))) > MOST:
        raise UsageError(
            f"--where: {count} comparisons; at most {MOST} are made, and `in (…)` compares with many values"
        )
    return Both(read)


def _comparisons(condition: Condition) -> int:
    return 1 if isinstance(condition, Comparison) else sum(map(_comparisons, condition.parts))


class _Reader:
    """Reads one condition from its start."""

    def __init__(self, types: dict[str, ColumnType], text: str) -> None:
        self._types = types
        self._text = text
        self._place = 0
        # Column names are matched literally, the longest first, even if they contain words of the language or brackets.
        self._plain = sorted(
            (name for name in types if name and not _NEXT_RELATION.search(name)), key=len, reverse=True
        )

    def read(self) -> Condition:
        """Read the whole condition."""
        if len(self._text) > LONGEST:
            raise UsageError(f"--where: a condition of {len(self._text)} characters; at most {LONGEST} are read")
        if "\0" in self._text:
            raise self._error("it contains a zero byte")
        if any("\ud800" <= character <= "\udfff" for character in self._text):
            raise UsageError("--where: a condition contains half of a surrogate pair; it is no valid text")
        condition = self._any(0)
        if self._text[self._place :].strip():
            raise self._error(
                f"`and`, `or` or the end is expected instead of {self._rest()!r}; "
                "put a value of several words in quotes"
            )
        return condition

    def _any(self, depth: int) -> Condition:
        parts = [self._all(depth)]
        while self._joined("or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _all(self, depth: int) -> Condition:
        parts = [self._unit(depth)]
        while self._joined("and"):
            parts.append(self._unit(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _joined(self, word: str) -> bool:
        found = _JOIN.match(self._text, self._place)
        if found is None or found["word"].lower() != word:
            return False
        self._place = found.end()
        return True

    def _unit(self, depth: int) -> Condition:
        self._skip_spaces()
        column = next((name for name in self._plain if self._stands(name)), None)
        if column is not None:
            self._place += len(column)
            return self._comparison(column)
        if self._text.startswith("(", self._place):
            if depth == DEEPEST:
                raise self._error(f"brackets are nested deeper than {DEEPEST}")
            self._place += 1
            condition = self._any(depth + 1)
            self._close()
            return condition
        column = self._quoted(_AFTER_COLUMN)
        if column is None:
            found = _NEXT_RELATION.search(self._text, self._place)
            column = self._text[self._place : found.start()].strip() if found else ""
            if found is None or not column:
                near = f" instead of {self._rest()!r}" if self._place and self._rest() else ""
                raise self._error(
                    f"write COLUMN=VALUE, or with != < <= > >=, or COLUMN in (VALUE, VALUE){near}; "
                    "put a value that contains `and` or `or` in quotes"
                )
            self._place = found.start()
        if column not in self._types:
            raise self._error(f"there is no column {truncate(column, 80)!r}; there are {', '.join(self._types)}")
        return self._comparison(column)

    def _stands(self, name: str) -> bool:
        return self._text.startswith(name, self._place) and bool(_RELATION.match(self._text, self._place + len(name)))

    def _comparison(self, column: str) -> Comparison:
        found = _RELATION.match(self._text, self._place)
        assert found is not None
        self._place = found.end()
        if found["list"]:
            sign: Sign = "!=" if found["no"] else "="
            values = self._list()
        else:
            sign = _SIGNS[found["sign"]]
            values = [self._value(_AFTER_VALUE)]
        return Comparison(
            column, self._types[column], sign, tuple(self._typed(column, sign, *value) for value in values)
        )

    def _list(self) -> list[tuple[str, bool]]:
        values = [self._value(_AFTER_ITEM)]
        while self._text.startswith(",", self._place):
            self._place += 1
            values.append(self._value(_AFTER_ITEM))
        self._close()
        return values

    def _close(self) -> None:
        self._skip_spaces()
        if not self._text.startswith(")", self._place):
            raise self._error(f"`)` is expected instead of {self._rest()!r}" if self._rest() else _OPEN_BRACKET)
        self._place += 1

    def _value(self, after: str) -> tuple[str, bool]:
        """Read a value, which ends where the pattern `after` matches. Returns it, and whether it was in quotes."""
        self._skip_spaces()
        quoted = self._quoted(after)
        if quoted is not None:
            self._skip_spaces()
            return quoted, True
        if self._text.startswith('"', self._place):
            raise self._error(f"a closing quote is missing, or something follows it: {self._rest()!r}")
        start, self._place = self._place, self._end_of_bare(in_list=after == _AFTER_ITEM)
        value = self._text[start : self._place].strip()
        if not value:
            raise self._error('a value is missing; write "" for pictures without a value')
        return value, False

    def _end_of_bare(self, *, in_list: bool) -> int:
        depth = 0
        for found in _STOP.finditer(self._text, self._place):
            sign = found.group()
            if sign == "(":
                depth += 1
            elif depth:
                depth -= sign == ")"
            elif sign != "," or in_list:
                return found.start()
        if depth:
            raise self._error(f"{_OPEN_BRACKET}; put a value that contains one in quotes")
        return len(self._text)

    def _quoted(self, after: str) -> str | None:
        """Read a text in quotes, which ends where the pattern `after` matches; None if there is none."""
        quote = self._text[self._place : self._place + 1]
        if quote not in {'"', "'"}:
            return None
        # The second form, in which quotes within are not doubled, is what earlier versions read.
        for form in (rf"{quote}((?:[^{quote}]|{quote}{quote})*){quote}", rf"{quote}(.*?){quote}"):
            found = re.compile(form + after, re.DOTALL | re.IGNORECASE).match(self._text, self._place)
            if found:
                self._place = found.end()
                return found[1].replace(2 * quote, quote) if "?:[" in form else found[1]
        return None

    def _typed(self, column: str, sign: Sign, text: str, quoted: bool) -> Value:
        """A value in the column's type.

        Raises:
            UsageError: it is not of the column's type, or cannot be ordered.
        """
        kind, ordered, shown = self._types[column], sign not in {"=", "!="}, truncate(text, 80)
        value: Value = None
        if quoted and not text:
            if ordered:
                raise self._error(f"column {column!r}: a missing value cannot be ordered; use = or !=")
            return None
        if kind == "text":
            if ordered and not quoted and (read_amount(text) or date_orders(text)):
                raise self._error(
                    f"column {column!r} contains text, which cannot be compared with {shown}; put it in "
                    "quotes to compare it as text, or store numbers by "
                    f"`index --metadata … --column-type {column}=number` (or date)"
                )
            return text.casefold()
        if kind == "number":
            value, lacking = read_number(text), f"column {column!r} contains numbers; {shown!r} is not a number"
        elif kind == "boolean":
            value = {"1": True, "0": False}.get(text.strip(), read_boolean(text))
            lacking = f"column {column!r} contains yes or no; {shown!r} is neither"
            if ordered:
                raise self._error(f"column {column!r} contains yes or no, which cannot be ordered; use = or !=")
        else:
            value, lacking = iso_prefix(text), f"column {column!r} contains dates; {shown!r} is not a date"
            if value is None and is_ambiguous_date(text):
                lacking = f"{shown!r} is ambiguous: the day or the month may come first"
            lacking += "; write 2024-03-01, or 2024 for a whole year"
        if value is None:
            raise self._error(lacking)
        return value

    def _skip_spaces(self) -> None:
        while self._text[self._place : self._place + 1].isspace():
            self._place += 1

    def _rest(self) -> str:
        return truncate(self._text[self._place :], 40)

    def _error(self, why: str) -> UsageError:
        return UsageError(f"--where {truncate(self._text, 200)!r}: {why}")
