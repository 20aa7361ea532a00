"""Shortcuts: the share of queries that one input alone solves, and a method's recall on the other queries.

A query that the reference picture alone or the words alone solve says nothing about composition. Attimonelli et al.
(*Do Composed Image Retrieval Benchmarks Require Multimodal Composition?*, arXiv 2605.14787) found with eleven encoders
that this holds for a third to five sixths of the queries of CIRR, FashionIQ, LaSCo and CIRCO. The shares here are those
of the measured encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from triptych.benchmarks.task import MetricCutoffs
from triptych.composers.baselines import PictureOnly, TextOnly
from triptych.encoders.protocol import Encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.results.row import ResultRow, Shortcuts
from triptych.evaluation.rows import Metrics, composition_gap
from triptych.metrics.measures import Values
from triptych.metrics.resampling import bootstrap_intervals

_CUTOFF = 10
_RESAMPLES = 2000


@dataclass(frozen=True)
class InputsAlone:
    """The metrics of picture only and words only on a task, and the queries that they solve."""

    picture: Metrics
    text: Metrics
    cutoff: int
    by_picture: Values
    """1 for each query for which picture only finds a target among the first `cutoff`, else 0."""
    by_text: Values
    """The same for words only."""
    asked: str | None
    """The digest of the queries."""

    @classmethod
    def of(cls, task: EncodedTask, encoder: Encoder) -> "InputsAlone":
        """Measure both inputs on a task with known targets."""
        cutoff = shortcut_cutoff(task.task.measures)
        rows, solved = [], []
        for method in (PictureOnly(), TextOnly(encoder)):
            answers = task.answers(method)
            rows.append(task.row(method, encoder, answers=answers))
            solved.append(task.solved(answers, cutoff))
        return cls(rows[0].metrics, rows[1].metrics, cutoff, solved[0], solved[1], rows[0].queries_sha256)

    def beside(self, row: ResultRow, solved: Values) -> ResultRow:
        """Add the gap to both inputs to a method's row. `solved` marks the queries that the method solves."""
        gap = composition_gap(row.metrics, self.picture, self.text)
        # With another encoder other pictures may be unreadable, so the queries may differ.
        rated = self.rated(solved) if row.queries_sha256 == self.asked else None
        return replace(row, **gap, shortcuts=rated)

    def rated(self, solved: Values) -> Shortcuts:
        """Compute the shares in percent, and the method's recall on the queries that neither input solves, with a 95 %
        bootstrap interval."""
        picture, text = self.by_picture > 0, self.by_text > 0
        hard = ~(picture | text)
        left = solved[hard]
        interval = None
        if len(left):
            bounds = bootstrap_intervals(left[:, None], resamples=_RESAMPLES)[0]
            interval = [round(100 * float(bound), 4) for bound in bounds]
        return Shortcuts(
            cutoff=self.cutoff,
            picture_only=_share(picture & ~text),
            text_only=_share(text & ~picture),
            either=_share(picture & text),
            neither=_share(hard),
            queries=int(hard.sum()),
            recall=round(100 * float(left.mean()), 4) if len(left) else None,
            interval=interval,
        )


def shortcut_cutoff(measures: MetricCutoffs) -> int:
    """The cut-off up to which a query counts as solved: 10, or the first cut-off of a task with small galleries."""
    return _CUTOFF if not measures.recall or max(measures.recall) >= _CUTOFF else measures.recall[0]


def format_shortcuts(rows: Sequence[ResultRow]) -> str:
    """Format a line with the shares for each task, followed by a line for each method that uses both inputs."""
    lines = ["shortcuts: the share of queries that one input alone solves, and recall on those that neither solves"]
    heading = ""
    for row in rows:
        found = row.shortcuts
        if found is None:
            continue
        if row.heading != heading:
            heading = row.heading
            lines.append(
                f"  {row.benchmark} · {row.task}: picture only {found.picture_only:.1f} %, words only "
                f"{found.text_only:.1f} %, either {found.either:.1f} %, neither {found.neither:.1f} % "
                f"({found.queries} queries)"
            )
        if row.method not in ("picture", "text") and found.recall is not None and found.interval:
            low, high = found.interval
            lines.append(f"    {row.method}: R@{found.cutoff} {found.recall:.2f} [{low:.2f}, {high:.2f}]")
    return "\n".join(lines)


def _share(chosen: NDArray[Any]) -> float:
    return round(100 * float(chosen.mean()), 4)
