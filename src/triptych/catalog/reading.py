"""Read one picture's file for `index`: its identity, and its pixels or why there are none."""

from dataclasses import dataclass

from triptych.catalog.entry import Entry
from triptych.core.decoders import Decoders
from triptych.core.errors import PictureError
from triptych.core.images import NOT_INDEXED, read_file, reason_of
from triptych.core.limits import Limits
from triptych.core.remote import Place
from triptych.encoders.protocol import Encoder, Pixels, square_side


@dataclass(frozen=True)
class PictureReader:
    """Reads and decodes pictures for an encoder. Safe to call from many threads."""

    encoder: Encoder
    limits: Limits
    decoders: Decoders

    def read(self, path: Place, name: str, content: str | None = None) -> tuple[Entry, Pixels | None] | str:
        """Read a picture's entry and pixels, from the same bytes; the entry has the reason if it cannot be used.

        `content` is the SHA-256 that the file must have, if only that file is meant.
        """
        try:
            file = read_file(path, self.limits)
        except (OSError, ValueError) as error:
            return reason_of(error)
        except PictureError as error:
            return Entry(name, 0, 0, "", "rejected", str(error)), None
        if content is not None and file.sha256 != content:
            return NOT_INDEXED
        known = (name, file.size, file.mtime_ns, file.sha256)
        try:
            if file.size > self.limits.max_bytes:
                raise PictureError(f"too large: {file.size} bytes; at most {self.limits.max_bytes} are accepted")
            return Entry(*known, "ok"), self._prepare(file.data)
        except PictureError as error:
            return Entry(*known, "rejected", str(error)), None

    def _prepare(self, data: bytes) -> Pixels:
        picture = self.decoders.open_picture(data, self.limits, square=square_side(self.encoder))
        return self.encoder.prepare(picture)
