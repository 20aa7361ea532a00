"""`score`: compute the metrics of a submission file, without pictures or a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.registry import find_benchmark, submission_of
from triptych.benchmarks.settings import parse_settings
from triptych.benchmarks.submissions import Answers, SubmissionFile, read_submission
from triptych.benchmarks.task import Query, Task
from triptych.core.files import made_by, output_file, write_json
from triptych.evaluation.results.row import ResultRow, without_none
from triptych.evaluation.results.tables import format_table
from triptych.evaluation.rows import Ranks, by_aspect, percents, values
from triptych.metrics.ranking import Rows

_UNRANKED = 10**9
"""The rank of a target that is not in the file: beyond every cut-off."""


@dataclass(frozen=True)
class SubmissionFacts:
    """Facts about a submission file, or a folder of submission files."""

    files: list[str]
    """The metrics that the files are for."""
    queries: int
    depth: Mapping[str, int]
    """How many pictures of a list the server reads, by metric."""
    references_among_answers: int
    """How many lists contain the query's own reference."""
    names_checked: bool
    """Whether the names of pictures were checked. They are not if the list of the gallery's pictures is missing."""


@dataclass(frozen=True)
class ScoreResult:
    """The result of `score`."""

    rows: list[ResultRow]
    """One row, or none if the targets are not public."""
    submission: SubmissionFacts
    made_by: Mapping[str, Any] = field(repr=False)
    """Program, version, settings and time."""

    def as_json(self) -> dict[str, Any]:
        """The result as in a result file."""
        return without_none(self)

    def __str__(self) -> str:
        return format_table(self.rows)


def score(
    benchmark: Benchmark | str,
    *,
    root: Path | str,
    split: str,
    submission: Path | str,
    output: Path | str | None = None,
) -> ScoreResult:
    """Score a submission file against a benchmark's annotations.

    If the targets of the split are public, the row has the benchmark's metrics, computed as in the authors' evaluators.
    If only their server knows the targets, there is no row, and the file is checked by the server's rules.

    Args:
        benchmark: a benchmark with a server, such as cirr or circo.
        root: the benchmark's folder; no pictures are needed.
        split: the split of the submission.
        submission: a file, or a folder with both files of CIRR.
        output: a file to write the result to (.json), as documented in docs/reference/formats.md.

    Returns:
        The metrics, and facts about the file.

    Raises:
        UsageError: a name is unknown.
        DataError: the file is invalid; the message says why.
    """
    root, submission = Path(root), Path(submission)
    output = output_file(output, ".json", flag="--output") if output else None
    form = submission_of(benchmark)
    known = find_benchmark(benchmark, split)
    load = known.load_for_scoring or known.load
    (task,) = load(root, split, parse_settings(known.name, known.settings, ()))
    read = read_submission(form, task, submission)
    facts = SubmissionFacts(
        files=[file.metric for file in read],
        queries=len(task.queries),
        depth={file.metric: file.depth for file in read},
        references_among_answers=sum(
            query.reference in answers[query.id] for answers in read.values() for query in task.queries
        ),
        names_checked=bool(task.gallery),
    )
    settings = {"benchmark": known.name, "root": root, "split": split, "submission": submission}
    rows = [_row(task, submission, read)] if task.public else []
    result = ScoreResult(rows, facts, made_by("score", settings))
    if output:
        write_json(output, result.as_json())
    return result


def _row(task: Task, submission: Path, read: dict[SubmissionFile, Answers]) -> ResultRow:
    whole = next((answers for file, answers in read.items() if not file.group), None)
    group = next((answers for file, answers in read.items() if file.group), None)
    single = [frozenset({query.target}) if query.target else query.targets for query in task.queries]
    targets = [query.targets for query in task.queries]
    ranks = Ranks(
        targets=_ranks(whole, task.queries, targets),
        single=_ranks(whole, task.queries, single) if task.measures.single else None,
        subset=_ranks(group, task.queries, targets),
    )
    found = values(task.measures, ranks)
    return ResultRow(
        benchmark=task.benchmark,
        task=task.name,
        split=task.split,
        method=submission.stem,
        encoder="submission",
        metrics=percents(found),
        aspects=by_aspect(task.measures, task.queries, found),
        queries=len(task.queries),
        gallery=len(task.gallery) or task.notes.get("gallery", 0),
    )


def _ranks(answers: Answers | None, queries: Sequence[Query], targets: Sequence[frozenset[str]]) -> list[Rows] | None:
    if answers is None:
        return None
    found = []
    for query, wanted in zip(queries, targets, strict=True):
        ranks = [rank for rank, name in enumerate(answers[query.id], start=1) if name in wanted]
        found.append(np.array([*ranks, *[_UNRANKED] * (len(wanted) - len(ranks))], np.int64))
    return found
