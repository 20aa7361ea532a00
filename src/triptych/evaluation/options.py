"""Choices of what measures and compares."""

from dataclasses import dataclass
from pathlib import Path

from triptych.core.limits import Limits, max_pixels_option
from triptych.core.options import check_ranges, option


@dataclass(frozen=True)
class EvaluateOptions:
    """What `evaluate` measures, and how."""

    methods: tuple[str, ...] = option(
        (),
        "picture, text, sum, slerp, caption-edit, caption-edit+picture or all; may be repeated.",
        flag="--method",
    )
    split: str = option("test", "val, test, test1 (cirr), or all (the whole folder).")
    gallery: Path | None = option(None, "Pictures of your own queries.", metavar="DIR")
    weight: float | None = option(None, "Weight of the words; chosen on the val split if not given.", min=0, max=1)
    tune_root: Path | None = option(None, "Folder whose val split weights are chosen on.", metavar="DIR")
    vocabulary: Path | None = option(None, 'JSON: {"colour": ["red", "blue"], …}.', metavar="FILE")
    settings: tuple[str, ...] = option(
        (), "A choice within the protocol (gallery=union); may be repeated.", flag="--setting", metavar="NAME=VALUE"
    )
    submission: Path | None = option(
        None, "Write what the server of cirr (a folder) or circo scores.", metavar="FILE|DIR"
    )
    gap: bool = option(True, "Also measure picture only and words only, and the gap to them.")
    per_query: bool = option(False, "Keep each query's metrics, for compare.")
    max_pixels: float = max_pixels_option()

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def limits(self) -> Limits:
        """What a picture may be."""
        return Limits.of_millions(self.max_pixels)


@dataclass(frozen=True)
class CompareOptions:
    """What `compare` sets beside each other, and how it tests a difference against chance."""

    method: str | None = option(None, "Method of the first file; all if not given.")
    against: str | None = option(None, "Method of the second file; the same if not given.")
    resamples: int = option(10_000, "Random draws for intervals and significance.", min=100)
    seed: int = option(0, "Equal seeds give equal results.", min=0)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class LeakageOptions:
    """What `leakage` takes for the same picture."""

    threshold: float = option(0.95, "Least cosine of pictures that are nearly the same.", above=0, max=1)
    max_pixels: float = max_pixels_option()

    def __post_init__(self) -> None:
        check_ranges(self)
