"""Read the files that a benchmark's authors distribute, with a one-line message for every fault in them."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from triptych.core.errors import DataError
from triptych.core.progress import say


def read_official(path: Path, source: str) -> Any:
    """Read the JSON of an official file. `source` says where the file comes from, for messages.

    Raises:
        DataError: the file is missing, is not JSON, or has a name twice in an object, which JSON readers ignore.
    """
    if not path.is_file():
        raise DataError(f"{path}: missing; {source}")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for place, name in enumerate(names) if name in names[:place])
            raise DataError(f"{path}: {twice!r} appears twice; remove one of them")
        return content

    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}); get it again: {source}") from None


class Record:
    """An entry of an official file, with its place for messages. Methods raise DataError for missing or wrong
    fields."""

    def __init__(self, where: str, content: Any) -> None:
        if not isinstance(content, dict):
            raise DataError(f"{where}: not an object with named values")
        self.where = where
        self._content: Mapping[str, Any] = content

    def __contains__(self, field: str) -> bool:
        return field in self._content

    def is_none(self, field: str) -> bool:
        """Whether the field exists and is null."""
        return field in self._content and self._content[field] is None

    def text(self, field: str) -> str:
        """A string, which may be empty."""
        value = self._value(field)
        if not isinstance(value, str):
            raise self.error(f'"{field}" must be a string')
        return value

    def number(self, field: str) -> int:
        """A whole number."""
        return self._number(field, self._value(field))

    def flag(self, field: str) -> bool:
        """A boolean field."""
        value = self._value(field)
        if not isinstance(value, bool):
            raise self.error(f'"{field}" must be true or false')
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of strings."""
        values = self.items(field)
        if not all(isinstance(value, str) for value in values):
            raise self.error(f'"{field}" must be a list of strings')
        return tuple(values)

    def numbers(self, field: str) -> tuple[int, ...]:
        """A list of whole numbers."""
        return tuple(self._number(field, value) for value in self.items(field))

    def lengths(self, field: str) -> tuple[float, ...]:
        """A list of numbers."""
        values = self.items(field)
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            raise self.error(f'"{field}" must be a list of numbers')
        return tuple(map(float, values))

    def identifier(self, field: str) -> str:
        """An identifier, a number or a string, as a string."""
        value = self._value(field)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise self.error(f'"{field}" must be a number or a string')
        return str(value)

    def record(self, field: str) -> "Record":
        """A nested object."""
        return Record(f"{self.where}, {field}", self._value(field))

    def records(self, field: str) -> "list[Record]":
        """A list of nested objects."""
        return [
            Record(f"{self.where}, {field} {number}", value) for number, value in enumerate(self.items(field), start=1)
        ]

    def items(self, field: str) -> list[Any]:
        """A list of any values."""
        value = self._value(field)
        if not isinstance(value, list):
            raise self.error(f'"{field}" must be a list')
        return value

    def path(self, field: str, value: str | None = None) -> str:
        """A path below the folder of pictures, normalised."""
        return inner_path(self.where, self.text(field) if value is None else value)

    def error(self, message: str) -> DataError:
        """Make an error about this entry, to be raised."""
        return DataError(f"{self.where}: {message}")

    def _value(self, field: str) -> Any:
        if field not in self._content:
            raise self.error(f'"{field}" is missing')
        return self._content[field]

    def _number(self, field: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f'"{field}" is {value!r}, which is not a whole number')
        return value


def read_records(path: Path, source: str) -> Iterator[Record]:
    """Read the objects of an official JSON file with a list. An empty list is an error."""
    content = read_official(path, source)
    if not isinstance(content, list) or not content:
        raise DataError(f"{path}: not a list of entries; get it again: {source}")
    for number, entry in enumerate(content, start=1):
        yield Record(f"{path}: entry {number}", entry)


def report_refined(where: str, records: Sequence[Record]) -> None:
    """Report the number of refined entries, if they have `is_refined` (Refined CIRR and Refined FashionIQ).

    All entries are measured, refined or not.
    """
    said = [record.flag("is_refined") for record in records if "is_refined" in record]
    if said:
        say(f"{where}: {sum(said)} of {len(records)} queries are refined; all are measured")


def read_lines(path: Path, source: str) -> Iterator[Record]:
    """Read the objects of an official JSON Lines file. Raises the errors of `read_records`."""
    if not path.is_file():
        raise DataError(f"{path}: missing; {source}")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        read = [(number, json.loads(line)) for number, line in enumerate(lines, start=1) if line.strip()]
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON Lines ({error}); get it again: {source}") from None
    if not read:
        raise DataError(f"{path}: it is empty; get it again: {source}")
    for number, entry in read:
        yield Record(f"{path}:{number}", entry)


def read_columns(path: Path, source: str, columns: int) -> Iterator[tuple[str, list[str]]]:
    """Read an official CSV file without a header. Yields the place of each line, for messages, and its values.

    Raises:
        DataError: the file is missing or empty, or a line has another number of values.
    """
    if not path.is_file():
        raise DataError(f"{path}: missing; {source}")
    try:
        with path.open(encoding="utf-8", newline="") as opened:
            lines = [line for line in csv.reader(opened) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: not readable as CSV ({error}); get it again: {source}") from None
    if not lines:
        raise DataError(f"{path}: it is empty; get it again: {source}")
    for number, values in enumerate(lines, start=1):
        if len(values) != columns:
            raise DataError(f"{path}: line {number} has {len(values)} values instead of {columns}")
        yield f"{path}: line {number}", [value.strip() for value in values]


def inner_path(where: str, value: str) -> str:
    """Normalise a relative path to forward slashes without "./". Raises DataError if it leads outside the folder."""
    path = PurePosixPath(value)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise DataError(f"{where}: the path {value!r} leads outside the folder of pictures")
    return str(path)
