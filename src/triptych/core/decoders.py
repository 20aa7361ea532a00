"""Decode untrusted pictures in processes of their own, so that a harmful picture affects no other work.

A decoder may be slow, take gigabytes, or crash. Each process has limits of memory and processor time for every picture,
and is killed if it takes longer than the caller waits. The picture is then refused with the reason.

The pools of the standard library cannot kill a process for one task. They also start their processes from the caller's
main module, which a program that uses this package may not have written for that. So these processes are started as
programs.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Protocol, Self

from PIL import Image

from triptych.core.decoder_process import PICTURE, READY, REPLY, REQUEST, SECRET, Wanted, read, receive, write
from triptych.core.errors import FailureError, PictureError
from triptych.core.images import open_picture
from triptych.core.limits import DEFAULT_LIMITS, Limits

_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from triptych.core.decoder_process import work
work(*json.loads(sys.argv[2]))
"""
_INHERITS = sys.platform != "win32"  # whether a process can inherit a socket and an open file
_START = 120.0  # seconds that a process may take to start
_STUCK = 5.0  # seconds with one picture, or of a start, after which a process counts as stuck
_KEPT = 16 * 1024 * 1024  # bytes of the file in memory that a process keeps between two pictures
_SQUARE = 4096  # pixels of a side that a small picture may be enlarged to
_NOT_NOW = "pictures are not decoded now"
_CLOSED = "pictures are not decoded any more"
_REASON = 500  # bytes of a reason
# glibc gives large blocks back at once, and clearing their pages again takes longer than decoding a small picture.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(16 * 1024 * 1024), "MALLOC_TRIM_THRESHOLD_": str(48 * 1024 * 1024)}
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD")


class OpenPicture(Protocol):
    """Decodes a picture file within limits, and can pad it to a square."""

    def __call__(self, data: bytes, limits: Limits, *, square: int = 0) -> Image.Image:
        """Decode a picture.

        Args:
            data: the file's content.
            limits: what the picture may cost.
            square: side of the square to pad to, in pixels; 0 for none.

        Raises:
            PictureError: the picture cannot be used.
        """
        ...


def open_here(data: bytes, limits: Limits, *, square: int = 0) -> Image.Image:
    """Decode a picture in this process, for files that are trusted."""
    return open_picture(data, limits)


@dataclass(frozen=True)
class Decoded:
    """The parts of a picture that were asked for: its upright RGB pixels, a JPEG, or both."""

    picture: Image.Image | None
    jpeg: bytes


class DecoderError(FailureError):
    """Pictures cannot be decoded now, for a reason other than the picture."""


class DecoderGone(Exception):
    """A process ended, or was ended, while it decoded a picture."""


