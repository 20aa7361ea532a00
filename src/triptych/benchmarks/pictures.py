"""The pictures of a task: file, crop and padding, and whether they exist."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from triptych.benchmarks.task import Box, Task
from triptych.core.errors import DataError, PictureError
from triptych.core.images import load_pictures, open_picture
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.core.progress import progress

Key = tuple[Path, Box | None, float | None]
"""Everything that decides a picture's pixels. Pictures with equal keys are encoded once."""


def picture_key(task: Task, name: str) -> Key:
    """The file of a picture, its crop, and its padding."""
    return task.file(name), task.boxes.get(name), task.padding


def open_task_picture(task: Task, name: str, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """Open a picture of a task, cropped and padded as the task requires.

    Raises:
        PictureError: the picture cannot be read.
    """
    path, box, padding = picture_key(task, name)
    picture = open_picture(path, limits)
    if box is not None:
        picture = crop_square(picture, box)
    return picture if padding is None else pad_to_ratio(picture, padding)


def load_task_pictures(
    task: Task,
    names: Sequence[str],
    *,
    prepare: Callable[[Image.Image], Any],
    what: str,
    limits: Limits = DEFAULT_LIMITS,
) -> Generator[tuple[str, Any], None, None]:
    """Yield each name with its prepared pixels, or with the PictureError of its file."""
    loaded = read_task_pictures(task, names, prepare=prepare, limits=limits, threads=os.cpu_count() or 1)
    return progress(loaded, what, total=len(names), unit="picture")


def read_task_pictures(
    task: Task, names: Sequence[str], *, prepare: Callable[[Image.Image], Any], limits: Limits, threads: int
) -> Iterator[tuple[str, Any]]:
    """Do the same as `load_task_pictures`, without showing progress."""

    def opened(name: str) -> Image.Image:
        return open_task_picture(task, name, limits)

    return load_pictures(task.root, names, threads=threads, prepare=prepare, opened=opened)


def require_folder(task: Task) -> None:
    """Check that the folder of a task's pictures exists.

    Raises:
        DataError: there is no such folder; the message says where to get the pictures.
    """
    if task.source and not task.root.is_dir():
        raise DataError(f"{task.root}: there is no such folder; {task.source}")


def crop_square(picture: Image.Image, box: Box) -> Image.Image:
    """The part of a picture within `box`, centred in a black square (GeneCIS, datasets/vaw_dataset.py).

    Raises:
        PictureError: the box contains no pixel.
    """
    left, top = max(0, round(box[0])), max(0, round(box[1]))
    right, bottom = min(picture.width, round(box[2])), min(picture.height, round(box[3]))
    if right <= left or bottom <= top:
        raise PictureError("the box is outside the picture")
    part = picture.crop((left, top, right, bottom))
    side = max(part.size)
    square = Image.new("RGB", (side, side))
    square.paste(part, ((side - part.width) // 2, (side - part.height) // 2))
    return square


def pad_to_ratio(picture: Image.Image, ratio: float) -> Image.Image:
    """Pad the shorter side with black on both ends, until the longer side is at most `ratio` times as long.

    This is SEARLE's TargetPad, with its rounding (Baldrati et al., ICCV 2023, src/data_utils.py).
    """
    width, height = picture.size
    if max(width, height) / min(width, height) < ratio:
        return picture
    wanted = max(width, height) / ratio
    across, down = (max(int((wanted - side) / 2), 0) for side in (width, height))
    padded = Image.new("RGB", (width + 2 * across, height + 2 * down))
    padded.paste(picture, (across, down))
    return padded
