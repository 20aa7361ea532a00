"""The pictures that a request may name: those of the catalog, and recent uploads."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from triptych.core.boxes import Box
from triptych.core.errors import PictureError, UsageError
from triptych.core.limits import Limits
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.retrieval.query import Reference
from triptych.serving.problems import Problem
from triptych.serving.thumbnails import Uploads


class KnownPictures:
    """`query_building.PictureLookup` for a catalog and its recent uploads. Thread-safe."""

    def __init__(self, catalog: OpenCatalog, uploads: Uploads, limits: Limits) -> None:
        self._catalog = catalog
        self._uploads = uploads
        self._limits = limits

    @property
    def schema(self) -> pa.Schema:
        """The columns that conditions can use."""
        return self._catalog.schema

    def name_of(self, like: str) -> str | None:
        """The name of the picture with this name or id, or the id of an upload; None if there is neither."""
        return like if self._uploads.get(like) else self._catalog.name_of(like)

    def reference(
        self, *, image: Path | str | bytes | None = None, like: str | None = None, box: Box | None = None
    ) -> Reference:
        """The reference for a picture of the catalog, or for a recent upload.

        Raises:
            Problem: there is no such picture.
        """
        if like is None:
            raise UsageError("name a picture")  # a request must not name files of this machine
        upload = self._uploads.get(like)
        if upload is None:
            try:
                return self._catalog.reference(like=like, box=box)
            except UsageError:
                raise Problem(404, "the catalog has no such picture") from None
        if box is None:
            return upload.reference
        try:
            pixels = self._catalog.pixels(upload.picture, self._limits, box=box)
        except PictureError as error:
            raise Problem(422, f"the picture cannot be used: {error}") from None
        vector = self._catalog.encoder.encode_pictures(np.stack([pixels]))[0]
        return Reference(vector, upload.reference.sha256, self._catalog.needed_pixels(lambda: pixels))
