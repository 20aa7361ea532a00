"""`check_pictures`: is a benchmark's folder whole? Before anything is encoded, since a gap shrinks the gallery."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triptych.benchmarks.pictures import load_task_pictures, require_folder
from triptych.benchmarks.registry import load_benchmark
from triptych.benchmarks.task import Task
from triptych.core.errors import PictureError
from triptych.core.images import find_pictures


def check_pictures(
    benchmark: str,
    *,
    root: Path | str | None = None,
    gallery: Path | str | None = None,
    split: str = "test",
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Decode every picture that a benchmark's split needs, and say which are missing, corrupt or not asked for.

    Returns `tasks`, for each its number of pictures, and how many are missing and corrupt; and three sorted lists of
    files relative to their folder: `missing`; `corrupt`, as pairs with the reason; `extra`, pictures beside the
    needed ones that this split does not ask for. Raises UsageError and DataError as `evaluate` does.
    """
    tasks = load_benchmark(benchmark, Path(root) if root else None, Path(gallery) if gallery else None, split, settings)
    reasons: dict[Path, str | None] = {}
    for task in tasks:
        require_folder(task)
        reasons |= _reasons(task, reasons)
    needed = {(task.root, task.file(name)) for task in tasks for name in task.names}
    bad = {path: reason for path, reason in reasons.items() if reason is not None}
    missing = sorted(str(path.relative_to(top)) for top, path in needed if path in bad and not path.exists())
    corrupt = sorted((str(path.relative_to(top)), bad[path]) for top, path in needed if path in bad and path.exists())
    return {
        "tasks": {task.name: _counts(task, bad) for task in tasks},
        "missing": missing,
        "corrupt": corrupt,
        "extra": _extra(tasks),
    }


def _reasons(task: Task, known: dict[Path, str | None]) -> dict[Path, str | None]:
    """For each file of a task that is not `known` yet why it, or a part of it, cannot be used; None if it can."""
    names = [name for name in task.names if task.file(name) not in known]
    found: dict[Path, str | None] = {}
    for name, result in load_task_pictures(task, names, prepare=lambda picture: None, what=f"check {task.name}"):
        reason = str(result) if isinstance(result, PictureError) else None
        found[task.file(name)] = found.get(task.file(name)) or reason
    return found


def _counts(task: Task, bad: dict[Path, str]) -> dict[str, int]:
    spoilt = {name for name in task.names if task.file(name) in bad}
    missing = sum(not task.file(name).exists() for name in spoilt)
    lost = sum(query.reference in spoilt or (bool(query.targets) and query.targets <= spoilt) for query in task.queries)
    return {
        "queries": len(task.queries),
        "gallery": len(task.gallery),
        "pictures": len(task.names),
        "missing": missing,
        "corrupt": len(spoilt) - missing,
        "lost_queries": lost,
    }


def _extra(tasks: Sequence[Task]) -> list[str]:
    """Pictures in the folders of the needed ones that no task asks for."""
    needed = {task.file(name) for task in tasks for name in task.names}
    extra = set()
    for top in {task.root for task in tasks}:
        folders = {path.parent for path in needed if path.is_relative_to(top)}
        found = (top / name for name in find_pictures(top).names)
        extra |= {str(path.relative_to(top)) for path in found if path.parent in folders and path not in needed}
    return sorted(extra)
