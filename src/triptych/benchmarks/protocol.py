"""What a benchmark is: pictures, queries, and which pictures answer them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Query:
    """A reference picture and a modification text, and the gallery pictures that answer them.

    Pictures are named relative to the task's `root`. The ranking is over the gallery, or over `candidates`
    where there is such a closed list, without the pictures in `exclude`. `change` says what changes to what,
    as words ("colour" -> "navy blue"): only for the text-intermediary baseline that is told it.
    """

    id: str
    reference: str
    modification: str
    targets: frozenset[str]
    candidates: tuple[str, ...] | None = None
    exclude: frozenset[str] = frozenset()
    change: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Task:
    """Queries over one gallery.

    `gallery` is sorted; every target and candidate is in it, while a reference or an excluded picture need
    not be. `notes` are JSON-ready facts about how the task was made, for the report.
    """

    benchmark: str
    name: str
    split: str
    root: Path
    gallery: tuple[str, ...]
    queries: tuple[Query, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)
