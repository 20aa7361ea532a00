"""The pictures that a request may name: those of the catalog, and those that were uploaded not long ago."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from triptych.core.boxes import Box
from triptych.core.errors import PictureError, UsageError
from triptych.core.limits import Limits
from triptych.retrieval.library import Library
from triptych.retrieval.query import Reference
from triptych.serving.problems import Problem
from triptych.serving.thumbnails import Uploads


class KnownPictures:
    """What a query is made with: `asking.KnowsPictures` over a catalog and the uploads. Safe in any thread."""

    def __init__(self, library: Library, uploads: Uploads, limits: Limits) -> None:
        self._library = library
        self._uploads = uploads
        self._limits = limits

    @property
    def schema(self) -> pa.Schema:
        """The columns that conditions can be about."""
        return self._library.schema

    def name_of(self, like: str) -> str | None:
        """The name of the picture of that name or id, or the id of an upload; None where it is neither."""
        return like if self._uploads.get(like) else self._library.name_of(like)

    def reference(
        self, *, image: Path | str | bytes | None = None, like: str | None = None, box: Box | None = None
    ) -> Reference:
        """A picture of the catalog, or one uploaded not long ago. Raises Problem where it is neither."""
        if like is None:
            raise UsageError("name a picture")  # a file of this machine is none that a request may name
        upload = self._uploads.get(like)
        if upload is None:
            name = self._library.name_of(like)
            if name is None:
                raise Problem(404, "the catalog has no such picture")
            return self._library.reference(like=name, box=box)
        if box is None:
            return upload.reference
        try:
            pixels = self._library.pixels(upload.picture, self._limits, box=box)
        except PictureError as error:
            raise Problem(422, f"the picture cannot be used: {error}") from None
        vector = self._library.encoder.encode_pictures(np.stack([pixels]))[0]
        return Reference(vector, upload.reference.sha256, self._library.needed_pixels(lambda: pixels))
