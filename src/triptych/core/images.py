"""Open pictures: verified, within limits, as upright RGB. `finding` lists the files."""

import importlib
import logging
import os
import re
import stat
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import file_digest, sha256
from importlib.util import find_spec
from io import BytesIO
from math import isfinite
from threading import Lock
from typing import Any, TypeVar, overload

from PIL import ExifTags, Image, UnidentifiedImageError

from triptych.core.errors import PictureError
from triptych.core.limits import DEFAULT_LIMITS, Limits
from triptych.core.picture_cost import check_cost
from triptych.core.remote import Place, RemotePath

T = TypeVar("T")

# The decoders that may run, whatever a file's name. JPEG includes MPO, a phone's JPEG with a second view.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
WHITE = (255, 255, 255)  # behind transparent pixels
NOT_REGULAR = "not a regular file"
ELSEWHERE = "the folder that its pictures were indexed in is not there; --root says where they lie now"
NOT_INDEXED = "not the file that was indexed; `triptych index` looks again"
NEEDS_HEIF = 'HEIC needs the extra heif: pip install "pillow-heif>=0.18"'
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_TICK = 20_000_000  # ns: the clock of file times may stand still so long
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SILENCED = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_SILENCING = Lock()
# Without a handler of its own, what Pillow logs about a strange TIFF would be printed on standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@cache
def heif_is_installed() -> bool:
    """Whether HEIC can be read, that is, whether the extra `heif` is installed."""
    return find_spec("pillow_heif") is not None


def formats() -> tuple[str, ...]:
    """The decoders that may run here: FORMATS, and HEIF if the extra is installed."""
    if not heif_is_installed():
        return FORMATS
    _register_heif()
    return (*FORMATS, "HEIF")


@cache
def _register_heif() -> None:
    importlib.import_module("pillow_heif").register_heif_opener()


def reader_of(limits: Limits) -> dict[str, Any]:
    """What decides whether a picture is refused: the limits, the version of Pillow, and its formats."""
    from importlib.metadata import version  # here, since a process that only decodes is to start fast

    heif = version("pillow-heif") if heif_is_installed() else None
    return {"pillow": version("pillow"), "heif": heif, "formats": [*FORMATS], **asdict(limits)}


