"""Options of the demo."""

from dataclasses import dataclass
from pathlib import Path

from triptych.core.options import as_paths, check_ranges, option

WORLD_NAMES = ("closet", "wardrobe")


@dataclass(frozen=True)
class DemoOptions:
    """Which pictures `demo` uses.

    Raises:
        UsageError: a value is out of its range.
    """

    world: str = option(
        "closet", "The pictures to use: closet (photos) or wardrobe (drawn).", metavar="NAME", choices=WORLD_NAMES
    )
    photos: Path | None = option(None, "Folder of the example photos; by default that of a checkout.", metavar="DIR")
    seed: int = option(0, "Seed of everything random.", min=0)

    def __post_init__(self) -> None:
        as_paths(self, "photos")
        check_ranges(self)
