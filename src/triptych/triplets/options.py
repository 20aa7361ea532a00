"""Which triplets are looked at. The command line makes its flags from these fields."""

from dataclasses import dataclass

from triptych.core.options import check_ranges, option

_COUNT, _REFUSED, _SEED = "How many triplets.", "The refused ones.", "Seed of everything random."


@dataclass(frozen=True)
class SampleOptions:
    """Which triplets `triplets_sample` draws.

    Raises:
        UsageError: a value is out of its range.
    """

    count: int = option(12, _COUNT, min=1)
    refused: bool = option(False, _REFUSED)
    seed: int = option(0, _SEED, min=0)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class ReviewOptions:
    """Which triplets stand on the page of `triplets_review`.

    Raises:
        UsageError: a value is out of its range.
    """

    count: int = option(100, _COUNT, min=1)
    refused: bool = option(False, _REFUSED)
    seed: int = option(0, _SEED, min=0)

    def __post_init__(self) -> None:
        check_ranges(self)
