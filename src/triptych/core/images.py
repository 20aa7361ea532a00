"""Pictures: found in a folder or a list, opened, verified, brought to upright RGB, within limits."""

import heapq
import logging
import os
import re
import stat
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, TypeVar, overload

from PIL import ExifTags, Image, UnidentifiedImageError

from triptych.core.errors import DataError, PictureError, UsageError

T = TypeVar("T")

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
# The decoders that may run, whatever a file is called; JPEG includes MPO, a phone's JPEG with a second view.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
WHITE = (255, 255, 255)
_NOT_UTF8 = "its name is not valid UTF-8; rename it"
_NOT_REGULAR = "not a regular file"

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_HUSHED = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_HUSHING = Lock()
# Without a handler of its own, what Pillow logs about a strange TIFF would be printed on standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Limits:
    """What is accepted: pixels on the shorter side, pixels in all, bytes in the file.

    Pillow itself refuses more than twice its MAX_IMAGE_PIXELS (179 million pixels), whatever is asked here.
    """

    min_side: int = 8
    max_pixels: int = 64_000_000
    max_bytes: int = 256 * 1024 * 1024


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Rejected:
    """A picture, link or folder that is left out, by its printable name, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Found:
    """Names of pictures, as POSIX paths relative to `root`, and what was left out, sorted by code point."""

    root: Path
    names: list[str]
    rejected: list[Rejected]


def find_pictures(source: Path, root: Path | None = None) -> Found:
    """List the pictures in a folder and all below it, or those that a .txt list names, one path a line.

    In a folder, SUFFIXES tell what is a picture, what starts with a dot is ignored, and links are followed,
    each real folder once and by its own path if it has one here. A list may name files of any suffix,
    relative to `root` or else to its own folder. Nothing is opened: what is found may yet be unsound.

    Raises UsageError if `source` is neither a folder nor a list, or `root` makes no sense, and DataError if
    the list cannot be read. An unreadable folder, a broken link, a name that is not UTF-8 is only rejected.
    """
    if os.path.isdir(source):
        if root is not None:
            raise UsageError(f"{source}: a folder is its own root; leave the root out, or give a .txt list")
        return _walk(source)
    if os.path.isfile(source) and source.suffix.lower() == ".txt":
        root = source.parent if root is None else root
        if not os.path.isdir(root):
            raise UsageError(f"{root}: not a folder; give the one that the paths in {source} start from")
        return _read_list(source, root)
    problem = "is neither" if os.path.lexists(source) else "does not exist; give"
    raise UsageError(f"{source}: {problem} a folder of pictures or a .txt list of them")


def _walk(root: Path) -> Found:
    names: set[str] = set()
    rejected: dict[str, str] = {}
    above = root.resolve().parents
    seen: set[tuple[int, int]] = set()
    # A heap of (is a link, name): real folders come first, so that a link to one of them renames nothing.
    waiting = [(False, "")]
    while waiting:
        linked, folder = heapq.heappop(waiting)
        try:
            if linked and (root / folder).resolve() in above:
                rejected[folder] = "a link to a folder that contains this one; not followed"
                continue
            status = (root / folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(root / folder) as listing:
                entries = list(listing)
        except OSError as error:
            rejected[folder or "."] = _why(error)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = f"{folder}/{entry.name}" if folder else entry.name
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                broken = entry.is_symlink() and isinstance(error, FileNotFoundError)
                rejected[_printable(name)] = "a broken link" if broken else _why(error)
                continue
            if not stat.S_ISDIR(mode) and os.path.splitext(name)[1].lower() not in SUFFIXES:
                continue
            if name != _printable(name):
                rejected[_printable(name)] = _NOT_UTF8
            elif stat.S_ISDIR(mode):
                heapq.heappush(waiting, (entry.is_symlink(), name))
            elif stat.S_ISREG(mode):
                names.add(name)
            else:
                rejected[name] = _NOT_REGULAR
    return _in_order(root, names, rejected)


def _read_list(source: Path, root: Path) -> Found:
    try:
        text = source.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({_why(error)})") from None
    names: set[str] = set()
    rejected: dict[str, str] = {}
    # Not splitlines(): a name may hold one of the rarer line separators.
    for line in (line.removesuffix("\r") for line in text.split("\n")):
        if not line.strip():
            continue
        name = str(PurePosixPath(line))
        if reason := _objection(root, name):
            rejected[_printable(name)] = reason
        else:
            names.add(name)
    return _in_order(root, names, rejected)


def _objection(root: Path, name: str) -> str | None:
    """Why a listed `name` is left out; None if it is not."""
    path = PurePosixPath(name)
    if name != _printable(name):
        return _NOT_UTF8
    if path.is_absolute() or ".." in path.parts:
        return "leads outside the root folder"
    try:
        regular = stat.S_ISREG((root / path).stat().st_mode)
    except (OSError, ValueError) as error:
        return _why(error)
    return None if regular else _NOT_REGULAR


def _in_order(root: Path, names: set[str], rejected: dict[str, str]) -> Found:
    return Found(root, sorted(names), [Rejected(name, reason) for name, reason in sorted(rejected.items())])


def _printable(name: str) -> str:
    """`name` itself, or with each byte that is not UTF-8 shown as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _why(error: Exception) -> str:
    """One line without a path or an address: the system's reason, or what a decoder said."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split()).lower() or type(error).__name__


def open_picture(source: Path | bytes, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """Decode a picture whole: 8-bit RGB, upright by its EXIF, alpha on white, the first frame of several.

    The content decides the format, never the name. 16-bit grey is scaled from the full range of its type,
    32-bit and floating-point grey from the range of its values. Colour profiles and metadata are dropped.
    Safe to call from many threads.

    Raises PictureError, with a short reason and no path, for whatever cannot be read, is no picture in one of
    FORMATS, is damaged or truncated, or is beyond `limits`. A picture's size is judged before it is decoded.
    """
    _hush_pillow()
    data = source if isinstance(source, bytes) else _read(source, limits)
    _check_bytes(len(data), limits)
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as picture:
            _check_pixels(*picture.size, limits)
            picture.load()
            rgb = _to_rgb(picture)
            rgb.info.clear()
            turn = _UPRIGHT.get(_orientation(picture))
            return rgb if turn is None else rgb.transpose(turn)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"not a picture in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise PictureError(f"too many pixels: at most {limits.max_pixels} are accepted") from None
    except Exception as error:  # a decoder fed with garbage can raise anything
        raise PictureError(f"damaged or truncated ({_why(error)})") from None


def _hush_pillow() -> None:
    """Ignore the warnings of Pillow's own modules, for the whole process.

    warnings.catch_warnings would swap the filters of all threads, each undoing the others'. A lasting filter
    does not; it is put back where something else, such as a test runner, has restored those of before.
    """
    with _HUSHING:
        if not warnings.filters or warnings.filters[0] != _HUSHED:
            warnings.filterwarnings("ignore", module=r"PIL\.")


def _read(path: Path, limits: Limits) -> bytes:
    try:
        status = path.stat()
        # Asked before it is opened: opening a FIFO would wait for a writer, for ever.
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(_NOT_REGULAR)
        _check_bytes(status.st_size, limits)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise PictureError(_why(error)) from None


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
    """The EXIF orientation still to apply, after load(): Pillow turns a TIFF by itself."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # metadata that cannot be read says nothing against the pixels
        return 1


