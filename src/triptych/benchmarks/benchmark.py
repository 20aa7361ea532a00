"""The description of a benchmark: how its tasks are loaded, and what else is known about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.benchmarks.settings import ProtocolSettings
from triptych.benchmarks.submissions import SubmissionFormat
from triptych.benchmarks.task import Task, Truth

Load = Callable[[Path, str, Any], Sequence[Task]]
"""`load(root, split, settings)`: the tasks of a split, from the folder that the benchmark's authors distribute."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, as a module of `benchmarks/datasets` or another package defines it."""

    name: str
    """What a user calls it, and what its tasks state as their benchmark."""
    load: Load
    """Makes the tasks of a split. Raises DataError for wrong or missing files; pictures need not be there yet."""
    splits: tuple[str, ...]
    tune_split: Mapping[str, str] = field(default_factory=dict)
    """For a split the one that weights and prompts are chosen on; for one that is not here they are given, or the
    default.
    """
    settings: type[ProtocolSettings] | None = None
    """What can be chosen of its protocol; None where nothing can."""
    averaged: bool = False
    """Whether published tables have the mean over its tasks."""
    vocabulary: Path | None = None
    """Its attributes' words; None for the default vocabulary."""
    truth: Callable[[Path], Truth] | None = None
    """Reads from its folder what each picture shows; None where that is not known."""
    attributes: tuple[str, ...] = ()
    """The attributes that make an answer right or wrong, where the truth is known."""
    submission: SubmissionFormat | None = None
    """The files that its server scores; None where there is no server."""
    load_for_scoring: Load | None = None
    """As `load`, for `score`, which needs no list of pictures; None where the tasks are loaded by `load`."""
    prepare: Callable[[Path, Path], Mapping[str, int]] | None = None
    """`prepare(root, out)`: writes its splits for training and returns their sizes; None where there are none."""