def reason_of(error: Exception) -> str:
    """The reason of an error in one line, without a path or an address."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).lower() or type(error).__name__


def open_picture(
    source: Place | bytes, limits: Limits = DEFAULT_LIMITS, *, before_decoding: Callable[[int], None] | None = None
) -> Image.Image:
    """Decode a picture as 8-bit RGB: upright by its EXIF, transparency on white, the first frame of several.

    The content decides the format, never the name. 16-bit grey is scaled from the full range of its type; 32-bit and
    floating-point grey from the range of its values. Colour profiles and metadata are dropped. The size of a picture,
    and the work that its headers promise, are checked before it is decoded. Safe to call from many threads.

    Decoders are large programs in C. `core.decoders` runs them in processes of their own, for pictures that are not
    trusted.

    Args:
        source: a path, or the content of a file.
        limits: what the picture may cost.
        before_decoding: called with the number of pixels, after it was checked.

    Raises:
        PictureError: the file cannot be read, is no picture in one of FORMATS, is damaged or truncated, or is beyond
            the limits. The message is a short reason without a path.
    """
    _silence_pillow()
    _allow(limits.max_pixels)
    data = source if isinstance(source, bytes) else _read(source, limits)
    _check_bytes(len(data), limits)
    check_cost(data, limits)
    try:
        with Image.open(BytesIO(data), formats=formats()) as picture:
            _check_pixels(*picture.size, limits)
            if before_decoding is not None:
                before_decoding(picture.size[0] * picture.size[1])
            picture.load()
            rgb = _to_rgb(picture)
            rgb.info.clear()
            turn = _UPRIGHT.get(_orientation(picture))
            return rgb if turn is None else rgb.transpose(turn)
    except PictureError:
        raise
    except UnidentifiedImageError:
        if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and not heif_is_installed():
            raise PictureError(NEEDS_HEIF) from None
        raise PictureError(f"not a picture in a known format ({', '.join(formats())})") from None
    except Image.DecompressionBombError:
        raise PictureError(f"too many pixels: at most {limits.max_pixels} are accepted") from None
    except Exception as error:  # a decoder fed with garbage can raise anything
        raise PictureError(f"damaged or truncated ({reason_of(error)})") from None


def _silence_pillow() -> None:
    """Ignore the warnings of Pillow's own modules, for the whole process.

    `warnings.catch_warnings` would swap the filters of all threads, and one thread would undo those of another. A
    lasting filter does not. It is restored if something else, such as a test runner, has reset the filters.
    """
    with _SILENCING:
        if not warnings.filters or warnings.filters[0] != _SILENCED:
            warnings.filterwarnings("ignore", module=r"PIL\.")


def _allow(pixels: int) -> None:
    """Raise Pillow's own limit, which holds for the process, if `pixels` is beyond
    it. Pillow refuses twice that limit."""
    if Image.MAX_IMAGE_PIXELS is not None and pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = pixels


def _read(path: Place, limits: Limits) -> bytes:
    try:
        status = path.stat()
        # Checked before opening, since opening a FIFO would wait forever for a writer.
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(NOT_REGULAR)
        _check_bytes(status.st_size, limits)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise PictureError(reason_of(error)) from None


def read_known(path: Place, content: str, limits: Limits = DEFAULT_LIMITS, *, root: Place | None = None) -> bytes:
    """Read a picture's file if its SHA-256 still is `content`.

    Args:
        path: the file.
        content: SHA-256 of the file that was indexed, in hexadecimal.
        limits: the largest file accepted.
        root: folder of a catalog's pictures. If it is missing, the message says so.

    Raises:
        PictureError: the file is another one, or cannot be read.
    """
    try:
        data = _read(path, limits)
    except PictureError:
        if root is not None and not root.is_dir():
            raise PictureError(ELSEWHERE) from None
        raise
    if sha256(data).hexdigest() != content:
        raise PictureError(NOT_INDEXED)
    return data


@dataclass(frozen=True)
class FileRead:
    """The content and identity of a file, all read at one moment."""

    data: bytes
    size: int
    mtime_ns: int
    """The time of the last change; -1 if it changed while it was read, or so shortly before
    that a clock tick may hide a further change."""
    sha256: str


def read_file(path: Place, limits: Limits = DEFAULT_LIMITS) -> FileRead:
    """Read a picture's file and its identity. If the file is larger than `limits` allow, `data` is empty.

    An object of a store is never changed, only replaced as a whole.

    Raises:
        OSError: the file cannot be read.
        PictureError: it is not a regular file.
    """
    if isinstance(path, RemotePath):
        return _read_object(path, limits)
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise PictureError(NOT_REGULAR)
    if abs(time.time_ns() - status.st_mtime_ns) < _TICK:  # a change right after this one could have the same time
        time.sleep(_TICK / 1e9)
    started = time.time_ns()
    with path.open("rb") as opened:
        before = os.fstat(opened.fileno())
        if before.st_size > limits.max_bytes:
            return FileRead(b"", before.st_size, before.st_mtime_ns, file_digest(opened, "sha256").hexdigest())
        data = opened.read(limits.max_bytes + 1)
        after = os.fstat(opened.fileno())
    changed = (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size) or len(data) != after.st_size
    fresh = abs(started - before.st_mtime_ns) < _TICK
    return FileRead(data, len(data), -1 if changed or fresh else before.st_mtime_ns, sha256(data).hexdigest())


def _read_object(path: RemotePath, limits: Limits) -> FileRead:
    facts = path.stat()
    if facts.st_size > limits.max_bytes:
        raise PictureError(f"too large: {facts.st_size} bytes; at most {limits.max_bytes} are accepted")
    data = path.read_bytes(limits.max_bytes + 1)
    # It may have been replaced since it was listed.
    time_of = facts.st_mtime_ns if len(data) == facts.st_size else -1
    return FileRead(data, len(data), time_of, sha256(data).hexdigest())


def _check_bytes(count: int, limits: Limits) -> None:
    if count == 0:
        raise PictureError("empty: zero bytes")
    if count > limits.max_bytes:
        raise PictureError(f"too large: {count} bytes; at most {limits.max_bytes} are accepted")


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if min(width, height) < limits.min_side:
        raise PictureError(f"too small: {width}x{height}; each side needs {limits.min_side} pixels")
    if width * height > limits.max_pixels:
        raise PictureError(f"too many pixels: {width}x{height}; at most {limits.max_pixels} are accepted")


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation that is still to be applied after load(). Pillow applies that of a TIFF by itself."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # metadata that cannot be read says nothing against the pixels
        return 1


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Convert a loaded picture to a new 8-bit RGB image."""
    if picture.mode.startswith("I;16"):
        return _scale(picture.convert("I"), 0, 65535)
    if picture.mode in {"I", "F"}:
        low, high = picture.getextrema()
        return _scale(picture, low, high)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    rgb = Image.new("RGB", picture.size, WHITE)
    rgb.paste(layer, mask=layer.getchannel("A"))
    return rgb


