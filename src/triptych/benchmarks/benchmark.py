"""The description of a benchmark: how its tasks are loaded, and its protocol."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.benchmarks.settings import ProtocolSettings
from triptych.benchmarks.submissions import SubmissionFormat
from triptych.benchmarks.task import Task, Truth

Load = Callable[[Path, str, Any], Sequence[Task]]
"""`load(root, split, settings)` loads the tasks of a split from the folder that the benchmark's authors distribute."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, as a module of `benchmarks/datasets` or another package defines it."""

    name: str
    """The benchmark's name on the command line and in its tasks."""
    load: Load
    """Loads the tasks of a split, even if pictures are missing. Raises DataError if annotations are missing or
    wrong."""
    splits: tuple[str, ...]
    tune_split: Mapping[str, str] = field(default_factory=dict)
    """Maps a split to the split on which weights and prompts are selected. For other splits, nothing is selected."""
    settings: type[ProtocolSettings] | None = None
    """The settings of its protocol; None if there are none."""
    averaged: bool = False
    """Whether published tables report the mean over its tasks."""
    vocabulary: Path | None = None
    """The vocabulary of its attributes; None for the default vocabulary."""
    truth: Callable[[Path], Truth] | None = None
    """Reads the true attributes of each picture from the benchmark's folder; None if they are unknown."""
    attributes: tuple[str, ...] = ()
    """The attributes that decide whether an answer is right, if the true attributes are known."""
    submission: SubmissionFormat | None = None
    """The submission files that its server scores; None if there is no server."""
    load_for_scoring: Load | None = None
    """Like `load`, but for `score`, which needs no list of pictures; None if `load` can be used."""
    prepare: Callable[[Path, Path], Mapping[str, int]] | None = None
    """`prepare(root, out)`: writes its splits for training and returns their sizes; None if there are none."""
