"""Store feedback on results, such as clicks, as lines that `triptych triplets import` reads."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from time import time

from triptych.serving.problems import Problem, busy

MOST_BYTES = 100 * 1024 * 1024
"""The largest size of the file. Further feedback is refused, so that clients cannot fill the disk."""


class FeedbackFile:
    """A file of judgements, one JSON object a line, that is only appended to. Thread-safe.

    A positive judgement has `reference`, `modification` and `targets`, like `queries.jsonl`. A negative one has
    `unwanted` in place of targets.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()

    def add(self, reference: str, modification: str, results: Sequence[str], verdict: str, user: str) -> None:
        """Store a judgement on pictures of the catalog, by their names. When this returns, it is written to disk.

        Raises:
            Problem: the file is full.
        """
        field = "unwanted" if verdict == "bad" else "targets"
        record = {
            "reference": reference,
            "modification": modification,
            "targets": [],
            field: list(results),
            "verdict": verdict,
            "user": user,
            "time": round(time()),
        }
        line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._lock:
            size = self._path.stat().st_size if self._path.exists() else 0
            if size + len(line) > MOST_BYTES:
                raise busy("the feedback file is full; the operator should move it")
            # One write, so that a killed process leaves whole lines, or at most a part of the last one.
            with self._path.open("ab", buffering=0) as out:
                out.write(line if not size or self._ends_whole() else b"\n" + line)
                os.fsync(out.fileno())

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as given:
            given.seek(-1, os.SEEK_END)
            return given.read(1) == b"\n"


def need(file: FeedbackFile | None) -> FeedbackFile:
    """Return the feedback file.

    Raises:
        Problem: the service stores no feedback.
    """
    if file is None:
        raise Problem(403, "this service stores no feedback; start it with --feedback FILE")
    return file
