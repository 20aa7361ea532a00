"""`score`: what a submission file is worth, without any picture or model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from triptych.benchmarks.datasets.circo import GALLERY_SIZE, CIRCOSettings, circo_task, gallery_file, read_queries
from triptych.benchmarks.registry import find_benchmark, load_tasks
from triptych.benchmarks.submissions import Answers, Form, forms_of, read_submission
from triptych.benchmarks.task import Query, Task
from triptych.core.files import made_by, write_json
from triptych.evaluation.rows import Ranks, summary, values
from triptych.metrics.ranking import Rows

_UNRANKED = 10**9
"""The rank of a target that the file does not name: beyond every cut-off."""


def score(
    benchmark: str,
    *,
    root: Path | str,
    split: str,
    submission: Path | str,
    output: Path | str | None = None,
) -> dict[str, Any]:
    """Score a submission `benchmark` (cirr, circo) file against the annotations in `root`.

    Where the targets of the split are public, the row has the metrics of the benchmark, as the authors' evaluators
    compute them. Where only their server knows them, there is no row: the file is checked as the server would.
    `submission` may be a folder with both of CIRR's files.

    Returns, and writes to `output`, `{"rows": [...], "submission": {...}, "made_by": {...}}`, as documented in
    docs/formats.md. Raises UsageError for names that mean nothing, and DataError, one line, for whatever is wrong with
    the file.
    """
    root, submission = Path(root), Path(submission)
    forms_of(benchmark)
    find_benchmark(benchmark, split)
    task = _task(benchmark, root, split)
    read = read_submission(task, submission)
    rows = [_row(task, submission, read)] if task.public else []
    settings = {"benchmark": benchmark, "root": root, "split": split, "submission": submission}
    result = {
        "rows": rows,
        "submission": {
            "files": [form.metric for form in read],
            "queries": len(task.queries),
            "depth": {form.metric: form.depth for form in read},
            "references_among_answers": sum(
                query.reference in answers[query.id] for answers in read.values() for query in task.queries
            ),
            "names_checked": bool(task.gallery),
        },
        "made_by": made_by("score", settings),
    }
    if output:
        write_json(Path(output), result)
    return result


def _task(benchmark: str, root: Path, split: str) -> Task:
    """The split's task; CIRCO's without its gallery where COCO's list of 123,403 pictures is not there."""
    if benchmark == "circo" and not gallery_file(root).is_file():
        settings = CIRCOSettings()
        return circo_task(root, split, settings, {}, read_queries(root, split, settings))
    (task,) = load_tasks(benchmark, root, split)
    return task


def _row(task: Task, submission: Path, read: dict[Form, Answers]) -> dict[str, Any]:
    whole = next((answers for form, answers in read.items() if not form.group), None)
    group = next((answers for form, answers in read.items() if form.group), None)
    single = [frozenset({query.target}) if query.target else query.targets for query in task.queries]
    targets = [query.targets for query in task.queries]
    ranks = Ranks(
        targets=_ranks(whole, task.queries, targets),
        single=_ranks(whole, task.queries, single) if task.measures.single else None,
        subset=_ranks(group, task.queries, targets),
    )
    return {
        "benchmark": task.benchmark,
        "task": task.name,
        "split": task.split,
        "method": submission.stem,
        "encoder": "submission",
        **summary(task.measures, task.queries, values(task.measures, ranks)),
        "queries": len(task.queries),
        "gallery": len(task.gallery) or GALLERY_SIZE,
        "unreadable": 0,
    }


def _ranks(answers: Answers | None, queries: Sequence[Query], targets: Sequence[frozenset[str]]) -> list[Rows] | None:
    if answers is None:
        return None
    found = []
    for query, wanted in zip(queries, targets, strict=True):
        ranks = [rank for rank, name in enumerate(answers[query.id], start=1) if name in wanted]
        found.append(np.array([*ranks, *[_UNRANKED] * (len(wanted) - len(ranks))], np.int64))
    return found
