"""API keys: who may search, and who may change the catalog. The file has only hashes; a key is printed once, when made.

A key is 256 random bits, so one round of SHA-256 hides it as well as a slow hash would hide a password.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import time_ns
from typing import Any

from triptych.core.errors import DataError, UsageError
from triptych.core.files import read_json, write_json

FORMAT = "triptych-keys-1"
_TICK = 1_000_000_000  # ns: the coarsest resolution of file times


@dataclass(frozen=True)
class ApiKey:
    """The owner of a key, and whether it may add and remove pictures."""

    name: str
    write: bool


def make_key(keys: Path | str, name: str, *, write: bool = False) -> str:
    """Make a key and add it to the file `keys`, which is created if missing. A key of the same name is replaced.

    Args:
        keys: the file of keys.
        name: the key's owner.
        write: whether the key may add and remove pictures.

    Returns:
        The key, which is not stored anywhere.

    Raises:
        UsageError: the name is empty or too long.
        DataError: the file is no file of keys.
    """
    if not re.fullmatch(r"[\w.@-]{1,64}", name):
        raise UsageError(f"{name!r}: a key's name has up to 64 letters, digits and . _ @ -")
    keys = Path(keys)
    known = [entry for entry in _read(keys) if entry["name"] != name] if keys.exists() else []
    key = f"tri_{secrets.token_urlsafe(32)}"
    known.append({"name": name, "sha256": sha256(key.encode()).hexdigest(), "write": write})
    write_json(keys, {"format": FORMAT, "keys": known})
    return key


class KeyFile:
    """The keys of a file. It is read again when it changes, so that a revoked key stops at once.

    Raises:
        DataError: the file is no file of keys.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: Mapping[str, ApiKey] = {}
        self._follow()

    def find(self, given: str) -> ApiKey | None:
        """The owner of a key; None if there is none. The lookup is by hash, so its duration reveals nothing about
        existing keys.

        Raises:
            DataError: the file can no longer be read. No key is accepted then.
        """
        self._follow()
        return self._keys.get(sha256(given.encode("utf-8", "replace")).hexdigest())

    def _follow(self) -> None:
        try:
            facts = self._path.stat()
        except OSError as error:
            raise DataError(f"{self._path}: there is no readable file of keys ({error.strerror})") from None
        stamp = (facts.st_mtime_ns, facts.st_ino, facts.st_size)
        if stamp == self._stamp:
            return
        self._keys = {entry["sha256"]: ApiKey(entry["name"], entry["write"]) for entry in _read(self._path)}
        # A file that was just written may change again without a new modification time.
        self._stamp = stamp if time_ns() - facts.st_mtime_ns > _TICK else None


def _read(path: Path) -> list[dict[str, Any]]:
    content = read_json(path, "file of keys", "make one with `triptych make-key`")
    entries = content.get("keys") if isinstance(content, dict) and content.get("format") == FORMAT else None
    fields = {"name": str, "sha256": str, "write": bool}
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and all(isinstance(entry.get(field), kind) for field, kind in fields.items())
        for entry in entries
    ):
        raise DataError(f"{path}: not a file of keys; make one with `triptych make-key`")
    return entries
