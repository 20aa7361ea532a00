"""Options of `index` and `reencode`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from triptych.core.errors import UsageError
from triptych.core.limits import Limits, max_pixels_option
from triptych.core.options import check_ranges, option

GivenType = Literal["number", "date", "dmy", "mdy", "boolean", "text"]
"""The types that a person may give a column; `dmy` and `mdy` are dates with the day or the month first."""


@dataclass(frozen=True)
class IndexOptions:
    """Which pictures `index` takes, and what it may give up.

    Raises:
        UsageError: a value is out of its range.
    """

    exclude: tuple[str, ...] = option(
        (), "Leave out files and folders of this name or path below the root; repeatable.", metavar="GLOB"
    )
    max_pixels: float = max_pixels_option()
    prune: bool = option(False, "Give up missing pictures, however many, and their vectors.")
    name_column: str | None = option(
        None, "The column of --metadata that names the picture; by default the first.", metavar="COLUMN"
    )
    column_types: tuple[str, ...] = option(
        (),
        "Type of a --metadata column, if its values do not show it: number, date, dmy, mdy (day or month first), "
        "boolean or text. May be repeated.",
        flag="--column-type",
        metavar="COLUMN=TYPE",
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        _ = self.types
        if not all(pattern.strip("/") for pattern in self.exclude):
            raise UsageError("--exclude: give one or more patterns, such as '*.gif' or 'private/*'")

    @property
    def limits(self) -> Limits:
        """What a picture may cost."""
        return Limits.of_millions(self.max_pixels)

    @property
    def types(self) -> dict[str, GivenType]:
        """The given type of each column.

        Raises:
            UsageError: an entry of `column_types` is not COLUMN=TYPE, or the type is unknown.
        """
        return _types(self.column_types)


def _types(given: Sequence[str]) -> dict[str, GivenType]:
    types: dict[str, GivenType] = {}
    for word in given:
        column, sign, kind = word.rpartition("=")
        if not sign or not column or kind not in get_args(GivenType):
            raise UsageError(f"--column-type {word!r}: write COLUMN=TYPE; types are {', '.join(get_args(GivenType))}")
        if column in types:
            raise UsageError(f"--column-type: column {column!r} is given twice")
        types[column] = kind  # type: ignore[assignment]
    return types


@dataclass(frozen=True)
class UpdateOptions:
    """How a table of metadata is read."""

    name_column: str | None = option(None, "The column that names the picture; by default the first.", metavar="COLUMN")
    column_types: tuple[str, ...] = option(
        (),
        "What a column holds, where its values do not tell: number, date, dmy, mdy (day or month first), boolean or "
        "text. May be repeated.",
        flag="--column-type",
        metavar="COLUMN=TYPE",
    )

    def __post_init__(self) -> None:
        _ = self.types

    @property
    def types(self) -> dict[str, GivenType]:
        """`column_types` by column.

        Raises:
            UsageError: a type is unknown.
        """
        return _types(self.column_types)


@dataclass(frozen=True)
class ReencodeOptions:
    """What `reencode` may give up."""

    prune: bool = option(False, "Go on even if more than a fifth of the pictures can no longer be encoded.")
