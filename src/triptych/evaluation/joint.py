"""Query vectors of encoders that read a reference's pixels and the words together.

Pictures are streamed, since the pixels of a whole benchmark would not fit in memory.
"""

from collections.abc import Sequence

import numpy as np

from triptych.benchmarks.pictures import load_task_pictures
from triptych.benchmarks.task import Query, Task
from triptych.composers.protocol import ReadsPictures
from triptych.core.errors import DataError, PictureError
from triptych.core.limits import Limits
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder, Pixels

_BATCH = 32  # queries encoded at once; bounds the memory for pixels


def compose_jointly(
    task: Task, queries: Sequence[Query], method: ReadsPictures, encoder: Encoder, limits: Limits
) -> list[Vectors]:
    """Compute query vectors `(n, e)` for each set of wordings.

    If a query has several references, only the first is read. Such queries are counted and reported.

    Raises:
        DataError: a picture cannot be read.
    """
    several = sum(bool(query.more_references) for query in queries)
    if several:
        say(f"{task.name}: {several} queries have several references; a joint query reads only the first")
    asked: dict[str, list[tuple[int, int, str]]] = {}
    for row, query in enumerate(queries):
        for wording, text in enumerate((query.modification, *query.other_wordings)):
            asked.setdefault(query.reference, []).append((wording, row, text))
    found: dict[tuple[int, int], Vectors] = {}
    waiting: list[tuple[Pixels, int, int, str]] = []

    def flush() -> None:
        if waiting:
            pixels = np.stack([each[0] for each in waiting])
            vectors = method.compose_pictures(pixels, [each[3] for each in waiting])
            found.update(((each[1], each[2]), vector) for each, vector in zip(waiting, vectors, strict=True))
            waiting.clear()

    what = f"read {task.name}"
    for name, pixels in load_task_pictures(task, sorted(asked), prepare=encoder.prepare, what=what, limits=limits):
        if isinstance(pixels, PictureError):
            raise DataError(f"{task.file(name)}: {pixels}; put it back, since a joint query needs the picture itself")
        for wording, row, text in asked[name]:
            waiting.append((pixels, wording, row, text))
            if len(waiting) == _BATCH:
                flush()
    flush()
    wordings = 1 + max(len(query.other_wordings) for query in queries)
    return [np.stack([found[wording, row] for row in range(len(queries))]) for wording in range(wordings)]
