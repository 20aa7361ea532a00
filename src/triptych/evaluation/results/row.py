"""A row of a result file: one method on one task, in Python and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Shortcuts:
    """The shares of queries that one input alone solves, in percent, and a method's recall on the others."""

    cutoff: int
    """A query counts as solved if a target is among this many first answers."""
    picture_only: float
    """The share solved by the reference picture, but not by the words."""
    text_only: float
    """The share solved by the words, but not by the reference picture."""
    either: float
    """The share that each of them alone solves."""
    neither: float
    """The share that neither solves alone: these queries need both inputs."""
    queries: int
    """How many queries neither solves."""
    recall: float | None = None
    """The method's recall at the cut-off on these; None if there are none."""
    interval: list[float] | None = None
    """The 95 % bootstrap interval of this recall."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How a verifier reordered a method's first answers, and the cost of all its scores, also of earlier runs."""

    model: str
    top: int
    """How many answers of each query the verifier scored."""
    scores: str = "grades"
    """The kind of scores: `grades` (written by the model), or `yes-no` (the probability of yes against no)."""
    weight: float
    """The weight of the scores against the original order."""
    weight_from: str = "given"
    """Where the weight comes from: `val`, `given` or `default`."""
    calls: int
    tokens_in: int
    tokens_out: int
    cost: float
    seconds: float = 0.0
    """How long its scores took, each counted for itself."""
    unusable: int
    """Answers that were scored 0, since there was no usable reply."""
    ungraded_queries: int
    """Queries whose answers are unchanged."""


@dataclass(frozen=True, kw_only=True)
class Compilation:
    """The cost of turning requests into phrases by a chat model."""

    model: str
    calls: int
    tokens_in: int
    tokens_out: int
    cost: float
    plain_queries: int
    """Queries that are used unchanged, since there was no usable reply."""


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """The metrics of a method on a task, in percent, as in a result file (docs/reference/formats.md).

    Fields that were not measured or do not apply are None, and are left out of JSON.
    """

    benchmark: str
    task: str
    """A task of the benchmark, or `mean`: the unweighted mean over its tasks."""
    split: str
    method: str
    encoder: str
    """The name of the encoder, or `submission` for a scored submission file."""
    metrics: Mapping[str, float]
    """The metrics, such as {"R@10": 41.5}, the protocol's main ones first."""
    aspects: Mapping[str, float] | None = None
    """CIRCO's mAP@10 over the queries with each semantic aspect."""
    queries: int
    """The number of queries measured."""
    gallery: int
    """The number of pictures in the gallery."""
    unreadable: int = 0
    """The number of pictures that cannot be read."""
    queries_sha256: str | None = None
    """A digest of the queries: equal for equal queries in the same order."""
    gallery_sha256: str | None = None
    """A digest of the gallery: equal for galleries with the same names."""
    per_query: Mapping[str, list[float]] | None = field(default=None, repr=False)
    """Each query's metrics, from 0 to 1, in the order of the queries."""
    answers: Mapping[str, list[str]] | None = field(default=None, repr=False)
    """The first answers to each query, by query id, best first."""
    lost_queries: int | None = None
    """The number of queries that are left out, since their pictures cannot be read."""
    protocol: Mapping[str, str] | None = None
    """The settings of an official benchmark's protocol."""
    weight: float | None = None
    """The weight of the words, for a weighted method."""
    weight_from: str | None = None
    """Where the weight comes from: `val`, `given` or `default`."""
    prompt: str | None = None
    """The prompt before the words, for a composer with prompts."""
    prompt_from: str | None = None
    """Where the prompt comes from: `val`, `given` or `default`."""
    picture_only: Mapping[str, float] | None = None
    """The metrics of picture only."""
    text_only: Mapping[str, float] | None = None
    """The metrics of words only."""
    gap: Mapping[str, float] | None = None
    """The method's lead over the better of the two, in points."""
    shortcuts: Shortcuts | None = None
    """The shares of queries that one input alone solves, and the method's recall on the others."""
    verification: Verification | None = None
    """How a verifier reordered the first answers."""
    compilation: Compilation | None = None
    """The cost of turning the requests into phrases."""

    @property
    def heading(self) -> str:
        """Benchmark, task and split."""
        return f"{self.benchmark} · {self.task} · {self.split}"

    @property
    def query_set(self) -> tuple[Any, ...]:
        """A key of the queries and the gallery, equal for comparable rows."""
        return self.queries, self.gallery, self.queries_sha256, self.gallery_sha256

    def as_json(self) -> dict[str, Any]:
        """The row as in a result file."""
        return without_none(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Parse a row of a result file. Unknown fields are ignored."""
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
    """A dataclass, with nested ones, as JSON without the fields that are None."""
    return asdict(result, dict_factory=lambda items: {name: value for name, value in items if value is not None})
