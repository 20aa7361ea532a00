"""Find pictures in a folder or a list, and record everything else that was met, with its kind and the reason."""

import heapq
import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal

from triptych.core.errors import DataError, UsageError
from triptych.core.images import NEEDS_HEIF, NOT_REGULAR, heif_is_installed, reason_of
from triptych.core.remote import Place, RemotePath

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
)
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""Suffixes that are read if the extra `heif` is installed."""

# Folders, in lower case, that cameras, desktops and NAS systems make beside the pictures.
_THUMBNAILS = frozenset({"@eadir", ".@__thumb", "@__thumb", ".thumbnails", ".thumbs", ".thumb", ".picasaoriginals"})
_SYSTEM = frozenset(
    {"#recycle", "@recycle", "@recently-snapshot", "#snapshot", "$recycle.bin", "system volume information"}
    | {"__macosx", "lost+found"}
)
_NOT_UTF8 = "its name is not valid UTF-8; rename it"

Kind = Literal["missing", "unreadable", "refused"]
PLURALS: Mapping[str, str] = {
    "missing": "missing files",
    "unreadable": "unreadable folders and paths",
    "refused": "refused paths",
}
"""The names of kinds of rejected items in counts."""


@dataclass(frozen=True)
class Rejected:
    """A picture, link or folder that cannot be used, by its printable name."""

    name: str
    reason: str
    kind: Kind = field(default="refused", compare=False)
    """`missing`: it does not exist. `unreadable`: its content is unknown now. `refused`: it is no path to a picture."""


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not treated as a picture, by its printable name."""

    name: str
    kind: str
    """Its kind in counts: a suffix, such as `.heic`, or `hidden`, `excluded`, `thumbnail folders`, …"""
    reason: str


@dataclass(frozen=True)
class Found:
    """The names of pictures as POSIX paths relative to `root`, and everything
    else that was met, sorted by code point."""

    root: Place
    names: list[str]
    rejected: list[Rejected]
    left_out: list[LeftOut] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """How many items of each kind were left out or rejected, most frequent first."""
        kinds = [PLURALS[item.kind] for item in self.rejected] + [item.kind for item in self.left_out]
        return dict(Counter(sorted(kinds)).most_common())

    def hides(self, name: str) -> bool:
        """Whether `name` lies in a folder that cannot be read now, so that its existence is unknown."""
        below = {"", *(parent.as_posix() for parent in PurePosixPath(name).parents)}
        return any(item.kind == "unreadable" and (item.name == name or item.name in below) for item in self.rejected)


def find_pictures(source: Place, root: Path | None = None, *, exclude: Sequence[str] = ()) -> Found:
    """List the pictures in a folder and all folders below it, or those that a .txt list names, one path a line.

    In a folder, pictures are recognized by their suffix. Names that start with a dot and folders of thumbnails are left
    out. Links are followed; each real folder is read once, under its own path if it has one here. A list may name files
    with any suffix, relative to `root` or else to its own folder. No file is opened, so a listed picture may still be
    damaged. A folder of an object store is listed at once, with sizes and times, so that no object is asked for alone.

    Args:
        source: the folder, also of an object store, or the list.
        root: the folder that the names of a list start from.
        exclude: shell patterns, such as `*.gif` or `private/*`. Files whose name, or path from the root, matches one
            are left out.

    Returns:
        The pictures and whatever else was met. An unreadable folder, a broken link, or a name that is not UTF-8 is
        listed as rejected.

    Raises:
        UsageError: `source` is neither a folder nor a list, or `root` does not fit it.
        DataError: the list or the object store cannot be read.
    """
    if isinstance(source, RemotePath):
        if root is not None:
            raise UsageError(f"{source}: a folder needs no root; leave the root out")
        return _find_objects(source, exclude)
    if os.path.isdir(source):
        if root is not None:
            raise UsageError(f"{source}: a folder needs no root; leave the root out, or give a .txt list")
        return _Walk(source, exclude).found()
    if os.path.isfile(source) and source.suffix.lower() == ".txt":
        root = source.parent if root is None else root
        if not os.path.isdir(root):
            raise UsageError(f"{root}: not a folder; give the one that the paths in {source} start from")
        return _read_list(source, root, exclude)
    problem = "is neither" if os.path.lexists(source) else "does not exist; give"
    raise UsageError(f"{source}: {problem} a folder of pictures or a .txt list of them")


