"""Files written completely or not at all, locks, and the note that says what made an artefact."""

import errno
import glob
import hashlib
import json
import os
import platform
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from triptych.core.errors import BusyError, DataError, FailureError, UsageError
from triptych.core.remote import Place, RemotePath
from triptych.core.version import __version__

_LISTED = """
.json .jsonl .csv .tsv .parquet .html .htm .png .jpg .jpeg .webp .gif .pdf .txt .md .tex .npy .npz .onnx .zip
.safetensors .xlsx .yaml .yml .toml
"""
_SUFFIXES = frozenset(_LISTED.split())
"""Suffixes that promise a file format."""

_WINDOWS = sys.platform == "win32"
_DAY = 24 * 3600.0  # seconds


def output_file(path: Path | str, *wanted: str, flag: str = "--out") -> Path:
    """Check the suffix of a file to be written, and return its path.

    Args:
        path: the file.
        wanted: the suffixes that fit what is written, such as `.parquet`.
        flag: the option that names the file, for the message.

    Raises:
        UsageError: the suffix is that of another format.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in _SUFFIXES and suffix not in wanted:
        raise UsageError(
            f"{flag} {path}: the file is not written as {suffix}; give a name that ends in {' or '.join(wanted)}"
        )
    return path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path` to write to, and rename it to `path` only if the block succeeds.

    A reader sees the old file or the new one, never a part of it, even after a kill -9. A temporary file that a killed
    writer left is removed by the next writer of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _temporary(path)
    try:
        yield temporary
        with temporary.open("r+b") as written:  # Windows flushes only what is open for writing
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _temporary(path: Path) -> tuple[int | None, Path]:
    """Make a new temporary file beside `path`, and return it with the handle that locks it. Abandoned ones are removed.

    Windows cannot rename an open file, and nobody can write to a locked one. So there is no handle on Windows, and
    temporary files are removed once they are a day old.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError):
            _remove_left(left)
    while True:
        temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
        try:  # created as any other file is, so that the umask decides who may read it
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            continue
        if _WINDOWS:
            os.close(handle)
            return None, temporary
        with suppress(OSError):  # a file system without locks must not be the end
            _lock(handle)
        if os.fstat(handle).st_nlink:
            return handle, temporary
        os.close(handle)  # another writer removed it before it was locked


def _remove_left(left: Path) -> None:
    """Remove a temporary file unless a living writer holds it.

    Raises:
        OSError: it cannot be locked or removed.
    """
    if _WINDOWS:
        if time.time() - left.stat().st_mtime > _DAY:
            left.unlink()
        return
    with left.open("r+b") as opened:
        if _lock(opened.fileno()):
            left.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock `folder` against a second writer while the block runs.

    The lock ends with its process, however the process ends.

    Raises:
        BusyError: another run holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / ".lock"
    no_link = getattr(os, "O_NOFOLLOW", 0)  # Windows has none
    try:  # a link, in a folder of somebody else, would have its target opened for writing
        if not no_link and file.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        handle = os.open(file, os.O_RDWR | os.O_CREAT | no_link, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DataError(f"{file}: is a link; delete it") from None
        raise
    try:
        try:
            held = _lock(handle)
        except OSError as error:
            why = error.strerror or error
            raise FailureError(
                f"{folder}: its file system cannot lock files ({why}); use a folder on another disk"
            ) from None
        if not held:
            raise BusyError(f"{folder}: another run is writing here; wait for it to end")
        yield
    finally:
        os.close(handle)  # which also releases the lock


def _lock(handle: int) -> bool:
    """Lock an open file without waiting. Returns whether nobody else holds the lock.

    Raises:
        OSError: files cannot be locked here.
    """
    from filelock import lock_descriptor

    return lock_descriptor(handle, blocking=False)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes to a file atomically.

    Weights are written in this way, too: `save_file` of safetensors writes through a file of its own, which a kill
    leaves behind.
    """
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write a value as indented UTF-8 JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, what: str, remedy: str = "") -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        what: what it should be, for the message.
        remedy: what to do if there is no such file, for the message.

    Raises:
        DataError: the file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no {what} here{remedy and f'; {remedy}'}") from None
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path}: not a readable {what} ({error})") from None


def copy_own(folder: Path, name: str, out: Path) -> None:
    """Copy the file `name` of `folder` to `out`. The folder may be somebody else's, and the copy may be published.

    Raises:
        DataError: a link leads out of the folder.
    """
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{folder / name}: a link that leads out of its folder; put the file itself there")
    shutil.copyfile(folder / name, out)


def hash_file(path: Place) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    if isinstance(path, RemotePath):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def as_json(settings: Any) -> dict[str, Any]:
    """A mapping or a dataclass as it would be read back from JSON: paths as strings, tuples as lists, dataclasses as
    objects."""
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
    """Note in `folder` which run its unfinished parts belong to, and remove the parts of any other run.

    Args:
        folder: the folder of an unfinished run's parts.
        settings: the settings that identify this run.
        parts: patterns of the parts' file names.

    Returns:
        Whether the parts that are there belong to this run; also true if the folder is new.
    """
    file, wanted = folder / "run.json", as_json(settings)
    same = not file.exists() or read_json(file, "unfinished run") == wanted
    if not same:
        for stale in (path for pattern in parts for path in folder.glob(pattern)):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    write_json(file, wanted)
    return same


def made_by(command: str, settings: Any, **facts: Any) -> dict[str, Any]:
    """The note that every artefact carries: program, versions, command, settings and time.

    Args:
        command: the command that was run.
        settings: its settings, a mapping or a dataclass.
        facts: further entries of the note.
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
