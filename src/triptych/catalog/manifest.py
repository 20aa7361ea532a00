"""A catalog's manifest, `catalog.json`: its required content, and whether it has changed."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from triptych.core.errors import CatalogError, DataError
from triptych.core.files import read_json

MANIFEST = "catalog.json"
METADATA = "metadata.parquet"
FORMAT = "triptych-catalog-1"
_PART = re.compile(r"part-\d{6,}\.parquet")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of the catalog in `folder`.

    Raises:
        CatalogError: there is none, or it is damaged.
    """
    try:
        manifest = read_json(folder / MANIFEST, "catalog", "make one with `triptych index`")
    except DataError as error:
        raise CatalogError(str(error)) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CatalogError(f"{folder}: not a catalog of this version ({FORMAT}); index again into a new folder")
    if problem := _problem_of(manifest):
        raise CatalogError(f"{folder}: catalog.json is damaged ({problem}); index again into a new folder")
    return manifest


def stamp_of(folder: Path) -> list[tuple[int, int]]:
    """A value that changes whenever the manifest or the metadata of the catalog are replaced."""
    stamps = []
    for name in (MANIFEST, METADATA):
        with suppress(FileNotFoundError, NotADirectoryError):
            facts = (folder / name).stat()
            stamps.append((facts.st_mtime_ns, facts.st_ino))
    return stamps


def _problem_of(manifest: Mapping[str, Any]) -> str:
    """What a manifest lacks; empty if it is complete."""
    encoder, parts = manifest.get("encoder"), manifest.get("parts")
    if not isinstance(manifest.get("root"), str):
        return "root is no text"
    if not isinstance(encoder, dict) or not all(isinstance(encoder.get(key), str) for key in ("name", "fingerprint")):
        return "encoder has no name or fingerprint"
    if not all(isinstance(encoder.get(key, 0), int) for key in ("dim", "constant_dim")) or encoder.get("dim", 0) < 1:
        return "encoder has no dim"
    if not isinstance(parts, list) or not all(isinstance(part, str) and _PART.fullmatch(part) for part in parts):
        return "parts are not names of parts"
    return ""
