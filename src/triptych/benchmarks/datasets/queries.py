"""A user's own queries: a JSON Lines file beside a gallery."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from triptych.benchmarks.task import Query, Task
from triptych.core.errors import DataError
from triptych.core.finding import find_pictures
from triptych.core.remote import Place


def load_queries(path: Path, gallery: Path, root: Path | None = None) -> Task:
    """Load queries over the pictures of a gallery.

    Each line is an object with `reference`, `modification` and `targets`. Optional fields are `candidates` (the only
    names to rank), `exclude` (names that are not ranked) and `change` (the new words, for the oracle baseline). Names
    are relative to the gallery's folder. Other fields and blank lines are ignored. A query's id is its line number. The
    reference is never an answer.

    Args:
        path: the file of queries.
        gallery: a folder of pictures, or a .txt list of names relative to `root`.
        root: the folder of the listed pictures.

    Raises:
        DataError: the file cannot be used; the message names the line.
        UsageError: there is no such gallery.
    """
    found = find_pictures(gallery, root)
    assert isinstance(found.root, Path)  # as the gallery, of this machine
    names = frozenset(found.names)
    return Task(
        benchmark="queries",
        name=path.stem,
        split="all",
        root=found.root,
        gallery=tuple(sorted(names)),
        queries=read_queries(path, found.root, names),
        notes={"queries": str(path), "gallery": str(gallery), "rejected pictures": len(found.rejected)},
    )


def read_queries(path: Path, root: Place, gallery: Collection[str]) -> tuple[Query, ...]:
    """Read the queries of a file over a gallery of pictures below `root`. Their ids are their line numbers.

    Raises:
        DataError: the file cannot be used; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable queries file ({error}); give a JSON Lines file") from None
    queries = tuple(
        _Line(f"{path}:{number}", root, gallery).query(str(number), line)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    )
    if not queries:
        raise DataError(f"{path}: no queries; give one JSON object per line")
    return queries


class _Line:
    """Reads one line of a queries file, and knows its position and the gallery's pictures."""

    def __init__(self, where: str, root: Place, gallery: Collection[str]) -> None:
        self.where = where
        self.root = root
        self.gallery = gallery

    def query(self, name: str, text: str) -> Query:
        content = self._parse(text)
        reference = self._text(content, "reference")
        modification = self._text(content, "modification")
        targets = self._names(content, "targets")
        candidates = self._names(content, "candidates") if content.get("candidates") is not None else None
        exclude = self._names(content, "exclude") if content.get("exclude") is not None else ()

        for picture in (reference, *exclude):
            # These are never answers, so they need not be in the gallery. They are checked against misspelling.
            if picture not in self.gallery and not (self.root / picture).is_file():
                raise self._error(f"there is no picture {picture!r} under {self.root}; correct the name")
        for field, pictures in (("target", targets), ("candidate", candidates or ())):
            for picture in pictures:
                if picture not in self.gallery:
                    raise self._error(f"the {field} {picture!r} is not in the gallery; correct or add it")
        if not targets:
            raise self._error('"targets" is empty; name at least one picture')
        for target in targets:
            if target == reference:
                raise self._error(f"the reference {target!r} is among its own targets; remove it there")
            if target in exclude:
                raise self._error(f'the target {target!r} is also in "exclude"; remove it from one of them')
            if candidates is not None and target not in candidates:
                raise self._error(f"the target {target!r} is not among the candidates; add it to them")
        return Query(
            id=name,
            reference=reference,
            modification=modification,
            targets=frozenset(targets),
            candidates=candidates,
            exclude=frozenset((reference, *exclude)),
            change=self._change(content),
        )

    def _parse(self, text: str) -> Mapping[str, Any]:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._error(f"not JSON ({error}); write one object per line") from None
        if not isinstance(content, dict):
            raise self._error("not a JSON object; write one object per line")
        return content

    def _text(self, content: Mapping[str, Any], field: str) -> str:
        value = self._required(content, field)
        if not isinstance(value, str) or not value.strip():
            raise self._error(f'"{field}" must be a string and not empty')
        return value

    def _names(self, content: Mapping[str, Any], field: str) -> tuple[str, ...]:
        value = self._required(content, field)
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self._error(f'"{field}" must be a list of picture names')
        return tuple(dict.fromkeys(value))

    def _change(self, content: Mapping[str, Any]) -> Mapping[str, str] | None:
        value = content.get("change")
        if value is None:
            return None
        if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
            raise self._error('"change" must be an object of strings, such as {"colour": "red"}')
        return value

    def _required(self, content: Mapping[str, Any], field: str) -> Any:
        if field not in content:
            raise self._error(f'"{field}" is missing; add it')
        return content[field]

    def _error(self, message: str) -> DataError:
        return DataError(f"{self.where}: {message}")
