"""A library that was moved keeps its catalog. It is recognised by names and sizes, or by content."""

from collections.abc import Sequence
from typing import TypeVar

from triptych.catalog.catalog import Catalog
from triptych.core.errors import UsageError
from triptych.core.files import hash_file
from triptych.core.finding import Found
from triptych.core.progress import say
from triptych.core.remote import Place, RemotePath

T = TypeVar("T")

_SAMPLE = 50  # pictures whose size or content is compared
_ENOUGH = 0.5  # share of them that must be equal, unless --root says that the library has moved


def follow(catalog: Catalog, found: Found, *, explicit: bool) -> None:
    """Let a catalog follow its pictures to another folder.

    With `explicit`, a person said that the pictures are there, and one of them is enough. Otherwise the old folder must
    be gone or empty, and half of a sample must be the catalog's pictures.

    Raises:
        UsageError: the pictures are not the catalog's.
    """
    if catalog.root == found.root.resolve():
        return
    share = _share(catalog, found)
    if share and (explicit or (share >= _ENOUGH and _is_gone(catalog.root))):
        say(f"{catalog.folder}: its pictures have moved from {catalog.root} to {found.root.resolve()}")
        catalog.move(found.root)
        return
    hint = "" if explicit else f", or, if its pictures have moved, say so with --root {found.root}"
    raise UsageError(
        f"{catalog.folder}: is a catalog of {catalog.root}, not of {found.root.resolve()}; "
        f"choose another --catalog{hint}"
    )


def _is_gone(root: Place) -> bool:
    if isinstance(root, RemotePath):
        return False  # an object store does not vanish by accident; if pictures have moved, --root says so
    try:
        return not any(root.iterdir())
    except OSError:
        return True


def _share(catalog: Catalog, found: Found) -> float:
    """The share of sampled pictures that are the catalog's: by name and size, or else by content."""
    usable = [entry for entry in catalog.entries if entry.status == "ok"]
    same = [entry for entry in _spread(usable) if _size(found.root / entry.name) == entry.bytes]
    if usable and len(same) >= _ENOUGH * len(_spread(usable)):
        return len(same) / len(_spread(usable))
    contents, sizes = {entry.sha256 for entry in usable}, {entry.bytes for entry in usable}
    likely = _spread([name for name in found.names if _size(found.root / name) in sizes])
    known = [name for name in likely if hash_file(found.root / name) in contents]
    return len(known) / max(1, min(len(_spread(found.names)), len(_spread(usable))))


def _spread(items: Sequence[T]) -> Sequence[T]:
    """A few items, evenly spread."""
    return items[:: max(1, len(items) // _SAMPLE)]


def _size(path: Place) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