class Decoders:
    """A pool of processes that decode pictures. Processes are started when needed, and kept.

    Safe to call from many threads. Must be closed, which ends all processes, also those at work.

    Args:
        most: pictures decoded at once.
        patience: seconds after which a picture is given up, in addition to the processor time that its limits allow.
        niceness: by how much the processes give way to others, as of `nice`.
    """

    def __init__(self, most: int, *, patience: float = 300.0, niceness: int = 0) -> None:
        self._most = most
        self._patience = patience
        self._niceness = niceness
        self._slots = BoundedSemaphore(most)
        self._lock = Lock()
        self._idle: list[DecoderProcess] = []
        self._busy: dict[DecoderProcess, float] = {}
        self._starting: dict[object, float] = {}
        self._failed = False
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_picture(self, data: bytes, limits: Limits = DEFAULT_LIMITS, *, square: int = 0) -> Image.Image:
        """Decode a picture file like `core.images.open_picture`, padded to a square if `square` is not 0."""
        picture = self.decode(data, limits, Wanted(square=square)).picture
        assert picture is not None
        return picture

    def decode(self, data: bytes, limits: Limits, wanted: Wanted) -> Decoded:
        """Decode a picture file and return the parts that `wanted` names.

        Raises:
            PictureError: the picture cannot be used, or takes more memory or time than allowed.
            DecoderError: no process could be started, or the pool was closed.
        """
        with self._slots:
            for again in (True, False):
                try:
                    return self._decode(data, limits, wanted)
                except DecoderGone as gone:
                    if self._closed:
                        raise DecoderError(_CLOSED) from None
                    # A system that runs out of memory kills large processes.
                    if again and str(gone) == "SIGKILL":
                        continue
                    raise PictureError(_refusal(str(gone), limits)) from None
        raise AssertionError("the second attempt ends it")

    def start(self) -> None:
        """Start a first process, so that the first picture does not wait for it.

        Raises:
            DecoderError: it could not be started.
        """
        if not self._slots.acquire(timeout=_STUCK):
            raise DecoderError(_NOT_NOW)
        try:
            self._give_back(self._take(), good=True)
        finally:
            self._slots.release()

    def check(self) -> None:
        """Check that a picture could be decoded now.

        Raises:
            DecoderError: all processes are stuck, or none can be started.
        """
        with self._lock:
            now = monotonic()
            stuck = sum(now - since > _STUCK for since in (*self._busy.values(), *self._starting.values()))
        if stuck >= self._most:
            raise DecoderError(_NOT_NOW)
        if self._failed:
            self.start()

    def close(self) -> None:
        """End all processes. Callers that wait for a picture get DecoderError."""
        with self._lock:
            self._closed = True
            idle, busy = [*self._idle], [*self._busy]
            self._idle.clear()
        for process in busy:  # the thread that waits for it does the rest
            process.kill()
        for process in idle:
            process.close()

    def _decode(self, data: bytes, limits: Limits, wanted: Wanted) -> Decoded:
        process = self._take()
        good = False
        try:
            decoded = process.decode(data, limits, wanted, self._patience)
            good = True
            return decoded
        except PictureError:
            good = True
            raise
        finally:
            self._give_back(process, good=good)

    def _give_back(self, process: "DecoderProcess", *, good: bool) -> None:
        with self._lock:
            del self._busy[process]
            kept = good and not self._closed
            if kept:
                self._idle.append(process)
        if not kept:
            process.close()

    def _take(self) -> "DecoderProcess":
        process = self._take_idle()
        if process is not None:
            return process
        process = self._start_process()
        with self._lock:
            self._busy[process] = monotonic()
            if self._closed:  # meanwhile
                process.kill()
        return process

    def _start_process(self) -> "DecoderProcess":
        start = object()
        with self._lock:
            self._starting[start] = monotonic()
        try:
            process = DecoderProcess(self._niceness)
        except OSError as error:
            self._failed = True
            raise DecoderError(f"cannot start a process to decode pictures ({error.strerror or error})") from None
        finally:
            with self._lock:
                del self._starting[start]
        self._failed = False
        return process

    def _take_idle(self) -> "DecoderProcess | None":
        with self._lock:
            if self._closed:
                raise DecoderError(_CLOSED)
            if not self._idle:
                return None
            process = self._idle.pop()
            self._busy[process] = monotonic()
            return process


class DecoderProcess:
    """One process, which decodes one picture at a time.

    Raises:
        OSError: it could not be started.
    """

    def __init__(self, niceness: int = 0) -> None:
        self._shared, self._path = _shared_file()
        try:
            self._socket, self._process = _start(self._path or self._shared, niceness)
        except BaseException:
            self._close_shared()
            raise
        try:
            self._socket.settimeout(_START)
            started = self._socket.recv(1) == READY
        except OSError:
            started = False
        if not started:
            self.close()
            raise OSError(f"it ended with status {self._process.returncode}")

    def decode(self, data: bytes, limits: Limits, wanted: Wanted, patience: float) -> Decoded:
        """Decode a picture file and return the parts that `wanted` names.

        Raises:
            PictureError: the picture was refused.
            DecoderGone: the process ended; the message is the reason.
        """
        about = json.dumps({"limits": asdict(limits), "wanted": asdict(wanted)}).encode()
        try:
            write(self._shared, data, 0)
        except OSError as error:
            raise DecoderError(f"no memory for a picture of {len(data)} bytes ({error.strerror})") from None
        try:
            return self._answer(about, len(data), limits, patience)
        finally:
            if os.fstat(self._shared).st_size > _KEPT:
                os.ftruncate(self._shared, 0)

    def _answer(self, about: bytes, length: int, limits: Limits, patience: float) -> Decoded:
        try:
            self._socket.settimeout(patience)
            self._socket.sendall(REQUEST.pack(len(about), length) + about)
            answer = receive(self._socket, REPLY.size)
            if not answer:
                raise DecoderGone(self._end())
            kind, width, height, copy = REPLY.unpack(answer)
            if kind != PICTURE:
                raise PictureError(receive(self._socket, min(width, _REASON)).decode("utf-8", "replace"))
        except TimeoutError:
            raise DecoderGone(f"{patience:g} s") from None
        except OSError:
            raise DecoderGone(self._end()) from None
        return self._decoded((width, height), copy, limits)

    def kill(self) -> None:
        """End the process at once. May be called from any thread, more than once."""
        self._process.kill()

    def close(self) -> None:
        """End the process and release its resources. Must be called by the thread that uses it."""
        self.kill()
        self._process.wait()
        self._socket.close()
        self._close_shared()

    def _close_shared(self) -> None:
        os.close(self._shared)
        if self._path:
            os.unlink(self._path)

    def _decoded(self, size: tuple[int, int], copy: int, limits: Limits) -> Decoded:
        pixels = size[0] * size[1]
        if pixels > max(limits.max_pixels, _SQUARE**2) or copy > limits.max_bytes:
            raise DecoderGone("its answer is invalid")
        content = bytearray(3 * pixels + copy)
        if not read(self._shared, content):
            raise DecoderGone("its answer is invalid")
        picture = Image.frombytes("RGB", size, memoryview(content)[: 3 * pixels]) if pixels else None
        return Decoded(picture, bytes(content[3 * pixels :]))

    def _end(self) -> str:
        """How a process that no longer answers has ended."""
        try:
            status = self._process.wait(_STUCK)
        except subprocess.TimeoutExpired:
            return "it does not answer"
        return f"it ended with status {status}" if status >= 0 else signal.Signals(-status).name


