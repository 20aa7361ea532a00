"""The program of the process that decodes pictures for `core.decoders`.

The process limits its own memory and processor time for each picture, and ends if a picture exceeds them (not on
Windows, which has no such limits). It imports little, so that it starts fast. Messages go through a socket. A picture's
file and its pixels go through a shared file, so that neither process waits for the other piece by piece.
"""

import json
import os
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from triptych.core.errors import PictureError
from triptych.core.images import formats, open_picture, pad_square
from triptych.core.limits import Limits

try:
    import resource
except ImportError:  # Windows; only the caller's limit on time holds there
    resource = None  # type: ignore[assignment]

REQUEST = struct.Struct(">IQ")
"""The length of the JSON that follows, with limits and wanted parts, and the length
of the picture's file in the shared file."""
REPLY = struct.Struct(">BIII")
"""Width and height of the pixels and bytes of the JPEG, which follow each other in the shared
file; or the length of a reason, which follows."""
READY, PICTURE, REFUSED = b"+", 0, 1
SECRET = 16
"""Bytes by which the process shows the main program that it is its own, if they cannot inherit a socket."""
_BASE = 192 * 1024 * 1024  # bytes that a process may use besides the picture: interpreter, libraries, tables
_PER_PIXEL = 24  # bytes; enough for the most expensive formats (WebP, AVIF, 16 bits) and their copies as RGB
_OPEN_FILES = 64  # that a process may have open: libraries, the socket and the shared file


@dataclass(frozen=True)
class Wanted:
    """What the process returns of a picture. The less it returns, the cheaper the transfer."""

    pixels: bool = True
    square: int = 0
    """The side of the square that the pixels are resized and padded to, as
    `core.images.pad_square` does; 0 for the whole picture."""
    jpeg: int = 0
    """The longest side of a JPEG; 0 for none."""
    quality: int = 88


def work(shared: int | str, niceness: int, port: int | None = None) -> None:
    """Answer requests until the main program closes the socket.

    Args:
        shared: the shared file: its number if it was inherited, else its path.
        niceness: by how much the process gives way to others, as of `nice`.
        port: where the main program listens on this machine; None if standard input is the socket.
    """
    # A signal to the whole group is meant for the main program, which may have to finish requests.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(OSError, AttributeError):  # Windows has none
        os.nice(niceness)
    _limit_for_good()
    formats()
    _decode_in_one_thread()
    requests = socket.socket(fileno=0) if port is None else _connected(port)
    file = os.open(shared, os.O_RDWR | getattr(os, "O_BINARY", 0)) if isinstance(shared, str) else shared
    requests.sendall(READY)
    while header := receive(requests, REQUEST.size):
        about, length = REQUEST.unpack(header)
        given = json.loads(receive(requests, about))
        _allow_memory(2 * length)
        requests.sendall(_answer(_first(file, length), Limits(**given["limits"]), Wanted(**given["wanted"]), file))


def _first(file: int, count: int) -> bytes:
    """The first `count` bytes of the file."""
    if hasattr(os, "pread"):
        return os.pread(file, count, 0)
    os.lseek(file, 0, os.SEEK_SET)  # Windows
    return os.read(file, count)


def _connected(port: int) -> socket.socket:
    """A connection to the main program, which gives the secret at standard input."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(sys.stdin.buffer.read(SECRET))
    return connection


def receive(messages: socket.socket, count: int) -> bytes:
    """Read exactly `count` bytes; returns no bytes if the other side has closed the connection."""
    content = b""
    while len(content) < count:
        piece = messages.recv(count - len(content))
        if not piece:
            return b""
        content += piece
    return content


def _answer(data: bytes, limits: Limits, wanted: Wanted, shared: int) -> bytes:
    _allow_seconds(limits.max_seconds)
    try:
        picture = open_picture(
            data, limits, before_decoding=lambda pixels: _allow_memory(2 * len(data) + _PER_PIXEL * pixels)
        )
        shown = pad_square(picture, wanted.square) if wanted.square else picture
        pixels = shown.tobytes() if wanted.pixels else b""
        jpeg = _jpeg(picture, wanted) if wanted.jpeg else b""
    except PictureError as refused:
        memory = isinstance(refused.__context__, MemoryError)
        return _refused("needs too much memory to be decoded" if memory else str(refused))
    except MemoryError:
        return _refused("needs too much memory to be decoded")
    write(shared, pixels, 0)
    write(shared, jpeg, len(pixels))
    return REPLY.pack(PICTURE, *(shown.size if wanted.pixels else (0, 0)), len(jpeg))


def _refused(reason: str) -> bytes:
    text = reason.encode("utf-8", "replace")
    return REPLY.pack(REFUSED, len(text), 0, 0) + text


def _jpeg(picture: Image.Image, wanted: Wanted) -> bytes:
    picture.thumbnail((wanted.jpeg, wanted.jpeg), Image.Resampling.LANCZOS)
    out = BytesIO()
    picture.save(out, "JPEG", quality=wanted.quality)
    return out.getvalue()


def write(file: int, data: bytes, place: int) -> None:
    """Write all of `data` to the file, from offset `place` on."""
    view = memoryview(data)
    while view:
        if hasattr(os, "pwrite"):
            written = os.pwrite(file, view, place)
        else:  # Windows
            os.lseek(file, place, os.SEEK_SET)
            written = os.write(file, view)
        view, place = view[written:], place + written


def read(file: int, into: bytearray) -> bool:
    """Fill `into` from the start of the file. Returns whether the file was long enough."""
    view, place = memoryview(into), 0
    while place < len(view):
        if hasattr(os, "preadv"):
            got = os.preadv(file, [view[place:]], place)
        else:  # Windows, and macOS before version 11
            os.lseek(file, place, os.SEEK_SET)
            piece = os.read(file, len(view) - place)
            got = len(piece)
            view[place : place + got] = piece
        if not got:
            return False
        place += got
    return True


def _limit_for_good() -> None:
    if resource is not None:
        _limit(resource.RLIMIT_CORE, 0, for_good=True)
        _limit(resource.RLIMIT_NOFILE, _OPEN_FILES, for_good=True)


def _allow_memory(beside: int) -> None:
    """Allow a picture to take this many bytes from now on."""
    if resource is not None:
        _limit(resource.RLIMIT_DATA, _BASE + beside)


def _allow_seconds(seconds: float) -> None:
    """Allow this many seconds of processor time from now on. After that the system ends the process with SIGPROF."""
    if hasattr(signal, "setitimer"):  # finer than a limit on the process's seconds
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit(what: int, value: int, *, for_good: bool = False) -> None:
    with suppress(ValueError, OSError):  # not every system has each of them
        _, most = resource.getrlimit(what)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(what, (value, value if for_good else most))


def _decode_in_one_thread() -> None:
    """Keep decoders from starting threads, since each picture that is decoded at once has a process of its own."""
    with suppress(ImportError):
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    heif = sys.modules.get("pillow_heif")
    if heif is not None:
        heif.options.DECODE_THREADS = 1
    Image.preinit()
