"""A row of a result file: one method on one task, in Python and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Shortcuts:
    """Which share of the queries one input alone solves, in percent, and a method's recall on the others."""

    cutoff: int
    """A query counts as solved where a target is among so many."""
    picture_only: float
    """Solved by the reference picture, and not by the words."""
    text_only: float
    """Solved by the words, and not by the reference picture."""
    either: float
    """Solved by each of them alone."""
    neither: float
    """Solved by neither: these need both."""
    queries: int
    """How many neither solves."""
    recall: float | None = None
    """The method's recall at the cut-off on these; None where there are none."""
    interval: list[float] | None = None
    """Its 95 % bootstrap interval."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How a verifier put a method's first answers in another order, and what its scores took, whenever they came."""

    model: str
    top: int
    """How many answers of each query it scored."""
    scores: str = "grades"
    """What they are: `grades`, which it wrote, or `yes-no`, how likely yes was against no."""
    weight: float
    """Of its scores, against the order before."""
    weight_from: str = "given"
    """Where the weight comes from: `val`, `given` or `default`."""
    calls: int
    tokens_in: int
    tokens_out: int
    cost: float
    seconds: float = 0.0
    """How long its scores took, each counted for itself."""
    unusable: int
    """Answers that were scored 0, since no usable reply came."""
    ungraded_queries: int
    """Queries that were left as they were."""


@dataclass(frozen=True, kw_only=True)
class Compilation:
    """What it took to turn requests into phrases by a chat model."""

    model: str
    calls: int
    tokens_in: int
    tokens_out: int
    cost: float
    plain_queries: int
    """Queries that were taken as they stand, since no usable reply came."""


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """The metrics of a method on a task, in percent; its fields are those of a result file (docs/reference/formats.md).

    Fields that were not measured, or do not apply, are None and left out of JSON.
    """

    benchmark: str
    task: str
    """A part of the benchmark, or `mean`: the unweighted mean over its parts."""
    split: str
    method: str
    encoder: str
    """The name of the encoder, or `submission` where a file was scored."""
    metrics: Mapping[str, float]
    """Such as {"R@10": 41.5}, the main ones of the protocol first."""
    aspects: Mapping[str, float] | None = None
    """CIRCO's mAP@10 over the queries that ask for a kind of change."""
    queries: int
    """How many were asked."""
    gallery: int
    """How many pictures were ranked."""
    unreadable: int = 0
    """Pictures that cannot be read."""
    queries_sha256: str | None = None
    """Equal where the same was asked."""
    gallery_sha256: str | None = None
    """Equal for galleries of the same names."""
    per_query: Mapping[str, list[float]] | None = field(default=None, repr=False)
    """Each query's metrics, between 0 and 1, in the order of the queries."""
    answers: Mapping[str, list[str]] | None = field(default=None, repr=False)
    """The first answers to each query, by its id, best first."""
    lost_queries: int | None = None
    """Queries that cannot be asked, as their pictures cannot be read."""
    protocol: Mapping[str, str] | None = None
    """What was chosen of an official benchmark's protocol."""
    weight: float | None = None
    """Of the words, for a method that weighs them against the picture."""
    weight_from: str | None = None
    """Where the weight comes from: `val`, `given` or `default`."""
    prompt: str | None = None
    """What stands before the words, for a composer that knows prompts."""
    prompt_from: str | None = None
    """Where the prompt comes from: `val`, `given` or `default`."""
    picture_only: Mapping[str, float] | None = None
    """The metrics of the reference picture alone."""
    text_only: Mapping[str, float] | None = None
    """The metrics of the words alone."""
    gap: Mapping[str, float] | None = None
    """How far the method is ahead of the better of the two, in points."""
    shortcuts: Shortcuts | None = None
    """Which queries one input alone solves, and what the method does on the others."""
    verification: Verification | None = None
    """How a verifier put the first answers in another order."""
    compilation: Compilation | None = None
    """What it took to turn the requests into phrases."""

    @property
    def heading(self) -> str:
        """Benchmark, task and split."""
        return f"{self.benchmark} · {self.task} · {self.split}"

    @property
    def query_set(self) -> tuple[Any, ...]:
        """The queries and the gallery; equal for rows of the same ones."""
        return self.queries, self.gallery, self.queries_sha256, self.gallery_sha256

    def as_json(self) -> dict[str, Any]:
        """The row as in a result file."""
        return without_none(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """A row of a result file. Unknown fields are ignored."""
        known = {item.name: row[item.name] for item in fields(cls) if item.name in row}
        for part, kind in _PARTS.items():
            if isinstance(found := known.get(part), Mapping):
                names = {item.name for item in fields(kind)}
                known[part] = kind(**{name: value for name, value in found.items() if name in names})
        return cls(**known)

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {value:.2f}" for name, value in self.metrics.items())
        return f"{self.heading} · {self.method} ({self.encoder}): {shown}"


_PARTS: Mapping[str, type[Any]] = {
    "shortcuts": Shortcuts,
    "verification": Verification,
    "compilation": Compilation,
}


def without_none(result: Any) -> dict[str, Any]:
    """A dataclass, and those in it, as JSON without fields that are None."""
    return asdict(result, dict_factory=lambda items: {name: value for name, value in items if value is not None})
