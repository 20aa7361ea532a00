"""Options of an ablation."""

from dataclasses import dataclass

from triptych.core.errors import UsageError
from triptych.core.options import check_ranges, option


@dataclass(frozen=True)
class AblateOptions:
    """Which recipes `ablate` runs, and with which seeds. Raises UsageError for values out of range."""

    seeds: tuple[int, ...] = option(
        (0, 1, 2), "Seed of mining and training; may be repeated.", flag="--seed", metavar="SEED"
    )
    only: tuple[str, ...] = option((), "Run only this recipe; may be repeated.", metavar="NAME")

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.seeds or min(self.seeds) < 0:
            raise UsageError("--seed: give at least one seed, 0 or greater")
