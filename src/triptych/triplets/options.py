"""Which triplets are shown. The command line makes its flags from these fields."""

from dataclasses import dataclass
from pathlib import Path

from triptych.core.options import as_paths, check_ranges, option

_ROOT = "Present folder of the catalog's pictures, if they have moved since `index`."
_COUNT, _REFUSED, _SEED = "How many triplets.", "Show refused triplets.", "Seed of everything random."


@dataclass(frozen=True)
class SampleOptions:
    """Which triplets `triplets_sample` draws.

    Raises:
        UsageError: a value is out of its range.
    """

    count: int = option(12, _COUNT, min=1)
    refused: bool = option(False, _REFUSED)
    seed: int = option(0, _SEED, min=0)
    root: Path | None = option(None, _ROOT, metavar="DIR")

    def __post_init__(self) -> None:
        as_paths(self, "root")
        check_ranges(self)


@dataclass(frozen=True)
class ReviewOptions:
    """Which triplets `triplets_review` shows.

    Raises:
        UsageError: a value is out of its range.
    """

    count: int = option(100, _COUNT, min=1)
    refused: bool = option(False, _REFUSED)
    seed: int = option(0, _SEED, min=0)
    root: Path | None = option(None, _ROOT, metavar="DIR")

    def __post_init__(self) -> None:
        as_paths(self, "root")
        check_ranges(self)
