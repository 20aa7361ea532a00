"""Soft labels: a verifier's scores of how well candidates answer a reference and a text.

`eval --rerank-out` writes them, and `train --soft-labels` trains on them. So a composer learns from a model that is too
slow to search with. The file has one JSON object per line:

    {"reference": name, "modification": text, "candidates": [names], "scores": [from 0 to 1]}
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from triptych.catalog.matching import PictureNames
from triptych.core.errors import DataError
from triptych.core.files import write_bytes
from triptych.core.progress import say

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class SoftLabel:
    """The scores of one query's candidates."""

    reference: str
    modification: str
    candidates: tuple[str, ...]
    scores: tuple[float, ...]
    """From 0 to 1, one for each candidate."""


def write_soft_labels(path: Path, labels: Iterable[SoftLabel]) -> None:
    """Write labels as JSON Lines."""
    lines = [json.dumps(asdict(label), ensure_ascii=False) + "\n" for label in labels]
    say(f"{path}: the scores of {len(lines)} queries")
    write_bytes(path, "".join(lines).encode())


@dataclass(frozen=True)
class SoftLabels:
    """Labels as rows of a catalog."""

    references: Rows
    """The row of each label's reference `(n,)`."""
    words: NDArray[Any]
    """The composer's input for each label's text, one row each."""
    candidates: Rows
    """The rows of each label's candidates `(n, k)`, padded with the last candidate."""
    scores: NDArray[np.float32]
    """The scores of the candidates `(n, k)`; minus infinity for padding."""

    def some(self, which: Rows) -> "SoftLabels":
        """Select labels by their positions."""
        return SoftLabels(self.references[which], self.words[which], self.candidates[which], self.scores[which])

    @classmethod
    def read(cls, path: Path, names: Sequence[str], encode: Callable[[list[str]], NDArray[Any]]) -> Self:
        """Read the labels whose pictures a catalog has. What is left out is counted and reported.

        Args:
            path: the file.
            names: the catalog's pictures. A label names a picture by its path or by its file name without suffix.
            encode: makes the composer's input of texts.

        Raises:
            DataError: the file cannot be read, or has no label with two candidates of the catalog.
        """
        known = PictureNames(names)

        def row(name: str) -> int | None:
            match = known.find(name)
            return match.places[0] if match and len(match.places) == 1 else None

        kept: list[tuple[int, str, list[int], list[float]]] = []
        unknown = left_out = 0
        for label in _labels(path):
            reference = row(label.reference)
            found = [
                (at, score)
                for name, score in zip(label.candidates, label.scores, strict=True)
                if (at := row(name)) is not None
            ]
            unknown += len(label.candidates) - len(found)
            if reference is None or len(found) < 2:
                left_out += 1
                continue
            kept.append((reference, label.modification, [at for at, _ in found], [score for _, score in found]))
        if left_out or unknown:
            say(
                f"{path}: the catalog lacks {unknown} candidates, which are left out; {left_out} queries are left "
                "out, since their reference or all but one of their candidates are missing"
            )
        if not kept:
            raise DataError(f"{path}: no query has two candidates in the catalog; use scores over the same pictures")
        most = max(len(rows) for _, _, rows, _ in kept)
        return cls(
            np.array([reference for reference, *_ in kept], np.int64),
            encode([text for _, text, _, _ in kept]),
            np.array([rows + rows[-1:] * (most - len(rows)) for _, _, rows, _ in kept], np.int64),
            np.array([each + [-np.inf] * (most - len(each)) for _, _, _, each in kept], np.float32),
        )


def _labels(path: Path) -> Iterable[SoftLabel]:
    """The labels of a file.

    Raises:
        DataError: a line is not a soft label; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable ({error})") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            names, scores = tuple(record["candidates"]), tuple(float(score) for score in record["scores"])
            label = SoftLabel(record["reference"], record["modification"], names, scores)
            texts = (label.reference, label.modification, *names)
            if not all(isinstance(text, str) for text in texts) or len(names) != len(scores):
                raise ValueError
            if not all(0 <= score <= 1 for score in scores):
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(f"{path}:{number}: not a soft label; eval --rerank-out writes such lines") from None
        yield label
