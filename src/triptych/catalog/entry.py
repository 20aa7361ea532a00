"""The entry of one picture file in a catalog."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

UPLOADS = "uploads"
"""The folder below the catalog's root for pictures that were added while the catalog was open."""

REMOVED = "removed on request"
"""The reason of a picture that was removed while the catalog was open."""

Status = Literal["ok", "rejected", "vanished"]


@dataclass(frozen=True)
class Entry:
    """A picture file in a catalog. `reason` says why it was rejected."""

    name: str
    """Path relative to the catalog's root, with forward slashes."""
    bytes: int
    mtime_ns: int
    sha256: str
    status: Status
    reason: str = ""

    @property
    def added(self) -> bool:
        """Whether the picture was added while the catalog was open, since its content names it. A folder of the owner
        may have the name of the folder of uploads."""
        path = PurePosixPath(self.name)
        return path.parent.as_posix() == UPLOADS and path.stem == self.sha256
