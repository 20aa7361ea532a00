"""Submission files: the rankings that the servers of CIRR and CIRCO score, written, read and checked.

CIRR (Test-split_server.md of its annotations): two files, each with the entries `version` and `metric`, and for every
pairid the 50 best names (`recall`), or the 3 best of the group (`recall_subset`); at most 5 MB. CIRCO (its README and
src/evaluation.py): one file, and for every query id the ids of the 50 best pictures.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.benchmarks.annotations import read_official
from triptych.benchmarks.task import Query, Task
from triptych.core.errors import DataError, UsageError
from triptych.core.files import atomic

CIRR_VERSION = "rc2"
CIRR_BYTES = 5_000_000
BENCHMARKS_WITH_SUBMISSIONS = ("cirr", "circo")


@dataclass(frozen=True)
class Form:
    """One kind of file: what it ranks, how deep, and what it is called in a folder."""

    metric: str
    depth: int
    file: str
    group: bool = False
    """Whether it ranks the query's group, not the gallery."""


CIRR_FORMS = (
    Form("recall", 50, "{split}_pred_ranks_recall.json"),
    Form("recall_subset", 3, "{split}_pred_ranks_recall_subset.json", group=True),
)
CIRCO_FORM = Form("mAP", 50, "submission_{split}.json")

Answers = Mapping[str, Sequence[str]]
"""Query id to picture names, best first."""


def forms_of(benchmark: str) -> tuple[Form, ...]:
    """The files that a benchmark's server takes. Raises UsageError where it has none."""
    if benchmark not in BENCHMARKS_WITH_SUBMISSIONS:
        those = ", ".join(BENCHMARKS_WITH_SUBMISSIONS)
        raise UsageError(f"{benchmark} has no server and no submission file; {those} have")
    return CIRR_FORMS if benchmark == "cirr" else (CIRCO_FORM,)


def submission_paths(benchmark: str, split: str, path: Path) -> dict[Form, Path]:
    """Where each file goes: into a folder, or, where there is but one, to the .json file that `path` names.

    Raises UsageError where two files would have to go into one.
    """
    forms = forms_of(benchmark)
    if path.suffix == ".json" and not path.is_dir():
        if len(forms) > 1:
            raise UsageError(f"--submission {path}: {benchmark} takes {len(forms)} files; give a folder for them")
        return {forms[0]: path}
    return {form: path / form.file.format(split=split) for form in forms}


def write_submission(benchmark: str, path: Path, form: Form, answers: Answers) -> None:
    """Write one file, atomically, as the authors' examples are laid out.

    Raises DataError where it would be too large for the server.
    """
    content: dict[str, Any]
    if benchmark == "cirr":
        content = {"version": CIRR_VERSION, "metric": form.metric}
        content |= {key: list(names) for key, names in answers.items()}
    else:
        content = {key: [int(name) for name in names] for key, names in answers.items()}
    text = json.dumps(content)
    if benchmark == "cirr" and len(text) > CIRR_BYTES:
        raise DataError(f"{path}: {len(text)} bytes, and the server takes at most {CIRR_BYTES}")
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_submission(task: Task, path: Path) -> dict[Form, Answers]:
    """Read and check a file, or a folder of CIRR's two, against the queries of a split.

    Every query must be there, with a list of different pictures of the gallery (or of its group), as many as the
    server takes. A task whose gallery is not known, being empty, is checked without it. Raises DataError, one line,
    for whatever is wrong, and UsageError for a benchmark without submissions.
    """
    forms = forms_of(task.benchmark)
    if not path.is_dir():
        return dict([_read(task, path, forms)])
    found = [place for form in forms if (place := path / form.file.format(split=task.split)).is_file()]
    if not found:
        names = " or ".join(form.file.format(split=task.split) for form in forms)
        raise DataError(f"{path}: there is no {names} in this folder")
    read = dict(_read(task, place, forms) for place in found)
    if len(read) < len(found):
        raise DataError(f"{path}: both files there are for the same metric")
    return read


def _read(task: Task, path: Path, forms: Sequence[Form]) -> tuple[Form, Answers]:
    content = read_official(path, "give a submission file")
    if not isinstance(content, dict):
        raise DataError(f"{path}: not an object of query ids and lists")
    if task.benchmark == "circo":
        return forms[0], _checked(path, task, forms[0], content)
    if path.stat().st_size > CIRR_BYTES:
        raise DataError(f"{path}: {path.stat().st_size} bytes, and the server takes at most {CIRR_BYTES}")
    if content.get("version") != CIRR_VERSION:
        raise DataError(f'{path}: "version" must be "{CIRR_VERSION}", and is {content.get("version")!r}')
    form = next((form for form in forms if form.metric == content.get("metric")), None)
    if form is None:
        metrics = " or ".join(f'"{form.metric}"' for form in forms)
        raise DataError(f'{path}: "metric" must be {metrics}, and is {content.get("metric")!r}')
    answers = {key: value for key, value in content.items() if key not in ("version", "metric")}
    return form, _checked(path, task, form, answers)


def _checked(path: Path, task: Task, form: Form, content: Mapping[str, Any]) -> Answers:
    due = {query.id: query for query in task.queries}
    unknown = next((key for key in content if key not in due), None)
    missing = [key for key in due if key not in content]
    hint = f"is the file for another split than {task.split}?"
    if unknown is not None:
        raise DataError(f"{path}: {task.benchmark} {task.split} has no query {unknown!r}; {hint}")
    if missing:
        raise DataError(f"{path}: {len(missing)} of {len(due)} queries are missing, first {missing[0]!r}; {hint}")
    known = frozenset(task.gallery)
    answers = {}
    for key, value in content.items():
        where = f"{path}: query {key}"
        names = _names(where, task.benchmark, value)
        _check_pictures(where, names, form, due[key], known)
        answers[key] = names
    return answers


def _names(where: str, benchmark: str, value: Any) -> list[str]:
    kind, wanted = (str, "picture names") if benchmark == "cirr" else (int, "picture ids, whole numbers")
    if not isinstance(value, list):
        raise DataError(f"{where}: not a list of {wanted}")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, kind) or (isinstance(item, int) and item < 0):
            raise DataError(f"{where}: {item!r} is none of the {wanted}")
    return list(value) if benchmark == "cirr" else [f"{item:012d}" for item in value]


def _check_pictures(where: str, names: list[str], form: Form, query: Query, known: frozenset[str]) -> None:
    twice = _first_twice(names)
    if twice is not None:
        raise DataError(f"{where}: the picture {twice!r} stands there twice")
    allowed = frozenset(query.group) if form.group else known
    other = next((name for name in names if allowed and name not in allowed), None)
    if other is not None:
        raise DataError(f"{where}: there is no picture {other!r} {'in its group' if form.group else 'in the gallery'}")
    # A gallery of fewer pictures than the server takes can only be ranked whole, with or without the reference.
    depths = {min(form.depth, len(pool)) for pool in (allowed, allowed - {query.reference}) if allowed} or {form.depth}
    if len(names) not in depths:
        raise DataError(f"{where}: {len(names)} pictures, where the server takes {max(depths)}")


def _first_twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
