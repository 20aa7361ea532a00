"""Writing that is all or nothing, and the note that says what made an artefact."""

import errno
import glob
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from triptych.core.errors import BusyError, DataError, UsageError
from triptych.core.version import __version__

_LISTED = """
.json .jsonl .csv .tsv .parquet .html .htm .png .jpg .jpeg .webp .gif .pdf .txt .md .tex .npy .npz .onnx .zip
.safetensors .xlsx .yaml .yml .toml
"""
_SUFFIXES = frozenset(_LISTED.split())
"""What a file's name can promise."""


def output_file(path: Path | str, *wanted: str, flag: str = "--out") -> Path:
    """`path`, of a file to be written. Raises UsageError where its suffix promises something else than `wanted`."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES and suffix not in wanted:
        raise UsageError(
            f"{flag} {path}: what is written is no {suffix}; give a name that ends in {' or '.join(wanted)}"
        )
    return path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write to; rename it over `path` only if the block succeeds.

    A reader, or a kill -9, sees the old file or the new one and nothing between. What a killed writer of `path`
    left behind is removed by the next.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _temporary(path)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # mkstemp makes private files; an artefact is as readable as any other file of its owner.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _temporary(path: Path) -> tuple[int, Path]:
    """A new sibling of `path`, and the handle that locks it; those that no living writer holds are removed."""
    import fcntl

    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError), left.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with suppress(OSError):  # a file system without locks must not be the end
            fcntl.flock(handle, fcntl.LOCK_SH)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # another writer removed it before it was locked


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` against a second writer. Raises BusyError where one is at work.

    The lock goes with its process, however that ends.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    try:  # a link, in a folder of somebody else, would have its target opened for writing
        opened = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DataError(f"{folder / '.lock'}: is a link; delete it") from None
        raise
    with os.fdopen(opened, "r+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BusyError(f"{folder}: another run is writing here; wait for it to end") from None
        yield


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented UTF-8 JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, what: str, remedy: str = "") -> Any:
    """Read JSON; raise DataError naming `what` it should have been, and where there is nothing, the `remedy`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no {what} here{remedy and f'; {remedy}'}") from None
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path}: not a readable {what} ({error})") from None


def copy_own(folder: Path, name: str, out: Path) -> None:
    """Copy the file `name` of `folder` to `out`. Raises DataError where a link leads out of the folder.

    A folder may be somebody else's, and what is copied is published.
    """
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{folder / name}: a link that leads out of its folder; put the file itself there")
    shutil.copyfile(folder / name, out)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def as_json(settings: Any) -> dict[str, Any]:
    """A mapping or a dataclass as JSON gives it back: paths are strings, tuples lists, dataclasses objects."""
    items = settings.items() if isinstance(settings, Mapping) else _fields(settings)
    return {key: _json_value(value) for key, value in items}


def _fields(value: Any) -> list[tuple[str, Any]]:
    return [(item.name, getattr(value, item.name)) for item in fields(value)]


def _json_value(value: Any) -> Any:
    if isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type)):
        return as_json(value)
    if isinstance(value, tuple | list):
        return [_json_value(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def claim_run(folder: Path, settings: Mapping[str, Any], parts: Sequence[str]) -> bool:
    """Note in `folder` which run its parts belong to; return whether they belong to this one.

    Args:
        folder: where an unfinished run keeps its parts.
        settings: what tells this run from others.
        parts: patterns of the parts' file names. What a run with other settings left there is removed.
    """
    file, wanted = folder / "run.json", as_json(settings)
    same = not file.exists() or read_json(file, "unfinished run") == wanted
    if not same:
        for stale in (path for pattern in parts for path in folder.glob(pattern)):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    write_json(file, wanted)
    return same


def made_by(command: str, settings: Any, **facts: Any) -> dict[str, Any]:
    """The note that every artefact carries: program, versions, settings, time, and what the caller adds.

    Args:
        command: what was run.
        settings: its settings, a mapping or a dataclass.
        facts: what else the note says.
    """
    return {
        "program": "triptych",
        "version": __version__,
        "python": platform.python_version(),
        "command": command,
        "settings": as_json(settings),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
    }