def _read_suffixes() -> frozenset[str]:
    """The suffixes of pictures that are read with the extras that are installed."""
    return SUFFIXES | HEIF_SUFFIXES if heif_is_installed() else SUFFIXES


def _find_objects(root: RemotePath, exclude: Sequence[str]) -> Found:
    """The pictures of an object store, by the same rules as those of a folder."""
    suffixes = _read_suffixes()
    try:
        listed = root.listed()
    except FileNotFoundError:
        raise UsageError(f"{root}: there is no such folder in the store") from None
    except OSError as error:
        raise DataError(f"{root}: cannot be listed: {reason_of(error)}") from None
    names: set[str] = set()
    left_out: dict[str, LeftOut] = {}
    for name in listed:
        suffix = os.path.splitext(name)[1].lower()
        heads = _heads(name)
        unwanted = ((head, _unwanted_name(head, exclude, folder=head != name)) for head in heads)
        if found := next(((head, kind) for head, kind in unwanted if kind), None):
            left_out[found[0]] = LeftOut(_printable(found[0]), *found[1])
        elif suffix not in suffixes:
            left_out[name] = _unread(name, suffix)
        else:
            names.add(name)
    return _in_order(root, names, {}, [*left_out.values()])


class _Walk:
    """Reads a folder and all folders below it, once."""

    def __init__(self, root: Path, exclude: Sequence[str]) -> None:
        self.root = root
        self.exclude = exclude
        self.suffixes = _read_suffixes()
        self.names: set[str] = set()
        self.rejected: dict[str, Rejected] = {}
        self.left_out: list[LeftOut] = []
        # A heap of (is a link, name). Real folders come first, so that a link to one of them changes no name.
        self.waiting = [(False, "")]

    def found(self) -> Found:
        above = self.root.resolve().parents
        seen: set[tuple[int, int]] = set()
        while self.waiting:
            linked, folder = heapq.heappop(self.waiting)
            try:
                if linked and (self.root / folder).resolve() in above:
                    self._reject(folder, "a link to a folder that contains this one; not followed")
                    continue
                status = (self.root / folder).stat()
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(self.root / folder) as listing:
                    entries = list(listing)
            except OSError as error:
                self._reject(folder or ".", reason_of(error), "unreadable")
                continue
            for entry in entries:
                self._meet(entry, f"{folder}/{entry.name}" if folder else entry.name)
        return _in_order(self.root, self.names, self.rejected, self.left_out)

    def _meet(self, entry: os.DirEntry[str], name: str) -> None:
        if kind := _unwanted(entry, name, self.exclude):
            self.left_out.append(LeftOut(_printable(name), *kind))
            return
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            broken = entry.is_symlink() and isinstance(error, FileNotFoundError)
            if broken or not isinstance(error, FileNotFoundError):  # else it went while the folder was read
                self._reject(name, "a broken link" if broken else reason_of(error), "unreadable")
            return
        suffix = os.path.splitext(name)[1].lower()
        if not stat.S_ISDIR(mode) and suffix not in self.suffixes:
            self.left_out.append(_unread(name, suffix))
        elif name != _printable(name):
            self._reject(name, _NOT_UTF8)
        elif stat.S_ISDIR(mode):
            heapq.heappush(self.waiting, (entry.is_symlink(), name))
        elif stat.S_ISREG(mode):
            self.names.add(name)
        else:
            self._reject(name, NOT_REGULAR)

    def _reject(self, name: str, reason: str, kind: Kind = "refused") -> None:
        self.rejected[_printable(name)] = Rejected(_printable(name), reason, kind)


