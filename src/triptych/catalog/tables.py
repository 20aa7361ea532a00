"""Read a CSV about pictures: its encoding and separator are recognised, its faulty rows counted."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from triptych.catalog.columns import TypeReader
from triptych.catalog.options import GivenType
from triptych.core.errors import DataError, UsageError
from triptych.core.progress import say

_MARKS = (  # the longer ones first: that of UTF-32 begins as that of UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SEPARATORS = (",", ";", "\t")
_SAMPLE = 30  # records that are read to find the separator
_LONGEST = 1 << 28  # characters of a field
# No western word has four accented letters in a row, so such letters belong to another alphabet.
_FOREIGN = re.compile("[¡-ÿ]*[À-ÖØ-öø-ÿ]{2}[¡-ÿ]*")


@dataclass(frozen=True)
class CsvTable:
    """The valid rows of a CSV."""

    path: Path
    columns: pa.Table
    """Every column, in order; the column of keys is text."""
    key: int
    """Which column names the pictures."""
    chosen: bool
    """Whether the user named that column."""
    lines: list[int]
    """The line of each row."""
    counts: Counter[str]
    """Rows that were read, and those that were left out, by kind."""

    @cached_property
    def keys(self) -> list[str]:
        """The names by which the rows refer to pictures."""
        return [str(key) for key in self.columns.column(self.key).to_pylist()]


def read_table(path: Path, name_column: str | None = None, types: Mapping[str, GivenType] | None = None) -> CsvTable:
    """Read a CSV in UTF-8, UTF-16 or Windows-1252, separated by commas, semicolons or tabs.

    A row with more or fewer fields than the header is left out and counted, and the first of each kind is reported.
    Each column gets a type: number, date, boolean or text. A value that does not fit becomes null, and is counted and
    reported.

    Args:
        path: the file.
        name_column: the column that names the pictures; by default the first.
        types: the given types of columns.

    Raises:
        UsageError: there is no such column, or a type is given for the column that names the pictures.
        DataError: the file is no CSV, cannot be decoded, or two of its columns have one name.
    """
    text, skipped = _without_hint(_decoded(path))
    separator = _separator(text)
    records = _records(path, text, separator, skipped)
    _, header = next(records, (0, []))
    if not any(header):
        raise DataError(f"{path}: not a readable CSV (it is empty, or its first line names no column)")
    rows, lines, counts = _sound_rows(path, records, len(header))
    width = len(header)
    while width > 1 and not header[width - 1] and not any(row[width - 1] for row in rows):
        width -= 1  # what a comma at the end of every line makes
    header, rows = _named(path, header[:width]), [row[:width] for row in rows]
    if name_column is not None and name_column not in header:
        raise UsageError(f"--name-column {name_column}: {path} has no such column; it has {', '.join(header)}")
    key = header.index(name_column) if name_column is not None else 0
    types = types or {}
    if wrong := [name for name in types if name not in header or name == header[key]]:
        there = ", ".join(name for name in header if name != header[key]) or "none"
        raise UsageError(f"--column-type {wrong[0]}: {path} has no such column of values; it has {there}")
    columns = dict(zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True))
    typed, lost = _typed(path, columns, header[key], types, separator)
    counts["values of another type than their column's"] = lost
    return CsvTable(path, typed, key, name_column is not None, lines, counts)


def _decoded(path: Path) -> str:
    """The text of a file.

    Raises:
        DataError: no encoding fits; the message names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: not a readable CSV ({error.strerror})") from None
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _unmarked(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8" and (western := _western(data)) is not None:
            say(f"{path}: not UTF-8, read as Windows-1252")
            return western
        line = data[: error.start].decode(encoding, "ignore").count("\n") + 1
        known = "UTF-8 or Windows-1252" if encoding == "utf-8" else encoding.removesuffix("-sig").upper()
        raise DataError(f"{path}: not a readable CSV (line {line} is not {known}); save it as UTF-8") from None


def _unmarked(data: bytes) -> str:
    """UTF-16 if every other byte is zero, else UTF-8."""
    start = data[:4096]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) * 4 > len(start) > 1:
        return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8"


