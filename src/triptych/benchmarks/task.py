"""The parts of a benchmark: queries with their targets, the gallery, and the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych.benchmarks.settings import ProtocolSettings

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels. A crop is limited to the picture and padded to a black square."""


@dataclass(frozen=True)
class Query:
    """A reference picture, a modification text, and the gallery pictures that answer them.

    Pictures have the task's names. The ranking is over `candidates` if they are given, else over the gallery, without
    the pictures in `exclude`. `change` maps attributes to new words, such as "colour" to "navy blue"; only the oracle
    baseline of the text intermediary uses it.
    """

    id: str
    reference: str
    modification: str
    targets: frozenset[str]
    candidates: tuple[str, ...] | None = None
    exclude: frozenset[str] = frozenset()
    change: Mapping[str, str] | None = None
    other_wordings: tuple[str, ...] = ()
    """Further wordings of the text. The query's vector is the mean over all wordings."""
    target: str | None = None
    """The one of several targets for which the text was written."""
    group: tuple[str, ...] = ()
    """The small set of similar pictures that R_subset ranks (CIRR)."""
    aspects: tuple[str, ...] = ()
    """The semantic aspects of the change (CIRCO)."""
    more_references: tuple[str, ...] = ()
    """Further reference pictures. The reference vector is the mean over all of them (PinPoint)."""
    negatives: frozenset[str] = frozenset()
    """Gallery pictures that are labelled as wrong, although they look right (PinPoint)."""
    listed: tuple[int, int] | None = None
    """The lengths of the authors' lists of targets and negatives, if the metrics divide by them."""
    family: str = ""
    """The group of queries that are wordings of one request (PinPoint), or about the same object (i-CIR)."""

    @property
    def references(self) -> tuple[str, ...]:
        """All reference pictures."""
        return (self.reference, *self.more_references)


@dataclass(frozen=True)
class MetricCutoffs:
    """The cut-offs k of the metrics that a task reports.

    `recall` is R@k of any target, or of `Query.target` if `single`. `map_at` is mAP@k over all targets. `subset` is R@k
    within `Query.group`. `aspects` is mAP@k for each of `Query.aspects`. `precision_at` is P@k, the share of targets
    among the first k. `target_recall_at` is the share of all targets that are among the first k. `negatives` is the
    share of `Query.negatives` among the first k, and mAP@k without them. `whole` is average precision over the whole
    ranking by the trapezoidal rule, and its mean over families. `spread` is the difference of P@k within a family.
    """

    recall: tuple[int, ...] = (1, 5, 10, 50)
    map_at: tuple[int, ...] = (10,)
    subset: tuple[int, ...] = ()
    aspects: int | None = None
    single: bool = False
    precision_at: tuple[int, ...] = ()
    target_recall_at: tuple[int, ...] = ()
    negatives: tuple[int, ...] = ()
    whole: bool = False
    spread: int | None = None


@dataclass(frozen=True)
class Task:
    """Queries over one gallery.

    `gallery` is sorted. Every target, candidate and group member is in it; references and excluded pictures need not
    be. A picture's name is its path relative to `root`, unless `files` gives another path. `boxes` has the crops of
    pictures that are parts of files. `notes` are facts about the task as JSON values, for the report. Queries have no
    targets if only the authors' server knows them.
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
    """The settings of an official benchmark's protocol; None if there are none."""
    measures: MetricCutoffs = MetricCutoffs()
    source: str = ""
    """Where the pictures come from, for the end of a message."""

    @property
    def reference_answers(self) -> bool:
        """Whether a query's own reference is ranked and may be an answer."""
        return self.settings is not None and self.settings.reference_answers

    @property
    def padding(self) -> float | None:
        """The ratio of sides to which longer pictures are padded before encoding; None for no padding."""
        return None if self.settings is None else self.settings.padding

    @property
    def protocol(self) -> dict[str, str]:
        """The settings for a result row; empty if there are none."""
        return {} if self.settings is None else self.settings.protocol()

    @property
    def public(self) -> bool:
        """Whether the targets are known."""
        return any(query.targets for query in self.queries)

    @property
    def names(self) -> list[str]:
        """All needed pictures, sorted."""
        return sorted({*self.gallery, *(name for query in self.queries for name in query.references)})

    def file(self, name: str) -> Path:
        """The file of a picture."""
        return self.root / self.files.get(name, name)


Truth = Mapping[str, dict[str, str]]
"""Maps a picture to its attributes, and these to words of the vocabulary."""
