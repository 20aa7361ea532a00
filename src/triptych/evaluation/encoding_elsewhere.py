"""`eval --engine ray`: workers of a cluster encode the pictures of a task."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from triptych.benchmarks.pictures import read_task_pictures
from triptych.benchmarks.task import Task
from triptych.core.cluster import Workers
from triptych.core.errors import MismatchError, PictureError
from triptych.core.limits import Limits
from triptych.core.progress import progress, say
from triptych.core.vectors import require_finite_rows
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder, name_elsewhere

_BLOCK = 256  # pictures sent to a worker at once; a multiple of the encoders' batches


def encode_by_workers(
    workers: Workers, encoder: Encoder, task: Task, names: Sequence[str], limits: Limits
) -> dict[str, Any]:
    """Compute the vectors of all readable pictures, by name, as `encode_pictures` does. The others are reported.

    Every machine must see the pictures at the same paths, and have the encoder.

    Raises:
        FailureError: a worker cannot load the encoder by its name, or has another one; or a vector is not finite.
    """
    blocks = [names[start : start + _BLOCK] for start in range(0, len(names), _BLOCK)]
    files = {name: task.files[name] for name in names if name in task.files}
    boxes = {name: task.boxes[name] for name in names if name in task.boxes}
    # Without parts that workers do not need; the gallery and the queries can be large.
    slim = replace(task, root=task.root.resolve(), gallery=(), queries=(), notes={}, files=files, boxes=boxes)
    shared = (name_elsewhere(encoder.name), encoder.fingerprint, slim, limits)
    vector_of: dict[str, Any] = {}
    done = progress(range(len(names)), f"encode {task.name}", total=len(names), unit="picture")
    for results in workers.map(_Encoding, shared, blocks, gpus=True):
        for name, found in results:
            next(done)
            if isinstance(found, str):
                say(f"skipped {name!r}: {found}")
            else:
                vector_of[name] = found
    next(done, None)
    if vector_of:
        require_finite_rows(np.stack([*vector_of.values()]), [*vector_of].__getitem__, f"encoder {encoder.name}")
    return vector_of


class _Encoding:
    """Encodes a block of pictures."""

    def __init__(self, encoder: str, fingerprint: str, task: Task, limits: Limits) -> None:
        # The name may come from a composer's file, so it is never imported as code.
        self._encoder = load_encoder(encoder, threads=1, from_file=True)
        if self._encoder.fingerprint != fingerprint:
            raise MismatchError(f"--engine ray: the encoder {encoder} is another one on a worker; install the same")
        self._task, self._limits = task, limits

    def __call__(self, names: Sequence[str]) -> list[tuple[str, Any]]:
        """Return each name with its vector, or with the reason why there is none."""
        prepare = self._encoder.prepare
        loaded = list(read_task_pictures(self._task, names, prepare=prepare, limits=self._limits, threads=1))
        good = [pixels for _, pixels in loaded if not isinstance(pixels, PictureError)]
        vectors = iter(self._encoder.encode_pictures(np.stack(good)) if good else ())
        return [(name, str(pixels) if isinstance(pixels, PictureError) else next(vectors)) for name, pixels in loaded]
