"""The description of a benchmark: how its tasks are loaded, and what else is known about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.benchmarks.settings import ProtocolSettings
from triptych.benchmarks.submissions import SubmissionFormat
from triptych.benchmarks.task import Task, Truth

Load = Callable[[Path, str, Any], Sequence[Task]]
"""`load(root, split, settings)`: loads the tasks of a split from the folder that the benchmark's authors distribute."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, as a module of `benchmarks/datasets` or another package defines it."""

    name: str
    """Its name on the command line and in its tasks."""
    load: Load
    """Loads the tasks of a split. Pictures may still be missing. Raises DataError if
    annotation files are missing or wrong."""
    splits: tuple[str, ...]
    tune_split: Mapping[str, str] = field(default_factory=dict)
    """For a split, the split on which weights and prompts are selected. For splits
    without an entry they are given, or the default."""
    settings: type[ProtocolSettings] | None = None
    """The choices within its protocol; None if there are none."""
    averaged: bool = False
    """Whether published tables have the mean over its tasks."""
    vocabulary: Path | None = None
    """The words of its attributes; None for the default vocabulary."""
    truth: Callable[[Path], Truth] | None = None
    """Reads the true attributes of each picture from its folder; None if they are not known."""
    attributes: tuple[str, ...] = ()
    """The attributes that make an answer right or wrong, if the truth is known."""
    submission: SubmissionFormat | None = None
    """The files that its server scores; None if there is no server."""
    load_for_scoring: Load | None = None
    """Like `load`, for `score`, which needs no list of pictures; None if `load` is used for that."""
    prepare: Callable[[Path, Path], Mapping[str, int]] | None = None
    """`prepare(root, out)`: writes its splits for training and returns their sizes; None if there are none."""