def _western(data: bytes) -> str | None:
    """The text of a file in Windows-1252; None if it is more likely damaged UTF-8, or of another alphabet."""
    lenient = data.decode("utf-8", "surrogateescape")
    broken = sum("\udc80" <= character <= "\udcff" for character in lenient)
    whole = sum(character > "\x7f" for character in lenient) - broken
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    foreign = any(len(found.group()) >= 4 for found in _FOREIGN.finditer(text))
    return None if whole > broken or foreign else text


def _without_hint(text: str) -> tuple[str, int]:
    """The text without Excel's first line `sep=;`, and how many lines were removed."""
    hint = re.match(r'"?sep=[,;\t]"?\r?\n', text, re.IGNORECASE)
    return (text[hint.end() :], 1) if hint else (text, 0)


def _separator(text: str) -> str:
    """The separator by which the first records have as many fields as the header, and the most of them."""

    def fitness(separator: str) -> tuple[float, int]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            records = [record for _, record in zip(range(_SAMPLE), reader, strict=False) if record]
        except csv.Error:
            return 0.0, 0
        width = len(records[0]) if records else 0
        even = sum(len(record) == width for record in records[1:]) + 1
        return (even / len(records) if width > 1 else 0.0), width

    header = fitness(",")
    if header[1] > 1 and not any(fitness(other)[1] > 1 for other in _SEPARATORS[1:]):
        return ","
    return max(_SEPARATORS, key=fitness)


def _records(path: Path, text: str, separator: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, with the number of its first line.

    Raises:
        DataError: quotes are not closed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1 + skipped
    try:
        for record in reader:
            if any(field.strip() for field in record):
                yield line, record
            line = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise DataError(f"{path}: not a readable CSV (the row of line {line}: {error}); check its quotes") from None


def _sound_rows(
    path: Path, records: Iterator[tuple[int, list[str]]], width: int
) -> tuple[list[list[str]], list[int], Counter[str]]:
    """The rows that have `width` fields, their lines, and how many rows there are of each kind."""
    rows, lines, counts = [], [], Counter[str]()
    first: dict[str, str] = {}
    for line, record in records:
        counts["rows"] += 1
        if len(record) > width and not any(record[width:]):
            record = record[:width]
        if len(record) == width:
            rows.append(record)
            lines.append(line)
            continue
        kind = "rows with too many fields" if len(record) > width else "rows with too few fields"
        counts[kind] += 1
        first.setdefault(kind, f"line {line} has {len(record)} where the header has {width}")
    for kind, example in first.items():
        say(f"{path}: left out {counts[kind]} {kind}: {example}; a value that holds a separator needs quotes")
    return rows, lines, counts


def _named(path: Path, header: list[str]) -> list[str]:
    """The header, with names for columns but the first that have none.

    Raises:
        DataError: a name is there twice.
    """
    if twice := [name for name, count in Counter(header).items() if name and count > 1]:
        raise DataError(f"{path}: two columns are called {twice[0]!r}; rename one")
    named = [name or (f"column_{place}" if place > 1 else "") for place, name in enumerate(header, start=1)]
    for place, name in enumerate(header[1:], start=2):
        if not name:
            say(f"{path}: column {place} has no name; it is called column_{place}")
    if twice := [name for name, count in Counter(named).items() if count > 1]:
        raise DataError(f"{path}: two columns are called {twice[0]!r}; rename one")
    return named


def _typed(
    path: Path, columns: Mapping[str, Sequence[str]], key: str, types: Mapping[str, GivenType], separator: str
) -> tuple[pa.Table, int]:
    """The typed columns, and how many values were lost by that.

    The column of keys is text, so that 00123 does not become 123.
    """
    reader = TypeReader({name: values for name, values in columns.items() if name != key}, separator)
    typed, lost = {}, 0
    for name, values in columns.items():
        if name == key:
            typed[name] = pa.array(values, pa.string())
            continue
        found = reader.read(name, types.get(name))
        for note in found.notes:
            say(f"{path}: column {name!r}: {note}")
        typed[name] = found.values
        lost += found.lost
    return pa.table(typed), lost