def _start(shared: int | str, niceness: int) -> "tuple[socket.socket, subprocess.Popen[bytes]]":
    """Start a process, and return the socket to it. `shared` is the number or the path of the shared file.

    Raises:
        OSError: it could not be started.
    """
    if not _INHERITS:
        return _start_by_port(shared, niceness)
    assert isinstance(shared, int)
    ours, theirs = socket.socketpair()
    with theirs:
        return ours, _program((shared, niceness), stdin=theirs.fileno(), pass_fds=[shared])


def _start_by_port(shared: int | str, niceness: int) -> "tuple[socket.socket, subprocess.Popen[bytes]]":
    """As `_start`, where a process inherits nothing: it connects to a port of this machine, and shows a secret."""
    secret = secrets.token_bytes(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1)
        process = _program((shared, niceness, server.getsockname()[1]), stdin=subprocess.PIPE)
        assert process.stdin is not None
        with process.stdin as pipe:
            pipe.write(secret)
        end = monotonic() + _START
        while process.poll() is None and monotonic() < end:
            try:
                connection, _ = server.accept()
                connection.settimeout(_STUCK)
                if receive(connection, SECRET) == secret:
                    return connection, process
                connection.close()
            except OSError:  # nobody connected yet, or another program, which sent nothing
                continue
    process.kill()
    raise OSError(f"it ended with status {process.wait()}")


def _program(arguments: Sequence[int | str], *, stdin: int, pass_fds: Sequence[int] = ()) -> "subprocess.Popen[bytes]":
    # -I and -S: the environment and installed packages cannot run code at the start; the path is our own.
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, json.dumps(sys.path), json.dumps(arguments)]
    environment = {
        name: value for name, value in os.environ.items() if not any(secret in name.upper() for secret in _SECRETS)
    }
    environment |= _MALLOC
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=stdin, stdout=nowhere, stderr=nowhere, env=environment, pass_fds=pass_fds)


def _shared_file() -> tuple[int, str]:
    """A new file that a process can share, in memory if possible; with its path, empty if it is inherited."""
    if not _INHERITS:
        return tempfile.mkstemp(prefix="triptych-")
    if hasattr(os, "memfd_create"):
        return os.memfd_create("picture"), ""
    with tempfile.TemporaryFile() as file:  # it has no name, and is gone when it is closed
        return os.dup(file.fileno()), ""


def _refusal(how: str, limits: Limits) -> str:
    """The reason to refuse a picture whose process ended in this way."""
    if how == "SIGPROF":
        return f"too slow: decoding it takes more than {limits.max_seconds:g} s of processor time"
    if how.endswith(" s"):
        return f"too slow: it was not decoded in {how}"
    return f"its decoder crashed ({how})"
