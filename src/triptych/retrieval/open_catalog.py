"""A catalog that is opened once and searched many times, from any thread."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import Any, Self

import numpy as np
import pyarrow as pa
from PIL import Image

from triptych.catalog.catalog import Catalog
from triptych.composers.baselines import DEFAULT_WEIGHT
from triptych.composers.patches import reads_pixels
from triptych.composers.protocol import Composer, attach_encoder
from triptych.composers.truth import verdict_of
from triptych.core.boxes import Box
from triptych.core.decoders import OpenPicture, open_here
from triptych.core.errors import CatalogError, DataError, PictureError, UsageError
from triptych.core.files import locked
from triptych.core.images import read_known
from triptych.core.limits import Limits
from triptych.core.vectors import require_finite_rows
from triptych.encoders.protocol import Encoder, Pixels, square_side
from triptych.retrieval.answering import Answering, Answers
from triptych.retrieval.asking import Pictures, Texts, query_of
from triptych.retrieval.options import SearchOptions
from triptych.retrieval.query import Reference, SearchQuery
from triptych.retrieval.results import Hits, Picture
from triptych.retrieval.snapshot import CatalogSnapshot
from triptych.retrieval.stores.gallery import Gallery, picture_id
from triptych.retrieval.stores.registry import StoreFactory, load_store
from triptych.retrieval.updates import add_pictures, change_metadata, known_name, remove_pictures, upload_name


class OpenCatalog:
    """An open catalog: its vectors in memory, its encoder, and an optional composer. `triptych.open_catalog` makes one.

    Any thread may search, even while another one adds or removes pictures. `weight` is the default weight of the words
    in the sum of picture and words.

    Raises:
        MismatchError: catalog, encoder and composer do not belong together.
    """

    def __init__(
        self,
        catalog: Catalog,
        encoder: Encoder,
        composer: Composer | None = None,
        make_store: StoreFactory | None = None,
        weight: float = DEFAULT_WEIGHT,
    ) -> None:
        catalog.require(encoder)
        if composer is not None:
            attach_encoder(composer, encoder)
        self.encoder = encoder
        self.composer = composer
        self.weight = weight
        self.catalog = catalog
        self.open_picture: OpenPicture = open_here
        """Decodes a picture's file within limits. A service replaces it, to decode in other processes."""
        self._writing = RLock()
        self._make_store = make_store or load_store("exact")
        self._snapshot = CatalogSnapshot(catalog, composer, self._make_store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Does nothing: everything is freed with the object."""

    def __len__(self) -> int:
        return len(self._snapshot.gallery)

    def __iter__(self) -> Iterator[Picture]:
        yield from self.pictures(max(1, len(self)))

    def pictures(self, k: int, *, offset: int = 0, step: int = 1, where: Sequence[str] = ()) -> list[Picture]:
        """Return `k` pictures that fulfil the conditions: every `step`-th from `offset` on. To get all, iterate.

        Raises:
            UsageError: a number is out of its range, or a condition cannot be read.
        """
        if k < 1 or offset < 0 or step < 1:
            raise UsageError("k and step must be at least 1, and offset at least 0")
        snapshot = self._snapshot
        gallery = snapshot.gallery
        fits = gallery.alive & gallery.fulfilling(tuple(where)) if where else gallery.alive
        rows = np.flatnonzero(fits)[offset::step][:k].tolist()
        return [
            self._picture(gallery.names[row], known) for row, known in zip(rows, snapshot.metadata(rows), strict=True)
        ]

    @property
    def metadata(self) -> pa.Table:
        """The columns for conditions, with one row for each picture; the same object until the catalog changes."""
        return self._snapshot.gallery.living

    def picture(self, like: str) -> Picture:
        """Find a picture by its name or id.

        Raises:
            UsageError: there is none.
        """
        snapshot = self._snapshot
        gallery = snapshot.gallery
        row = _row(gallery, like)
        return self._picture(gallery.names[row], snapshot.metadata([row])[0])

    def search(
        self, *, image: Pictures = None, text: Texts = "", options: SearchOptions = SearchOptions(), **fields: Any
    ) -> Hits:
        """Find the pictures that best match a reference picture modified by a text. The reference is never a result.

        Args:
            image: the reference: a picture file or its bytes, or several. A file's name may end in a weight, as in
                `jacket.jpg:0.5`.
            text: what should differ, or several texts. A text may end in a weight, as in `red:0.5`. Either `image` or
                `text` may be missing.
            options: conditions, the number of results, and their order.
            fields: fields of `options` by name, such as `like`, `where`, `weight` or `k`.

        Returns:
            The results, as a list. Its `not_understood` has the words that the encoder does not know, and its
            `reading` says how a too long text was read.

        Raises:
            UsageError: neither a picture nor a text is given, a condition cannot be read, or a weight would have no
                effect.
            DataError: the image cannot be used.
        """
        return self.answer([query_of(self, image, text, replace(options, **fields))]).hits[0]

    def reference(
        self, *, image: Path | str | bytes | None = None, like: str | None = None, box: Box | None = None
    ) -> Reference:
        """Make the reference of a search from a picture, or from a box of it, for any number of queries."""
        if (image is None) == (like is None):
            raise UsageError("start from either an image or a picture of the catalog")
        if like is not None and box is None:
            snapshot = self._snapshot
            row = _row(snapshot.gallery, like)
            name = snapshot.gallery.names[row]
            try:
                vector, content = snapshot.plain.vector(name), snapshot.gallery.hashes[row].decode()
            except KeyError:  # it was removed just now
                raise _missing(like) from None
            return Reference(vector, content, self.needed_pixels(lambda: self._pixels_of(name)))
        what = like or ("picture" if isinstance(image, bytes) else str(image))
        try:
            if like is not None:
                data = self.read(like)
            else:
                data = image if isinstance(image, bytes) else Path(str(image)).read_bytes()
            pixels = self.pixels(data, box=box)
        except PictureError as error:
            raise DataError(f"{what}: {error}") from None
        except OSError as error:
            raise DataError(f"{what}: cannot be read ({error.strerror})") from None
        vector = self.encoder.encode_pictures(pixels[None])[0]
        return Reference(vector, sha256(data).hexdigest(), self.needed_pixels(lambda: pixels))

    def name_of(self, like: str) -> str | None:
        """The name of the picture with this name or id; None if there is none."""
        gallery = self._snapshot.gallery
        row = gallery.row_of.get(like, gallery.row_of_id.get(like))
        return None if row is None else gallery.names[row]

    @property
    def schema(self) -> pa.Schema:
        """The columns that conditions, boosts and orders can use."""
        return self._snapshot.gallery.metadata.schema

    def needed_pixels(self, pixels: Callable[[], Pixels]) -> Callable[[], Pixels] | None:
        """Return `pixels` if the composer reads a reference's pixels, else None, so that they are not kept."""
        return pixels if reads_pixels(self.composer) else None

    def _pixels_of(self, name: str) -> Pixels:
        """Read a picture of the catalog from its file. Raises DataError, without the path, if it is gone."""
        try:
            return self.pixels(self.read(name))
        except PictureError as error:
            raise DataError(f"{name}: {error}; put it back, since the composer reads the reference itself") from None

    def pixels(self, data: bytes, limits: Limits | None = None, *, box: Box | None = None) -> Pixels:
        """Decode a picture file, or a box of it, for the encoder. `limits` defaults to the catalog's limits.

        Raises:
            PictureError: the file is no picture.
        """
        square = 0 if box else square_side(self.encoder)
        picture = self.open_picture(data, limits or self.catalog.limits, square=square)
        return self.encoder.prepare(box.cut(picture) if box else picture)

    def read(self, like: str) -> bytes:
        """Read the file of a picture of the catalog, by name or id.

        Raises:
            UsageError: there is no such picture.
            PictureError: its file is not the one that was indexed.
        """
        gallery = self._snapshot.gallery
        row = _row(gallery, like)
        catalog, content = self.catalog, gallery.hashes[row].decode()
        return read_known(catalog.path(gallery.names[row]), content, catalog.limits, root=catalog.root)

    def check(self, where: Sequence[str]) -> None:
        """Check a condition.

        Raises:
            UsageError: it cannot be read.
        """
        self._snapshot.gallery.fulfilling(tuple(where))

    def answer(self, queries: Sequence[SearchQuery], *, plain: bool = False) -> Answers:
        """Answer many queries at once, which is much faster than one after another.

        With `plain` the weighted sum answers instead of the composer, with the best weight by the composer's verdict.

        Raises:
            UsageError: a condition cannot be read, or a weight would have no effect.
            StoreError: a database does not answer.
        """
        verdict = verdict_of(self.composer) if plain else None
        weight = verdict.sum_weight if verdict else self.weight
        answering = Answering(self.encoder, None if plain else self.composer, weight)
        return answering(queries, self._snapshot, str(self.catalog.root))

    def check_ready(self) -> None:
        """Check that searches can be answered.

        Raises:
            CatalogError: the catalog on disk is gone or damaged.
            StoreError: the store does not answer.
        """
        self.check_catalog()
        self._snapshot.check()

    def check_catalog(self) -> None:
        """Check the catalog on disk.

        Raises:
            CatalogError: it is gone or damaged.
        """
        self._require_catalog()
        self.catalog.check()

    def _require_catalog(self) -> None:
        """Raise CatalogError if the catalog's folder is gone, before a lock would create it again."""
        if not Catalog.exists(self.catalog.folder):
            raise CatalogError(f"{self.catalog.folder}: the catalog is gone; put it back, or restart with another one")

    def load(self) -> None:
        """Load and run everything that the first search would otherwise wait for."""
        self._snapshot.load()
        blank = self.encoder.prepare(Image.new("RGB", (64, 64), "white"))
        nothing = Reference(self.encoder.encode_pictures(blank[None])[0], "", self.needed_pixels(lambda: blank))
        if len(self):
            self.answer([SearchQuery(nothing, "like this", k=1)])

    def add(
        self,
        pictures: Sequence[bytes],
        metadata: Sequence[Mapping[str, Any]] | None = None,
        *,
        limits: Limits | None = None,
        pixels: Sequence[Pixels] | None = None,
    ) -> list[Picture]:
        """Add picture files to the catalog. When this returns, they are stored and can be found.

        They are written to the folder `uploads` below the catalog's root. A picture that the catalog already holds is
        not added again.

        Args:
            pictures: the contents of picture files.
            metadata: for each picture a mapping from columns of the catalog to values; by default empty.
            limits: limits of the picture files; by default the catalog's own.
            pixels: the results of the method `pixels` for the pictures, if they are already computed.

        Returns:
            The pictures, in the order given.

        Raises:
            PictureError: a picture cannot be used. After any error, no picture is added.
            UsageError: metadata does not fit the catalog's columns.
            BusyError: another process is writing to the catalog.
            CatalogError: the catalog is gone or damaged.
            StoreError: the store does not answer.
        """
        metadata = metadata or [{}] * len(pictures)
        prepared = [self.pixels(data, limits) for data in pictures] if pixels is None else pixels
        vectors = self.encoder.encode_pictures(np.stack(prepared))
        require_finite_rows(vectors, lambda row: f"picture {row + 1}", f"encoder {self.encoder.name}")
        with self._changing() as snapshot:
            snapshot.load()
            known = [known_name(snapshot.gallery, data) for data in pictures]
            new = [
                new for new, name in zip(zip(pictures, vectors, metadata, strict=True), known, strict=True) if not name
            ]
            if new:
                snapshot.check_addition(np.stack([vector for _, vector, _ in new]))
                self.catalog.allow(limits.max_pixels if limits else 0)
                snapshot.add(add_pictures(self.catalog, snapshot.gallery, new))
        return [self.picture(name or upload_name(data)) for name, data in zip(known, pictures, strict=True)]

    def update(self, metadata: Mapping[str, Mapping[str, Any]]) -> list[Picture]:
        """Change the metadata of pictures. When this returns, they are stored, and conditions use them.

        Args:
            metadata: maps the name or id of a picture to its new values by column; None removes a value. Other columns
                are unchanged.

        Returns:
            The pictures, in the order given.

        Raises:
            UsageError: the catalog has no such picture, or metadata does not fit its columns.
            BusyError: another process is writing to the catalog.
            CatalogError: the catalog is gone or damaged.
            StoreError: the store does not answer.
        """
        with self._changing() as snapshot:
            gallery = snapshot.gallery
            changes = {gallery.names[_row(gallery, like)]: values for like, values in metadata.items()}
            if any(changes.values()):
                change_metadata(self.catalog, gallery, changes)
            self.refresh()
        return [self.picture(name) for name in changes]

    def remove(self, likes: Sequence[str]) -> None:
        """Remove pictures from the catalog, by name or id.

        Files that `add` wrote are deleted. Other files stay, and a later `index` leaves them out as long as they are
        unchanged.

        Raises:
            UsageError: the catalog has no such picture.
            BusyError: another process is writing to the catalog.
            CatalogError: the catalog is gone or damaged.
            StoreError: the store does not answer.
        """
        with self._changing() as snapshot:
            snapshot.load()
            names = [snapshot.gallery.names[_row(snapshot.gallery, like)] for like in likes]
            snapshot.check()
            remove_pictures(self.catalog, snapshot.gallery, names)
            snapshot.remove(names)

    @contextmanager
    def _changing(self) -> Iterator[CatalogSnapshot]:
        """Hold the catalog for a change, and yield its present state.

        Raises:
            BusyError: another process is writing to the catalog.
            CatalogError: the catalog is gone or damaged.
        """
        self._require_catalog()
        with self._writing, locked(self.catalog.folder):
            self.refresh()
            yield self._snapshot

    def refresh(self) -> bool:
        """Read the catalog again if another process has changed it. Returns whether it was changed."""
        with self._writing:
            if not self._snapshot.is_stale():
                return False
            catalog = Catalog(self.catalog.folder, self.catalog.given_root)
            catalog.require(self.encoder)
            snapshot = CatalogSnapshot(catalog, self.composer, self._make_store)
            snapshot.load()
            self.catalog, self._snapshot = catalog, snapshot
            return True

    def _picture(self, name: str, metadata: Mapping[str, Any]) -> Picture:
        return Picture(picture_id(name), name, str(self.catalog.path(name)), metadata)


def _row(gallery: Gallery, like: str) -> int:
    row = gallery.row_of.get(like)
    if row is None:
        row = gallery.row_of_id.get(like)
    if row is None:
        raise _missing(like)
    return row


def _missing(like: str) -> UsageError:
    return UsageError(f"{like!r}: the catalog has no picture with this name or id")
