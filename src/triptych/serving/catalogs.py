"""Several catalogs in one process, each below its own path and with its own keys, from a file that names them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.core.errors import DataError
from triptych.core.files import read_json

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FIELDS = ("catalog", "composer", "encoder", "keys", "vocabulary")
_MOST = 50


@dataclass(frozen=True)
class NamedCatalog:
    """A further catalog, served below `/c/NAME/`."""

    name: str
    catalog: Path
    composer: str | None = None
    encoder: str | None = None
    keys: Path | None = None
    vocabulary: Path | None = None


def read_catalogs(path: Path) -> list[NamedCatalog]:
    """Read a file of catalogs: `{"shoes": {"catalog": DIR, "composer": DIR, "keys": FILE}}`. Paths are relative to it.

    Raises:
        DataError: the file has other content.
    """
    content = read_json(path, "file of catalogs", 'write {"shoes": {"catalog": "DIR"}}')
    if not isinstance(content, dict) or len(content) > _MOST:
        raise DataError(f'{path}: must be an object of at most {_MOST} catalogs, {{"shoes": {{"catalog": "DIR"}}}}')
    return [_named(path, name, given) for name, given in content.items()]


def _named(path: Path, name: str, given: Any) -> NamedCatalog:
    if not _NAME.fullmatch(name):
        raise DataError(f"{path}: {name[:80]!r}: a catalog's name has up to 64 lower-case letters, digits, - and _")
    if not isinstance(given, Mapping) or not given.get("catalog"):
        raise DataError(f"{path}: {name}: must be an object with the field `catalog`")
    if unknown := sorted(set(given) - set(_FIELDS)):
        raise DataError(f"{path}: {name}: unknown field {unknown[0]!r}; there are {', '.join(_FIELDS)}")
    if not all(value is None or isinstance(value, str) for value in given.values()):
        raise DataError(f"{path}: {name}: every field must be a string")

    def found(field: str) -> Path | None:
        return path.parent / given[field] if given.get(field) else None

    composer, folder = given.get("composer"), found("composer")
    if folder and folder.is_dir():
        composer = str(folder)
    return NamedCatalog(
        name, path.parent / given["catalog"], composer, given.get("encoder"), found("keys"), found("vocabulary")
    )
