"""Writing that is all or nothing, and the note that says what made an artefact."""

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from triptych.errors import DataError, FailureError
from triptych.version import __version__


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write to; rename it over `path` only if the block succeeds.

    A reader, or a kill -9, sees the old file or the new one and nothing between.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        # mkstemp makes private files; an artefact is as readable as any other file of its owner.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` against a second writer. Raises FailureError where one is at work.

    The lock goes with its process, however that ends.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FailureError(f"{folder}: another run is writing here; wait for it to end") from None
        yield


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented UTF-8 JSON, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, what: str) -> Any:
    """Read JSON; raise DataError naming `what` it should have been."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no {what} here") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable {what} ({error})") from None


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def made_by(command: str, settings: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """The note every artefact carries: program, versions, settings, time, and what the caller adds."""
    return {
        "program": "triptych",
        "version": __version__,
        "python": platform.python_version(),
        "command": command,
        "settings": {
            key: str(value) if isinstance(value, Path) else value for key, value in settings.items()
        },
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
    }