def _to_rgb(picture: Image.Image) -> Image.Image:
    """A new 8-bit RGB image of the loaded `picture`."""
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
    """Resize the whole RGB `picture` (bicubic) into the middle of a `side` x `side` square of `fill`."""
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
    root: Path, names: Sequence[str], *, threads: int, limits: Limits = DEFAULT_LIMITS
) -> Iterator[tuple[str, Image.Image | PictureError]]: ...
@overload
def load_pictures(
    root: Path,
    names: Sequence[str],
    *,
    threads: int,
    prepare: Callable[[Image.Image], T],
    opened: Callable[[str], Image.Image] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[tuple[str, T | PictureError]]: ...
def load_pictures(
    root: Path,
    names: Sequence[str],
    *,
    threads: int,
    prepare: Callable[[Image.Image], Any] | None = None,
    opened: Callable[[str], Image.Image] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[tuple[str, Any]]:
    """Yield each name, in order, with its picture or the PictureError that says why there is none.

    `threads` decode at once, at most 2 * `threads` pictures ahead of the reader. `prepare` runs in the same
    thread, so that only what it returns is kept; what it raises, other than PictureError, ends the loading.
    `opened` is for pictures that are not simply the file of their name.
    """

    def load(name: str) -> Any:
        try:
            picture = open_picture(root / name, limits) if opened is None else opened(name)
            return picture if prepare is None else prepare(picture)
        except PictureError as error:
            # A new one: the traceback of the old keeps the whole file in memory.
            return PictureError(str(error))

    pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
    ahead: deque[tuple[str, Future[Any]]] = deque()
    try:
        for name in names:
            ahead.append((name, pool.submit(load, name)))
            if len(ahead) == 2 * threads:
                first, future = ahead.popleft()
                yield first, future.result()
        while ahead:
            first, future = ahead.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
