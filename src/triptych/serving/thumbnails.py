"""Pictures for browsers. They are encoded again, so that no metadata and no active content of a file is sent."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from threading import Lock
from time import monotonic

from PIL import Image

from triptych.core.decoder_process import Wanted
from triptych.core.decoders import Decoders
from triptych.core.limits import Limits
from triptych.retrieval.query import Reference

SIDES = {"thumbnail": 256, "full": 1600}
_MINUTES = 60
_SMALL = 32 * 1024  # bytes; a smaller upload is kept as it is


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG and its ETag."""

    jpeg: bytes
    tag: str


def draw(data: bytes, side: int, limits: Limits, decoders: Decoders) -> Thumbnail:
    """Make a JPEG of at most `side` pixels a side. Raises PictureError if there is no picture within `limits`."""
    jpeg = decoders.decode(data, limits, Wanted(pixels=False, jpeg=side)).jpeg
    return Thumbnail(jpeg, f'"{sha256(jpeg).hexdigest()[:20]}"')


def drawn(picture: Image.Image) -> bytes:
    """Make the JPEG to keep of a decoded picture, no larger than a thumbnail."""
    small, out = picture.copy(), BytesIO()
    small.thumbnail((SIDES["thumbnail"],) * 2)
    small.save(out, "JPEG", quality=95)
    return out.getvalue()


class ThumbnailCache:
    """A least-recently-used cache of JPEGs, bounded in bytes."""

    def __init__(self, most: int = 64 * 1024 * 1024) -> None:
        self._most = most
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Thumbnail] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Thumbnail | None:
        """The JPEG of a key, or None. The key includes the content of the file."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, drawing: Thumbnail) -> Thumbnail:
        """Store a JPEG and return it."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = drawing
                self._bytes += len(drawing.jpeg)
            while self._bytes > self._most:
                self._bytes -= len(self._kept.popitem(last=False)[1].jpeg)
        return drawing


def wanted_of_upload(data: bytes, square: int) -> Wanted:
    """What decoding an upload should produce: the encoder's pixels, and a JPEG to keep.

    A small file is kept as it is, which saves time.
    """
    side = SIDES["thumbnail"] if len(data) > _SMALL else 0
    return Wanted(square=square, jpeg=side, quality=95)  # it is encoded once more when it is shown


@dataclass(frozen=True, eq=False)
class Upload:
    """An uploaded reference, kept only in memory."""

    reference: Reference
    picture: bytes
    since: float


class Uploads:
    """The latest uploaded references, kept for an hour, so that a search can be refined and its URL shared."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._kept: OrderedDict[str, Upload] = OrderedDict()

    def keep(self, reference: Reference, picture: bytes, box: str = "") -> str:
        """Store an upload and return its id.

        The id depends only on content and box, so uploading the same picture again makes an old URL work again.
        `picture` is the JPEG to show, cropped to the box.
        """
        name = f"u{sha256(f'{reference.sha256} {box}'.encode()).hexdigest()[:24] if box else reference.sha256[:24]}"
        self._kept[name] = Upload(reference, picture, monotonic())
        self._kept.move_to_end(name)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Upload | None:
        """The upload with this id; None if it has expired."""
        upload = self._kept.get(name)
        if upload and monotonic() - upload.since > 60 * _MINUTES:
            self._kept.pop(name, None)
            return None
        if upload:  # mark it as recently used
            self._kept.move_to_end(name)
        return upload
