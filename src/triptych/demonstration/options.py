"""Choices of the demonstration."""

from dataclasses import dataclass

from triptych.core.options import check_ranges, option


@dataclass(frozen=True)
class DemoOptions:
    """What `demo` starts from."""

    seed: int = option(0, "Seed of everything random.", min=0)

    def __post_init__(self) -> None:
        check_ranges(self)
