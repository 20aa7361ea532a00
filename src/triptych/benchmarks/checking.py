"""`check_benchmark`: check that a benchmark's folder is complete, since a missing picture would shrink the gallery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.pictures import load_task_pictures, require_folder
from triptych.benchmarks.registry import load_benchmark
from triptych.benchmarks.task import Task
from triptych.core.errors import PictureError
from triptych.core.finding import find_pictures
from triptych.core.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True)
class TaskCounts:
    """The numbers of queries and pictures of a task, and of those that are missing or lost."""

    queries: int
    gallery: int
    pictures: int
    missing: int
    corrupt: int
    lost_queries: int
    """The number of queries that cannot be measured because of missing or corrupt pictures."""


@dataclass(frozen=True)
class CheckResult:
    """Whether a benchmark's folder is complete. File names are relative to their folder, and sorted."""

    tasks: Mapping[str, TaskCounts]
    missing: list[str]
    corrupt: list[tuple[str, str]]
    """Corrupt files, each with its error."""
    extra: list[str]
    """Pictures in the same folders that this split does not need."""

    def __str__(self) -> str:
        return format_check(self)


def check_benchmark(
    benchmark: Benchmark | str,
    *,
    root: Path | str | None = None,
    gallery: Path | str | None = None,
    split: str = "test",
    settings: Sequence[str] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> CheckResult:
    """Decode every picture that a benchmark's split needs, and list missing, corrupt and extra files.

    Args:
        benchmark: a benchmark, its name, or `module:attribute`; or a .jsonl file of queries over `gallery`.
        root: the folder that the benchmark's authors distribute.
        gallery: the pictures of your own queries.
        split: the split to check.
        settings: settings of the benchmark's protocol, such as "gallery=union".
        limits: limits of picture files.

    Raises:
        UsageError: a name is unknown.
        DataError: the benchmark's files are missing or wrong.
    """
    tasks = load_benchmark(benchmark, Path(root) if root else None, Path(gallery) if gallery else None, split, settings)
    reasons: dict[Path, str | None] = {}
    for task in tasks:
        require_folder(task)
        reasons |= _reasons(task, reasons, limits)
    needed = {(task.root, task.file(name)) for task in tasks for name in task.names}
    bad = {path: reason for path, reason in reasons.items() if reason is not None}
    return CheckResult(
        tasks={task.name: _counts(task, bad) for task in tasks},
        missing=sorted(str(path.relative_to(top)) for top, path in needed if path in bad and not path.exists()),
        corrupt=sorted(
            (str(path.relative_to(top)), bad[path]) for top, path in needed if path in bad and path.exists()
        ),
        extra=_extra(tasks),
    )


def format_check(result: CheckResult, most: int = 20) -> str:
    """Format the result: a line for each missing or corrupt file, for the first `most` extra files, and for each
    task."""
    lines = [f"missing  {name}" for name in result.missing]
    lines += [f"corrupt  {name}: {reason}" for name, reason in result.corrupt]
    lines += [f"extra    {name}" for name in result.extra[:most]]
    if len(result.extra) > most:
        lines.append(f"extra    … and {len(result.extra) - most} more files that this split does not need")
    for name, counts in result.tasks.items():
        said = ", ".join(f"{count} {what}" for what, count in vars(counts).items()).replace("_", " ")
        lines.append(f"{name}: {said}")
    return "\n".join(lines)


def _reasons(task: Task, known: dict[Path, str | None], limits: Limits) -> dict[Path, str | None]:
    """Check each file of a task that is not `known` yet. Returns the reason why it cannot be used; None if it can."""
    names = [name for name in task.names if task.file(name) not in known]
    found: dict[Path, str | None] = {}
    what = f"check {task.name}"
    for name, result in load_task_pictures(task, names, prepare=lambda picture: None, what=what, limits=limits):
        reason = str(result) if isinstance(result, PictureError) else None
        found[task.file(name)] = found.get(task.file(name)) or reason
    return found


def _counts(task: Task, bad: dict[Path, str]) -> TaskCounts:
    spoilt = {name for name in task.names if task.file(name) in bad}
    missing = sum(not task.file(name).exists() for name in spoilt)
    lost = sum(query.reference in spoilt or (bool(query.targets) and query.targets <= spoilt) for query in task.queries)
    return TaskCounts(
        queries=len(task.queries),
        gallery=len(task.gallery),
        pictures=len(task.names),
        missing=missing,
        corrupt=len(spoilt) - missing,
        lost_queries=lost,
    )


def _extra(tasks: Sequence[Task]) -> list[str]:
    """Find pictures that no task needs, in the folders of the needed ones."""
    needed = {task.file(name) for task in tasks for name in task.names}
    extra = set()
    for top in {task.root for task in tasks}:
        folders = {path.parent for path in needed if path.is_relative_to(top)}
        found = (top / name for name in find_pictures(top).names)
        extra |= {str(path.relative_to(top)) for path in found if path.parent in folders and path not in needed}
    return sorted(extra)
