"""API keys: who may ask, and who may change the catalog. The file holds hashes only; a key is shown once, when made.

A key is 256 random bits, so one round of SHA-256 hides it as well as a slow hash would hide a password.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from triptych.core.errors import DataError, UsageError
from triptych.core.files import read_json, write_json

FORMAT = "triptych-keys-1"


@dataclass(frozen=True)
class ApiKey:
    """Whose key it is, and whether it may add and remove pictures."""

    name: str
    write: bool


def make_key(keys: Path | str, name: str, *, write: bool = False) -> str:
    """A new key for `name`, added to the file `keys`, which is made if need be; one of that name is replaced.

    Raises UsageError for a name that is empty or long, DataError where the file is none of keys.
    """
    if not re.fullmatch(r"[\w.@-]{1,64}", name):
        raise UsageError(f"{name!r}: a key's name has up to 64 letters, digits and . _ @ -")
    keys = Path(keys)
    known = [entry for entry in _read(keys) if entry["name"] != name] if keys.exists() else []
    key = f"tri_{secrets.token_urlsafe(32)}"
    known.append({"name": name, "sha256": sha256(key.encode()).hexdigest(), "write": write})
    write_json(keys, {"format": FORMAT, "keys": known})
    return key


def load_keys(keys: Path) -> Mapping[str, ApiKey]:
    """SHA-256 of each key to whose it is. Raises DataError where the file is none of keys."""
    return {entry["sha256"]: ApiKey(entry["name"], entry["write"]) for entry in _read(keys)}


def find_key(keys: Mapping[str, ApiKey], given: str) -> ApiKey | None:
    """Whose key this is. A lookup by its hash: how long it takes says nothing about the keys that there are."""
    return keys.get(sha256(given.encode("utf-8", "replace")).hexdigest())


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
