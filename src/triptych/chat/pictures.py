"""Prepare pictures for a model: downscaled and encoded as data URLs, separately or side by side in one image."""

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from threading import Lock

from PIL import Image, ImageDraw, ImageFont

from triptych.core.images import WHITE, open_picture, pad_square
from triptych.core.limits import DEFAULT_LIMITS, Limits

_LABEL = 22  # pixels above each of the pictures side by side
_GAP = 6  # pixels between pictures side by side
_REMEMBERED = 64 * 1024 * 1024  # bytes of data URLs


class PictureUrls:
    """Makes data URLs of pictures and remembers the last ones, since a picture is in many groups.

    Only pixels are sent. A file's own metadata, such as where it was taken, are not. Safe to call from many threads.

    Raises:
        PictureError: a picture cannot be read.
    """

    def __init__(
        self,
        path_of: Callable[[str], Path | bytes],
        *,
        size: int,
        quality: int,
        limits_of: Callable[[], Limits] = lambda: DEFAULT_LIMITS,
        opened: Callable[[Path | bytes, Limits], Image.Image] = open_picture,
    ) -> None:
        self._opened = opened
        self._path_of = path_of
        self._limits_of = limits_of
        self._size = size
        self._quality = quality
        self._urls: OrderedDict[str, str] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def _open(self, name: str) -> Image.Image:
        return self._opened(self._path_of(name), self._limits_of())

    def url(self, name: str) -> str:
        """The data URL of one picture, with at most `size` pixels on a side."""
        with self._lock:
            if name in self._urls:
                self._urls.move_to_end(name)
                return self._urls[name]
        picture = self._open(name)
        picture.thumbnail((self._size, self._size), Image.Resampling.LANCZOS)
        url = self._encode(picture)
        with self._lock:
            if name not in self._urls:
                self._urls[name] = url
                self._bytes += len(url)
            while self._bytes > _REMEMBERED and len(self._urls) > 1:
                self._bytes -= len(self._urls.popitem(last=False)[1])
        return url

    def remembers(self, names: Iterable[str]) -> bool:
        """Whether the URLs of all these pictures are remembered."""
        with self._lock:
            return all(name in self._urls for name in names)

    def side_by_side(self, labelled: Sequence[tuple[str, str]]) -> str:
        """The data URL of several pictures in rows of up to four, given as (label, name), each below its label."""
        across = min(4, len(labelled))
        down = -(-len(labelled) // across)
        width, height = self._size + _GAP, self._size + _LABEL + _GAP
        sheet = Image.new("RGB", (across * width + _GAP, down * height + _GAP), WHITE)
        draw = ImageDraw.Draw(sheet)
        font = ImageFont.load_default(16)
        for place, (label, name) in enumerate(labelled):
            left, top = _GAP + place % across * width, _GAP + place // across * height
            draw.text((left, top), label, (0, 0, 0), font)
            sheet.paste(pad_square(self._open(name), self._size), (left, top + _LABEL))
        return self._encode(sheet)

    def _encode(self, picture: Image.Image) -> str:
        content = BytesIO()
        picture.save(content, "JPEG", quality=self._quality)
        return f"data:image/jpeg;base64,{b64encode(content.getvalue()).decode()}"
