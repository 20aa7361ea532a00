"""The notations of a search: weights (`A:0.5`), boosts (`in_stock=1.2`) and orders (`price:desc`)."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from triptych.catalog.columns import type_of
from triptych.catalog.conditions import read_conditions
from triptych.catalog.filters import matching
from triptych.core.errors import UsageError
from triptych.core.text import truncate

GREATEST = 100.0
"""The highest weight, and the highest factor of a boost. A limit against slips such as a missing decimal point."""

_WEIGHT = re.compile(r"(?P<what>.+):(?P<weight>\d{0,4}(?:\.\d{1,6})?)", re.DOTALL)
_TEXT_WEIGHT = re.compile(r"(?P<what>.*\S)\s*:(?P<weight>\d{0,4}\.\d{1,6})\s*", re.DOTALL)
_ORDER = re.compile(r"(?P<column>.+):(?P<way>asc|desc)", re.DOTALL | re.IGNORECASE)


def split_weight(given: str, is_known: Callable[[str], bool]) -> tuple[str, float]:
    """Split a picture's name and its weight: `A:0.5` is `A` with weight 0.5, unless a picture is called `A:0.5`.

    Raises:
        UsageError: the weight is 0 or above `GREATEST`.
    """
    found = None if is_known(given) else _WEIGHT.fullmatch(given)
    return (found["what"], _weight(given, found["weight"])) if found and found["weight"] else (given, 1.0)


def split_text_weight(given: str) -> tuple[str, float]:
    """Split a text and its weight: `red:0.5` is "red" with weight 0.5. A number without a decimal point, as in `16:9`,
    belongs to the text.

    Raises:
        UsageError: the weight is 0 or above `GREATEST`.
    """
    found = _TEXT_WEIGHT.fullmatch(given)
    return (found["what"], _weight(given, found["weight"])) if found else (given.strip(), 1.0)


def _weight(given: str, written: str) -> float:
    weight = float(written)
    if not 0 < weight <= GREATEST:
        raise UsageError(f"{truncate(given, 80)!r}: a weight must be above 0 and at most {GREATEST:g}")
    return weight


@dataclass(frozen=True)
class Boost:
    """Raises the scores of pictures that fulfil a condition, or that have a higher number in a column.

    A picture's score is raised by `factor - 1` standard deviations of the scores. So 1 changes nothing, 2 raises by one
    standard deviation, and 0.5 lowers by half of one. In a column of numbers, the highest value gets the full raise,
    the lowest none, and the others a proportional part. A picture without a value is not changed.
    """

    what: str
    """A condition, or the name of a column of numbers or booleans."""
    factor: float

    @classmethod
    def read(cls, given: str, schema: pa.Schema) -> "Boost":
        """Parse `in_stock=1.2`, `rating=1.5`, `colour=red=2` or `price<50=1.2`.

        Raises:
            UsageError: the text cannot be read, or there is no such column.
        """
        what, sign, written = given.rpartition("=")
        what, shown = what.strip(), truncate(given, 80)
        try:
            factor = float(written)
        except ValueError:
            sign = ""
        if not sign or not what:
            raise UsageError(f"--boost {shown!r}: write COLUMN=FACTOR or CONDITION=FACTOR, such as in_stock=1.2")
        if not (math.isfinite(factor) and 0 < factor <= GREATEST):
            raise UsageError(f"--boost {shown!r}: the factor must be above 0 and at most {GREATEST:g}")
        if what not in schema.names:
            try:
                read_conditions(schema, (what,))
            except UsageError as error:
                raise UsageError(f"--boost {shown!r}: {_reason(error)}") from None
        elif type_of(schema.field(what).type) not in {"number", "boolean"}:
            raise UsageError(
                f"--boost {shown!r}: the column has neither numbers nor booleans; "
                f"write a condition, such as {what}=VALUE={written}"
            )
        return cls(what, factor)

    def lifts(self, metadata: pa.Table) -> NDArray[np.float64]:
        """By how many standard deviations each row of `metadata` is raised: shape `(n,)`."""
        share: NDArray[np.float64]
        if self.what not in metadata.column_names:
            share = matching(metadata, (self.what,)).astype(np.float64)
        elif type_of(metadata.schema.field(self.what).type) == "boolean":
            share = np.array([value is True for value in metadata.column(self.what).to_pylist()], np.float64)
        else:
            share = _between(metadata.column(self.what).to_pylist())
        return (self.factor - 1) * share


@dataclass(frozen=True)
class Order:
    """A column by which results are sorted. Pictures without a value come last, in either direction."""

    column: str
    descending: bool = False

    @classmethod
    def read(cls, given: str, schema: pa.Schema) -> "Order":
        """Parse `price`, `price:asc` or `price:desc`.

        Raises:
            UsageError: there is no such column.
        """
        found = None if given in schema.names else _ORDER.fullmatch(given.strip())
        column = found["column"].strip() if found else given.strip()
        if column not in schema.names:
            raise UsageError(
                f"--sort {truncate(given, 80)!r}: there is no such column; there are {', '.join(schema.names)}"
            )
        return cls(column, bool(found) and found["way"].lower() == "desc")  # type: ignore[index]

    def places(self, metadata: pa.Table) -> list[int]:
        """The position of each row of `metadata` in this order. Rows with equal values have equal positions."""
        values = metadata.column(self.column).to_pylist()
        if type_of(metadata.schema.field(self.column).type) == "text":
            values = [value if value is None else str(value).casefold() for value in values]
        known = sorted({value for value in values if _is_known(value)}, reverse=self.descending)
        place_of = {value: place for place, value in enumerate(known)}
        return [place_of[value] if _is_known(value) else len(known) for value in values]


def _is_known(value: object) -> bool:
    return value is not None and value != "" and value == value


def _between(values: list[float | None]) -> NDArray[np.float64]:
    """Each value's position between the lowest (0) and the highest (1); 0 for missing values, or if all are equal."""
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    known = np.isfinite(numbers)
    if not known.any() or (spread := float(np.ptp(numbers[known]))) == 0:
        return np.zeros(len(numbers))
    return np.where(known, (numbers - numbers[known].min()) / spread, 0.0)


def _reason(error: UsageError) -> str:
    """The reason of an error message about a condition, without the condition."""
    return str(error).rpartition(": ")[2]