def _scale(grey: Image.Image, low: Any, high: Any) -> Image.Image:
    if not isfinite(high - low):
        raise ValueError("values that are not finite")
    factor = 255 / ((high - low) or 1)
    return grey.point(lambda value: value * factor + (0.5 - low * factor)).convert("L").convert("RGB")


def pad_square(picture: Image.Image, side: int, fill: tuple[int, int, int] = WHITE) -> Image.Image:
    """Resize a whole RGB picture (bicubic) and centre it in a square of `side`
    pixels, with borders of colour `fill`."""
    ratio = side / max(picture.size)
    width, height = (max(1, round(length * ratio)) for length in picture.size)
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    if width == height:
        return resized
    square = Image.new("RGB", (side, side), fill)
    square.paste(resized, ((side - width) // 2, (side - height) // 2))
    return square


@overload
def load_pictures(
    root: Place, names: Sequence[str], *, threads: int, limits: Limits = DEFAULT_LIMITS
) -> Iterator[tuple[str, Image.Image | PictureError]]: ...
@overload
def load_pictures(
    root: Place,
    names: Sequence[str],
    *,
    threads: int,
    prepare: Callable[[Image.Image], T],
    opened: Callable[[str], Image.Image] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[tuple[str, T | PictureError]]: ...
def load_pictures(
    root: Place,
    names: Sequence[str],
    *,
    threads: int,
    prepare: Callable[[Image.Image], Any] | None = None,
    opened: Callable[[str], Image.Image] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[tuple[str, Any]]:
    """Load pictures in several threads, in order.

    Args:
        root: the folder that the names start from.
        names: the pictures.
        threads: pictures decoded at once. At most 2 * `threads` pictures are read ahead.
        prepare: called with each picture in the same thread, so that only its result is kept. Any exception but
            PictureError ends the loading.
        opened: opens a picture by its name, for pictures that are not simply the file of their name.
        limits: what a picture may cost.

    Yields:
        Each name with its picture, or with the PictureError that says why there is none.
    """

    def load(name: str) -> Any:
        try:
            picture = open_picture(root / name, limits) if opened is None else opened(name)
            return picture if prepare is None else prepare(picture)
        except PictureError as error:
            # A new exception, since the traceback of the old one keeps the whole file in memory.
            return PictureError(str(error))

    yield from work_ahead(names, load, threads=threads)


def work_ahead(names: Sequence[str], work: Callable[[str], T], *, threads: int) -> Iterator[tuple[str, T]]:
    """Call `work` on each name in several threads, and yield the results in order, at most 2 * `threads` ahead."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
    ahead: deque[tuple[str, Future[T]]] = deque()
    try:
        for name in names:
            ahead.append((name, pool.submit(work, name)))
            if len(ahead) == 2 * threads:
                first, future = ahead.popleft()
                yield first, future.result()
        while ahead:
            first, future = ahead.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
