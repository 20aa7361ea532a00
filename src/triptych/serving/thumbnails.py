"""Pictures as a browser gets them: always drawn anew, so that no metadata and nothing active leaves a file."""

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
_SMALL = 32 * 1024  # bytes of an upload


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG, and what tells it from other drawings, as HTTP's ETag."""

    jpeg: bytes
    tag: str


def draw(data: bytes, side: int, limits: Limits, decoders: Decoders) -> Thumbnail:
    """A JPEG of at most `side` pixels. Raises PictureError where there is no picture within `limits`."""
    jpeg = decoders.decode(data, limits, Wanted(pixels=False, jpeg=side)).jpeg
    return Thumbnail(jpeg, f'"{sha256(jpeg).hexdigest()[:20]}"')


def drawn(picture: Image.Image) -> bytes:
    """A picture that is decoded already as a JPEG to be kept, of at most the side of a thumbnail."""
    small, out = picture.copy(), BytesIO()
    small.thumbnail((SIDES["thumbnail"],) * 2)
    small.save(out, "JPEG", quality=95)
    return out.getvalue()


class ThumbnailCache:
    """JPEGs drawn not long ago, up to so many bytes of them."""

    def __init__(self, most: int = 64 * 1024 * 1024) -> None:
        self._most = most
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Thumbnail] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Thumbnail | None:
        """The drawing of that key, if it is there. The key says which content is drawn."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, drawing: Thumbnail) -> Thumbnail:
        """Keep a drawing for the next one who asks, and return it."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = drawing
                self._bytes += len(drawing.jpeg)
            while self._bytes > self._most:
                self._bytes -= len(self._kept.popitem(last=False)[1].jpeg)
        return drawing


def wanted_of_upload(data: bytes, square: int) -> Wanted:
    """What is made of an upload for a search: the encoder's pixels, and a JPEG to be kept.

    A small file is kept as it is, which costs no time.
    """
    side = SIDES["thumbnail"] if len(data) > _SMALL else 0
    return Wanted(square=square, jpeg=side, quality=95)  # it is drawn anew when it is asked for


@dataclass(frozen=True, eq=False)
class Upload:
    """A picture that a search began with: what of it is kept, in memory alone."""

    reference: Reference
    picture: bytes
    since: float


class Uploads:
    """The last uploaded references, for an hour, so that a search can be refined and its address shared."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._kept: OrderedDict[str, Upload] = OrderedDict()

    def keep(self, reference: Reference, picture: bytes, box: str = "") -> str:
        """Its id, which its content and its box decide: the same picture, sent again, makes an old address work again.

        `picture` is what is shown: of a picture with a box, what lies within.
        """
        name = f"u{sha256(f'{reference.sha256} {box}'.encode()).hexdigest()[:24] if box else reference.sha256[:24]}"
        self._kept[name] = Upload(reference, picture, monotonic())
        self._kept.move_to_end(name)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Upload | None:
        """What was kept under that id, if it still is."""
        upload = self._kept.get(name)
        if upload and monotonic() - upload.since > 60 * _MINUTES:
            self._kept.pop(name, None)
            return None
        if upload:  # what is in use goes last
            self._kept.move_to_end(name)
        return upload
