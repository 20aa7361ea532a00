"""Pictures in an object store: folders and files by their addresses, such as `s3://bucket/pictures`, through pyarrow.

Keys are read where the store's own tools read them: from the environment, a file of the user, or the machine's role.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from triptych.core.errors import UsageError

SCHEMES = ("s3", "gs", "abfs", "memory")
"""The supported stores. `memory` is fsspec's store within one process, for tests."""


@dataclass(frozen=True)
class ObjectFacts:
    """Facts about an object, as `os.stat_result` has them about a file."""

    st_mode: int
    st_size: int
    st_mtime_ns: int
    """The time of the last change; 0 if the store does not know it."""


class RemotePath:
    """A folder of an object store, or an object in it. It has the methods of `Path` that are needed to read pictures.

    Args:
        address: the folder, such as `s3://bucket/pictures?region=eu-west-1`. The options after the question mark are
            those of pyarrow's `FileSystem.from_uri`.
        name: a path below it; empty for the folder itself.

    Raises:
        UsageError: the scheme is unknown, or the address holds a key.
    """

    def __init__(self, address: str, name: str = "") -> None:
        parts = urlsplit(address)
        if parts.scheme not in SCHEMES:
            raise UsageError(f"{address}: pictures are read from folders, and from {', '.join(SCHEMES)} by ://")
        public = parts.scheme == "gs" and parts.username == "anonymous" and parts.password is None
        if "@" in parts.netloc and parts.scheme != "abfs" and not public:
            shown = f"{parts.scheme}://…@{parts.netloc.rpartition('@')[2]}{parts.path}"
            raise UsageError(f"{shown}: leave the key out of the address, which a catalog records")
        self._address, self._name = address, name
        self._listed: dict[str, ObjectFacts] = {}

    def __truediv__(self, name: str | PurePosixPath) -> "RemotePath":
        below = RemotePath(self._address, str(PurePosixPath(self._name) / name))
        below._listed = self._listed
        return below

    def __str__(self) -> str:
        if not self._name:
            return self._address
        return f"{self._address.partition('?')[0].rstrip('/')}/{self._name}"

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and (self._address, self._name) == (other._address, other._name)

    def __hash__(self) -> int:
        return hash((self._address, self._name))

    def __reduce__(self) -> tuple[type["RemotePath"], tuple[str, str]]:
        return RemotePath, (self._address, self._name)  # without the listing

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self._name or urlsplit(self._address).path).name

    @property
    def suffix(self) -> str:
        """The suffix of the last part."""
        return PurePosixPath(self.name).suffix

    def resolve(self) -> "RemotePath":
        """The path itself: an address does not depend on where the program runs."""
        return self

    def is_dir(self) -> bool:
        """Whether this is the folder of the address. No request is made."""
        return not self._name

    def is_file(self) -> bool:
        """Whether there is such an object."""
        try:
            return stat.S_ISREG(self.stat().st_mode)
        except OSError:
            return False

    def exists(self) -> bool:
        """Whether there is such an object or folder."""
        return self.is_dir() or self.is_file()

    def stat(self) -> ObjectFacts:
        """The facts of the object. No request is made if its folder was listed.

        Raises:
            OSError: there is none, or the store does not answer.
        """
        if self._name in self._listed:
            return self._listed[self._name]
        from pyarrow.fs import FileType

        filesystem, path = self._opened()
        with _plain_errors():
            info = filesystem.get_file_info(path)
        if info.type == FileType.NotFound:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return _facts(info)

    def read_bytes(self, most: int = -1) -> bytes:
        """The content, or its first `most` bytes.

        Raises:
            OSError: there is no such object, or the store does not answer.
        """
        filesystem, path = self._opened()
        with _plain_errors(), filesystem.open_input_stream(path) as stream:
            return bytes(stream.read(None if most < 0 else most))

    def listed(self) -> dict[str, ObjectFacts]:
        """Every object below the folder, by its path from there. `stat` knows them from now on.

        Raises:
            OSError: there is no such folder, or the store does not answer.
        """
        from pyarrow.fs import FileSelector

        filesystem, path = self._opened()
        with _plain_errors():
            found = filesystem.get_file_info(FileSelector(path, recursive=True))
        start = len(path.rstrip("/")) + 1
        facts = {info.path[start:]: _facts(info) for info in found}
        self._listed = {name: one for name, one in facts.items() if stat.S_ISREG(one.st_mode)}
        return self._listed

    def _opened(self) -> tuple[Any, str]:
        filesystem, base = _filesystem(self._address)
        return filesystem, f"{base.rstrip('/')}/{self._name}" if self._name else base


Place = Path | RemotePath
"""A folder or file of this machine, or of an object store."""


def place_of(given: Path | str) -> Place:
    """The folder or file that an argument names. `file://…`, and a path without a scheme, is on this machine.

    Raises:
        UsageError: the scheme is unknown, or the address holds a key.
    """
    if isinstance(given, str) and "://" in given:
        if given.startswith("file://"):
            return Path(urlsplit(given).path)
        return RemotePath(given)
    return Path(given)


@lru_cache(maxsize=16)
def _filesystem(address: str) -> tuple[Any, str]:
    """The store of an address, and the path of the folder in it.

    Raises:
        UsageError: the address cannot be read, or a library is missing.
        OSError: the store does not answer.
    """
    import pyarrow as pa
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    if address.startswith("memory://"):
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise UsageError(f"{address}: needs fsspec: pip install fsspec") from None

        filesystem, path = url_to_fs(address)
        return PyFileSystem(FSSpecHandler(filesystem)), path
    try:
        with _plain_errors():
            filesystem, path = FileSystem.from_uri(address)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UsageError(f"{address}: {str(error).splitlines()[0]}") from None
    return filesystem, path


def _facts(info: Any) -> ObjectFacts:
    from pyarrow.fs import FileType

    kind = {FileType.File: stat.S_IFREG, FileType.Directory: stat.S_IFDIR}.get(info.type, 0)
    return ObjectFacts(kind, info.size or 0, info.mtime_ns or 0)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise the errors of a store as `OSError`, without its addresses and request ids."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
    except PermissionError:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
    except OSError as error:
        if "ACCESS_DENIED" in str(error) or "403" in str(error):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        raise OSError(errno.EIO, f"the object store does not answer ({type(error).__name__})") from None
