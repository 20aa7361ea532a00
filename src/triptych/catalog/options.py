"""Choices of `index` and `reencode`."""

from dataclasses import dataclass

from triptych.core.errors import UsageError
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.core.options import check_ranges, option


@dataclass(frozen=True)
class IndexOptions:
    """Which pictures are taken, and what may be given up."""

    exclude: tuple[str, ...] = option(
        (), "Leave out files and folders of this name or path below the root; repeatable.", metavar="GLOB"
    )
    max_pixels: float = option(
        DEFAULT_LIMITS.max_pixels / 1e6, "Largest picture, in millions of pixels.", min=0.01, max=10_000
    )
    prune: bool = option(
        False, "Give up the pictures that are not there any more, however many, and their vectors with them."
    )
    name_column: str | None = option(
        None, "The column of --metadata that names the picture; by default the first.", metavar="COLUMN"
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if not all(pattern.strip("/") for pattern in self.exclude):
            raise UsageError("--exclude: give one or more patterns, such as '*.gif' or 'private/*'")

    @property
    def limits(self) -> Limits:
        """What a picture may be."""
        return Limits(max_pixels=int(self.max_pixels * 1e6))


@dataclass(frozen=True)
class ReencodeOptions:
    """What `reencode` may give up."""

    prune: bool = option(False, "Go on although more than a fifth of the pictures cannot be encoded any more.")
