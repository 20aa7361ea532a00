"""Write, read and check submission files, the rankings that a benchmark's server scores."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.benchmarks.annotations import read_official
from triptych.benchmarks.task import Query, Task
from triptych.core.errors import DataError, UsageError
from triptych.core.files import atomic


@dataclass(frozen=True)
class SubmissionFile:
    """A kind of submission file: what it ranks, how many pictures, and its name."""

    metric: str
    depth: int
    file: str
    """The name of the file, with {split} for the split."""
    group: bool = False
    """Whether it ranks the query's group instead of the gallery."""


@dataclass(frozen=True)
class SubmissionFormat:
    """The files that a benchmark's server accepts: objects of query ids and lists of pictures, best first."""

    files: tuple[SubmissionFile, ...]
    header: Mapping[str, str] | None = None
    """Entries before the queries, followed by `metric`, which identifies the kind of file; None if there is only one
    kind of file, without such entries."""
    digits: int | None = None
    """The digits of names here, if the server expects pictures as whole numbers; None if it expects names."""
    max_bytes: int | None = None
    """The largest file that the server accepts."""


Answers = Mapping[str, Sequence[str]]
"""Maps a query id to picture names, best first."""


def submission_paths(form: SubmissionFormat, split: str, path: Path) -> dict[SubmissionFile, Path]:
    """The path of each file: in the folder `path`, or `path` itself if it is a .json file and there is one file.

    Raises:
        UsageError: several files would have the same path.
    """
    if path.suffix == ".json" and not path.is_dir():
        if len(form.files) > 1:
            raise UsageError(f"--submission {path}: there are {len(form.files)} files to write; give a folder")
        return {form.files[0]: path}
    return {file: path / file.file.format(split=split) for file in form.files}


def write_submission(form: SubmissionFormat, file: SubmissionFile, path: Path, answers: Answers) -> None:
    """Write a file atomically, in the layout of the authors' examples.

    Raises:
        DataError: the file would be too large for the server.
    """
    content: dict[str, Any] = {} if form.header is None else {**form.header, "metric": file.metric}
    for key, names in answers.items():
        content[key] = list(names) if form.digits is None else [int(name) for name in names]
    text = json.dumps(content)
    if form.max_bytes is not None and len(text) > form.max_bytes:
        raise DataError(f"{path}: has {len(text)} bytes; the server accepts at most {form.max_bytes}")
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_submission(form: SubmissionFormat, task: Task, path: Path) -> dict[SubmissionFile, Answers]:
    """Read a file, or a folder with all files that the server accepts, and check it against the queries of a split.

    Every query must have a list of distinct pictures of the gallery (or of its group), as many as the server expects.
    If the task's gallery is empty, names are not checked.

    Raises:
        DataError: a file is invalid; the message names the file and the query.
    """
    if not path.is_dir():
        return dict([_read(form, task, path)])
    names = [file.file.format(split=task.split) for file in form.files]
    found = [path / name for name in names if (path / name).is_file()]
    if not found:
        raise DataError(f"{path}: there is no {' or '.join(names)} in this folder")
    read = dict(_read(form, task, place) for place in found)
    if len(read) < len(found):
        raise DataError(f"{path}: both files are for the same metric")
    return read


def _read(form: SubmissionFormat, task: Task, path: Path) -> tuple[SubmissionFile, Answers]:
    content = read_official(path, "give a submission file")
    if not isinstance(content, dict):
        raise DataError(f"{path}: not an object of query ids and lists")
    if form.max_bytes is not None and path.stat().st_size > form.max_bytes:
        raise DataError(f"{path}: has {path.stat().st_size} bytes; the server accepts at most {form.max_bytes}")
    if form.header is None:
        return form.files[0], _checked(path, task, form, form.files[0], content)
    for name, value in form.header.items():
        if content.get(name) != value:
            raise DataError(f'{path}: "{name}" must be "{value}", not {content.get(name)!r}')
    file = next((file for file in form.files if file.metric == content.get("metric")), None)
    if file is None:
        metrics = " or ".join(f'"{file.metric}"' for file in form.files)
        raise DataError(f'{path}: "metric" must be {metrics}, not {content.get("metric")!r}')
    answers = {key: value for key, value in content.items() if key not in (*form.header, "metric")}
    return file, _checked(path, task, form, file, answers)


def _checked(
    path: Path, task: Task, form: SubmissionFormat, file: SubmissionFile, content: Mapping[str, Any]
) -> Answers:
    due = {query.id: query for query in task.queries}
    unknown = next((key for key in content if key not in due), None)
    missing = [key for key in due if key not in content]
    hint = f"is the file for a split other than {task.split}?"
    if unknown is not None:
        raise DataError(f"{path}: {task.benchmark} {task.split} has no query {unknown!r}; {hint}")
    if missing:
        raise DataError(f"{path}: {len(missing)} of {len(due)} queries are missing, first {missing[0]!r}; {hint}")
    known = frozenset(task.gallery)
    answers = {}
    for key, value in content.items():
        where = f"{path}: query {key}"
        names = _names(where, form.digits, value)
        _check_pictures(where, names, file, due[key], known)
        answers[key] = names
    return answers


def _names(where: str, digits: int | None, value: Any) -> list[str]:
    kind, wanted = (str, "picture names") if digits is None else (int, "picture ids, whole numbers")
    if not isinstance(value, list):
        raise DataError(f"{where}: not a list of {wanted}")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, kind) or (isinstance(item, int) and item < 0):
            raise DataError(f"{where}: {item!r} is not one of the {wanted}")
    return list(value) if digits is None else [f"{item:0{digits}d}" for item in value]


def _check_pictures(where: str, names: list[str], file: SubmissionFile, query: Query, known: frozenset[str]) -> None:
    twice = _first_twice(names)
    if twice is not None:
        raise DataError(f"{where}: the picture {twice!r} appears twice")
    allowed = frozenset(query.group) if file.group else known
    other = next((name for name in names if allowed and name not in allowed), None)
    if other is not None:
        raise DataError(f"{where}: there is no picture {other!r} {'in its group' if file.group else 'in the gallery'}")
    # If the gallery has fewer pictures than the server expects, all are ranked, with or without the reference.
    depths = {min(file.depth, len(pool)) for pool in (allowed, allowed - {query.reference}) if allowed} or {file.depth}
    if len(names) not in depths:
        raise DataError(f"{where}: {len(names)} pictures; the server expects {max(depths)}")


def _first_twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
