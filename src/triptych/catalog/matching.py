"""Find which picture a row of a table means: by path, by file name, or by file
name without suffix; never by a guess."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from triptych.core.remote import Place

BY_PATH, BY_FILE, BY_STEM = 0, 1, 2
"""How surely a key means a picture: by its whole path, by its file name, by that without the suffix."""

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")


@dataclass(frozen=True)
class Match:
    """The pictures that a key may mean, by their places; several if it is ambiguous."""

    level: int
    places: tuple[int, ...]


class PictureNames:
    """Finds a catalog's pictures by the names that tables use.

    Args:
        names: paths relative to `root`, with forward slashes.
        root: their folder, for absolute paths; None if it is not known.
    """

    def __init__(self, names: Sequence[str], root: Place | None = None) -> None:
        self._parts = [PurePosixPath(_normal(name)).parts for name in names]
        self._root = PurePosixPath(_normal(str(root.resolve()))).parts if root else ()
        self._path: dict[str, list[int]] = defaultdict(list)
        self._file: dict[str, list[int]] = defaultdict(list)
        self._stem: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(names):
            path = PurePosixPath(_normal(name))
            self._path[str(path)].append(place)
            self._file[path.name].append(place)
            self._stem[path.stem].append(place)

    def find(self, key: str) -> Match | None:
        """Find what `key` means: a path from the root, an absolute path (also of
        Windows), a file name, or one without suffix."""
        key = _normal(key)
        if places := self._path.get(key):
            return Match(BY_PATH, tuple(places))
        key = key.strip().replace("\\", "/")
        absolute = bool(_ABSOLUTE.match(key))
        parts = tuple(part for part in key.split("/") if part not in {"", "."})
        if not parts:
            return None
        root = self._root[1:]  # without the slash
        below = parts[len(root) :] if absolute and root and parts[: len(root)] == root else parts
        if places := self._path.get("/".join(below)):
            return Match(BY_PATH, tuple(places))
        for level, known, suffix in ((BY_FILE, self._file, True), (BY_STEM, self._stem, False)):
            fits = [(self._agreement(place, parts, absolute, suffix), place) for place in known.get(parts[-1], ())]
            # The longest agreement counts: of a.jpg and deep/a.jpg, C:\x\deep\a.jpg means the second.
            best = max((length for length, _ in fits), default=0)
            if best:
                return Match(level, tuple(place for length, place in fits if length == best))
        return None

    def _agreement(self, place: int, key: tuple[str, ...], absolute: bool, suffix: bool) -> int:
        """How many parts of a picture's path and of a key agree, from the end; 0 if they contradict each other."""
        parts = self._parts[place]
        own = parts if suffix else (*parts[:-1], PurePosixPath(parts[-1]).stem)
        shared = min(len(own), len(key))
        if own[-shared:] != key[-shared:]:
            return 0
        before = key[: len(key) - shared]
        # The part of a relative path before the picture's path must be the end of the root's path.
        if before and not absolute and self._root[-len(before) :] != before:
            return 0
        if absolute and len(own) > shared:
            return 0
        # A bare file name means all pictures with that name.
        return shared if len(key) > 1 else 1


def _normal(text: str) -> str:
    """The same spelling for each character, since systems differ in how they encode ü."""
    return unicodedata.normalize("NFC", text)
