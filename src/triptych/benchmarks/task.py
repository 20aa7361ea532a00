"""What a benchmark is: pictures, queries, which pictures answer them, and what is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.benchmarks.settings import ProtocolSettings

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels; a crop is cut to the picture and padded to a black square."""


@dataclass(frozen=True)
class Query:
    """A reference picture and a modification text, and the gallery pictures that answer them.

    Pictures are named as the task names them. The ranking is over the gallery, or over `candidates` where there
    is such a closed list, without the pictures in `exclude`. `change` says what changes to what, as words
    ("colour" -> "navy blue"): only for the text-intermediary baseline, which is given it.
    """

    id: str
    reference: str
    modification: str
    targets: frozenset[str]
    candidates: tuple[str, ...] | None = None
    exclude: frozenset[str] = frozenset()
    change: Mapping[str, str] | None = None
    other_wordings: tuple[str, ...] = ()
    """Further texts that say the same: the query's vector is the mean over all of its wordings."""
    target: str | None = None
    """Of several targets the one that the text was written for."""
    group: tuple[str, ...] = ()
    """The small set of look-alikes that R_subset ranks (CIRR)."""
    aspects: tuple[str, ...] = ()
    """What kind of change is asked for (CIRCO's semantic aspects)."""
    more_references: tuple[str, ...] = ()
    """Further reference pictures. The reference vector is the mean over all of them (PinPoint)."""
    negatives: frozenset[str] = frozenset()
    """Gallery pictures that were judged to be wrong, though they look right (PinPoint)."""
    listed: tuple[int, int] | None = None
    """The lengths of the authors' lists of targets and of negatives, if their metrics divide by these."""
    family: str = ""
    """The group of queries that ask the same in other words (PinPoint), or about the same object (i-CIR)."""

    @property
    def references(self) -> tuple[str, ...]:
        """All reference pictures."""
        return (self.reference, *self.more_references)


@dataclass(frozen=True)
class MetricCutoffs:
    """The cut-offs k of the metrics that a task reports.

    `recall` is of any target, or of `Query.target` if `single`. `precision` is mAP@k over all targets. `subset` is
    recall among `Query.group`. `aspects` is mAP@k for each of `Query.aspects`. `share` is P@k, the share of targets
    among the first k. `found` is the share of the targets that are among the first k. `negatives` is the share of
    `Query.negatives` among the first k, and mAP@k without them. `whole` is average precision over the whole ranking by
    the trapezoidal rule, and its mean over families. `spread` is the difference of P@k within a family.
    """

    recall: tuple[int, ...] = (1, 5, 10, 50)
    precision: tuple[int, ...] = (10,)
    subset: tuple[int, ...] = ()
    aspects: int | None = None
    single: bool = False
    share: tuple[int, ...] = ()
    found: tuple[int, ...] = ()
    negatives: tuple[int, ...] = ()
    whole: bool = False
    spread: int | None = None


@dataclass(frozen=True)
class Task:
    """Queries over one gallery.

    `gallery` is sorted; every target, candidate and group member is in it, while a reference or an excluded
    picture need not be. A picture's name is its path relative to `root`, unless `files` gives another; `boxes`
    names those that are a part of their file. `notes` are JSON-ready facts about how the task was made, for the
    report. Queries without targets are of a split whose answers only the authors' server knows.
    """

    benchmark: str
    name: str
    split: str
    root: Path
    gallery: tuple[str, ...]
    queries: tuple[Query, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    boxes: Mapping[str, Box] = field(default_factory=dict)
    settings: ProtocolSettings | None = None
    """What was chosen of an official benchmark's protocol; None where there is nothing to choose."""
    measures: MetricCutoffs = MetricCutoffs()
    source: str = ""
    """Where the pictures come from, as a message ends with it."""

    @property
    def reference_answers(self) -> bool:
        """Whether a query's own reference is ranked, and may take a place."""
        return self.settings is not None and self.settings.reference_answers

    @property
    def padding(self) -> float | None:
        """The ratio of sides that longer pictures are padded to before the encoder sees them; None for none."""
        return None if self.settings is None else self.settings.padding

    @property
    def protocol(self) -> dict[str, str]:
        """The named settings, as every result row states them; empty where there are none."""
        return {} if self.settings is None else self.settings.protocol()

    @property
    def public(self) -> bool:
        """Whether the targets are known."""
        return any(query.targets for query in self.queries)

    @property
    def names(self) -> list[str]:
        """Every picture that is needed, sorted."""
        return sorted({*self.gallery, *(name for query in self.queries for name in query.references)})

    def file(self, name: str) -> Path:
        """The file that holds a picture."""
        return self.root / self.files.get(name, name)


Truth = Mapping[str, dict[str, str]]
"""Picture to attribute to word, as the agent's vocabulary has it."""