def _unwanted(entry: os.DirEntry[str], name: str, exclude: Sequence[str]) -> tuple[str, str] | None:
    """The kind and the reason of a file that is left out by its name alone; None if it is not left out."""
    special = entry.name.lower() in _THUMBNAILS | _SYSTEM
    return _unwanted_name(name, exclude, folder=special and _is_folder(entry))


def _unwanted_name(name: str, exclude: Sequence[str], *, folder: bool) -> tuple[str, str] | None:
    """As `_unwanted`, by a path from the root; `folder` is asked only of names that folders of a system have."""
    if pattern := _excluded(name, exclude):
        return "excluded", f"excluded by {pattern}"
    lowered = name.rpartition("/")[2].lower()
    if folder and lowered in _THUMBNAILS:
        return "thumbnail folders", "a folder of thumbnails"
    if folder and lowered in _SYSTEM:
        return "system folders", "a folder of the system, such as a wastebasket"
    return ("hidden", "hidden: its name starts with a dot") if lowered.startswith(".") else None


def _excluded(name: str, exclude: Sequence[str]) -> str:
    """The first pattern that excludes `name`; empty if none does."""
    base = name.rpartition("/")[2]
    patterns = ((pattern, pattern.strip("/").removeprefix("./")) for pattern in exclude)
    return next((said for said, bare in patterns if fnmatchcase(base, bare) or fnmatchcase(name, bare)), "")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _unread(name: str, suffix: str) -> LeftOut:
    # Short and printable, since a person reads this key.
    kind = _printable(suffix) if 1 < len(suffix) <= 12 and suffix.isprintable() else "other files"
    reason = NEEDS_HEIF if suffix in HEIF_SUFFIXES else f"not read: {kind} is no suffix of a picture format known here"
    return LeftOut(_printable(name), kind, reason if kind != "other files" else "not read: no suffix of a picture")


def _read_list(source: Path, root: Path, exclude: Sequence[str]) -> Found:
    try:
        text = source.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({reason_of(error)})") from None
    names: set[str] = set()
    rejected: dict[str, Rejected] = {}
    left_out: dict[str, LeftOut] = {}
    # Not splitlines(), since a name may contain one of the rarer line separators.
    for line in (line.removesuffix("\r") for line in text.split("\n")):
        if not line.strip():
            continue
        name = str(PurePosixPath(line))
        if pattern := next((found for part in _heads(name) if (found := _excluded(part, exclude))), ""):
            left_out[name] = LeftOut(_printable(name), "excluded", f"excluded by {pattern}")
        elif objection := _objection(root, name):
            rejected[_printable(name)] = objection
        else:
            names.add(name)
    return _in_order(root, names, rejected, list(left_out.values()))


def _heads(name: str) -> list[str]:
    """A path, and every folder above it."""
    parts = name.split("/")
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _objection(root: Path, name: str) -> Rejected | None:
    """Why a listed `name` cannot be used; None if it can."""
    path, shown = PurePosixPath(name), _printable(name)
    if name != shown:
        return Rejected(shown, _NOT_UTF8)
    if path.is_absolute() or ".." in path.parts:
        return Rejected(shown, "leads outside the root folder")
    try:
        regular = stat.S_ISREG((root / path).stat().st_mode)
    except FileNotFoundError as error:
        return Rejected(shown, reason_of(error), "missing")
    except NotADirectoryError as error:
        return Rejected(shown, reason_of(error), "missing")
    except OSError as error:
        return Rejected(shown, reason_of(error), "unreadable")
    except ValueError as error:
        return Rejected(shown, reason_of(error))
    return None if regular else Rejected(shown, NOT_REGULAR)


def _in_order(root: Place, names: set[str], rejected: dict[str, Rejected], left_out: list[LeftOut]) -> Found:
    in_order = sorted(left_out, key=lambda item: item.name)
    return Found(root, sorted(names), [rejected[name] for name in sorted(rejected)], in_order)


def _printable(name: str) -> str:
    r"""The name, with each byte that is not UTF-8 written as \xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
