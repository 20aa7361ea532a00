"""A catalog opened once and searched many times, from any thread."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import RLock
from time import perf_counter
from typing import Any, Self

import numpy as np
import pyarrow as pa
from PIL import Image

from triptych.catalog.catalog import Catalog
from triptych.composers.baselines import DEFAULT_WEIGHT
from triptych.composers.negation import wishes_of
from triptych.composers.patches import reads_pixels
from triptych.composers.protocol import Composer, attach_encoder, readings_of
from triptych.core.decoders import OpenPicture, open_here
from triptych.core.errors import CatalogError, DataError, PictureError, UsageError
from triptych.core.files import locked
from triptych.core.images import read_known
from triptych.core.limits import Limits
from triptych.core.vectors import require_finite_rows
from triptych.encoders.protocol import Encoder, Pixels, TextReading, square_side
from triptych.retrieval.query import Reference, SearchQuery, query_vectors
from triptych.retrieval.results import Hit, Hits, Picture
from triptych.retrieval.snapshot import CatalogSnapshot
from triptych.retrieval.stores.gallery import Gallery, picture_id
from triptych.retrieval.stores.protocol import SearchTerms, StoreHit
from triptych.retrieval.stores.registry import StoreFactory, load_store
from triptych.retrieval.updates import add_pictures, known_name, remove_pictures, upload_name


@dataclass(frozen=True)
class Answers:
    """The hits of each query, and the seconds that went into encoding them all and into finding their neighbours."""

    hits: list[Hits]
    encoding: float
    finding: float


class Library:
    """A catalog, its encoder, and perhaps a composer, in memory. `triptych.open_catalog` makes one.

    Searching is safe in any thread, also while another one adds or removes.

    `weight` is that of the words in the sum of picture and words, where a search names none.

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
        """Decodes a picture's file within limits; a service sets it to what does so in other processes."""
        self._writing = RLock()
        self._make_store = make_store or load_store("exact")
        self._snapshot = CatalogSnapshot(catalog, composer, self._make_store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held that the end of the process would not give back."""

    def __len__(self) -> int:
        return len(self._snapshot.gallery)

    def __iter__(self) -> Iterator[Picture]:
        yield from self.pictures(max(1, len(self)))

    def pictures(self, k: int, *, offset: int = 0, step: int = 1) -> list[Picture]:
        """`k` pictures, every `step`-th from the `offset`-th on; for all of them, iterate.

        Raises UsageError for a number that makes no sense.
        """
        if k < 1 or offset < 0 or step < 1:
            raise UsageError("k and step must be at least 1, and offset at least 0")
        snapshot = self._snapshot
        gallery = snapshot.gallery
        rows = list(gallery.row_of.values())[offset::step][:k]
        return [
            self._picture(gallery.names[row], known) for row, known in zip(rows, snapshot.metadata(rows), strict=True)
        ]

    @property
    def metadata(self) -> pa.Table:
        """The columns that conditions can be about, one row a picture."""
        gallery = self._snapshot.gallery
        return gallery.metadata.filter(pa.array(gallery.alive))

    def picture(self, like: str) -> Picture:
        """The picture of that name or id. Raises UsageError where there is none."""
        snapshot = self._snapshot
        gallery = snapshot.gallery
        row = _row(gallery, like)
        return self._picture(gallery.names[row], snapshot.metadata([row])[0])

    def search(
        self,
        *,
        image: Path | str | bytes | None = None,
        like: str | None = None,
        text: str = "",
        weight: float | None = None,
        where: Sequence[str] | str = (),
        k: int = 10,
        offset: int = 0,
    ) -> Hits:
        """The pictures that best answer a reference picture, changed as a text says; the reference is never one.

        Args:
            image: the reference, a picture file or its bytes.
            like: instead of it, a picture of the catalog by its name or id.
            text: what should differ; it may be all that is given, or missing.
            weight: of the text in the sum of picture and text, from 0 to 1; only where both are given, and there is
                no composer.
            where: a condition over the metadata, such as `price<50 and colour in (red, pink)`, or several, all of which
                must hold; applied before the choice.
            k: how many results.
            offset: how many of the best to leave out.

        Returns:
            The results, a list; its `not_understood` has the words of which the encoder knows no piece, and its
            `reading` how a text was read that is longer than the encoder reads at once.

        Raises:
            UsageError: there is neither a picture nor a text, a condition cannot be read, or a weight would not count.
            DataError: the image cannot be used.
        """
        reference = None
        if image is not None or like is not None:
            reference = self.reference(image=image, like=like)
        conditions = (where,) if isinstance(where, str) else tuple(where)
        return self.answer([SearchQuery(reference, text, weight, conditions, k, offset)]).hits[0]

    def reference(self, *, image: Path | str | bytes | None = None, like: str | None = None) -> Reference:
        """What `search` starts from, to be used in as many a `SearchQuery` as you like."""
        if (image is None) == (like is None):
            raise UsageError("start from an image or from a picture of the catalog, one of the two")
        if like is not None:
            snapshot = self._snapshot
            row = _row(snapshot.gallery, like)
            name = snapshot.gallery.names[row]
            vector, content = snapshot.plain.vector(name), snapshot.gallery.hashes[row].decode()
            return Reference(vector, content, self.needed_pixels(lambda: self._pixels_of(name)))
        assert image is not None
        what = "picture" if isinstance(image, bytes) else str(image)
        try:
            data = image if isinstance(image, bytes) else Path(image).read_bytes()
            pixels = self.pixels(data)
        except PictureError as error:
            raise DataError(f"{what}: {error}") from None
        except OSError as error:
            raise DataError(f"{what}: cannot be read ({error.strerror})") from None
        vector = self.encoder.encode_pictures(pixels[None])[0]
        return Reference(vector, sha256(data).hexdigest(), self.needed_pixels(lambda: pixels))

    def needed_pixels(self, pixels: Callable[[], Pixels]) -> Callable[[], Pixels] | None:
        """A reference's `pixels` if the composer reads them; None, so that they are not kept, if it does not."""
        return pixels if reads_pixels(self.composer) else None

    def _pixels_of(self, name: str) -> Pixels:
        """A picture of the catalog, read from its file. Raises DataError, which names no path, if it is gone."""
        try:
            return self.pixels(self.read(name))
        except PictureError as error:
            raise DataError(f"{name}: {error}; the composer looks at the reference itself, so put it back") from None

    def pixels(self, data: bytes, limits: Limits | None = None) -> Pixels:
        """A picture file as the encoder reads it, within the catalog's limits or others.

        Raises PictureError where it is none.
        """
        picture = self.open_picture(data, limits or self.catalog.limits, square=square_side(self.encoder))
        return self.encoder.prepare(picture)

    def read(self, like: str) -> bytes:
        """The file of a picture of the catalog, by name or id.

        Raises UsageError where there is none of that name, PictureError where its file is not the one that was indexed.
        """
        gallery = self._snapshot.gallery
        row = _row(gallery, like)
        catalog, content = self.catalog, gallery.hashes[row].decode()
        return read_known(catalog.path(gallery.names[row]), content, catalog.limits, root=catalog.root)

    def check(self, where: Sequence[str]) -> None:
        """Raise UsageError for a condition that cannot be read."""
        self._snapshot.gallery.fulfilling(tuple(where))

    def answer(self, queries: Sequence[SearchQuery]) -> Answers:
        """Answer many queries at once, which costs far less than one after another.

        Raises UsageError for a condition that cannot be read or a weight that would not count, StoreError where a
        database does not answer.
        """
        for query in queries:
            self._check_weight(query)
        snapshot = self._snapshot
        started = perf_counter()
        vectors = query_vectors(queries, self.encoder, self.composer, self.weight)
        encoded = perf_counter()
        found: list[list[StoreHit]] = [[] for _ in queries]
        own_space = [self.composer is not None and query.composed for query in queries]
        for composed in set(own_space):
            rows = [row for row, own in enumerate(own_space) if own == composed]
            store = snapshot.composed if composed else snapshot.plain
            lists = store.search(np.stack([vectors[row] for row in rows]), [_terms(queries[row]) for row in rows])
            for row, names in zip(rows, lists, strict=True):
                found[row] = names
        finding = perf_counter() - encoded
        readings = self._readings(queries)
        hits = [
            Hits(self._hits(snapshot, names, query.offset), reading, self._unwanted(query))
            for names, query, reading in zip(found, queries, readings, strict=True)
        ]
        return Answers(hits, encoded - started, finding)

    def _unwanted(self, query: SearchQuery) -> tuple[str, ...]:
        """What the words of a query exclude, where that was subtracted."""
        if query.composed and self.composer is not None and not getattr(self.composer, "signed_texts", False):
            return ()
        return wishes_of(query.text.strip()).unwanted

    def _check_weight(self, query: SearchQuery) -> None:
        """Raise UsageError for a weight that would not count."""
        if query.weight is None:
            return
        if not query.composed:
            raise UsageError("weight: is between a picture and words; give both, or no weight")
        if self.composer is not None:
            raise UsageError(f"weight: the composer {self.composer.name} does without; give no weight, or no composer")

    def _readings(self, queries: Sequence[SearchQuery]) -> list[TextReading | None]:
        """How the words of each query were read, by the composer where there is a picture too."""
        readings: list[TextReading | None] = [None] * len(queries)
        for composed in (False, True):
            rows = [row for row, query in enumerate(queries) if query.composed == composed and query.text.strip()]
            texts = [queries[row].text.strip() for row in rows]
            composer = self.composer if composed else None
            for row, reading in zip(rows, readings_of(texts, self.encoder, composer), strict=False):
                readings[row] = reading
        return readings

    def check_ready(self) -> None:
        """Raise FailureError where a search would not be answered now.

        Raises:
            CatalogError: the catalog on disk is gone or damaged.
            StoreError: the store does not answer.
        """
        self.check_catalog()
        self._snapshot.check()

    def check_catalog(self) -> None:
        """Raise CatalogError where the catalog on disk is gone or damaged."""
        self._require_catalog()
        self.catalog.check()

    def _require_catalog(self) -> None:
        """Raise CatalogError where there is none any more; a lock would make its folder anew."""
        if not Catalog.exists(self.catalog.folder):
            raise CatalogError(
                f"{self.catalog.folder}: the catalog is gone; put it back, or start anew with another one"
            )

    def load(self) -> None:
        """Read and run now whatever a first search would have to wait for."""
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
        """Add picture files to the catalog; they are on disk, and can be found, when this returns.

        They go to the folder `uploads` below the catalog's root. One that the catalog already holds is not added again.

        Args:
            pictures: the contents of picture files.
            metadata: as many mappings from columns of the catalog to values; by default nothing is known.
            limits: what a picture may be; by default what the catalog's own may be.
            pixels: the pictures as `pixels` makes them, where that is done already.

        Returns:
            The pictures, in the order given.

        Raises:
            PictureError: one cannot be used; none is added then, nor in the other cases.
            UsageError: metadata does not fit the catalog's columns.
            BusyError: another process is writing to the catalog.
            CatalogError: the catalog is gone or damaged.
            StoreError: the store does not answer.
        """
        metadata = metadata or [{}] * len(pictures)
        prepared = [self.pixels(data, limits) for data in pictures] if pixels is None else pixels
        vectors = self.encoder.encode_pictures(np.stack(prepared))
        require_finite_rows(vectors, lambda row: f"picture {row + 1}", f"encoder {self.encoder.name}")
        self._require_catalog()
        with self._writing, locked(self.catalog.folder):
            self.refresh()
            snapshot = self._snapshot
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

    def remove(self, likes: Sequence[str]) -> None:
        """Remove pictures from the catalog, by name or id; a later `index` leaves out those whose file is unchanged.

        Files that `add` wrote are deleted, others stay where they are.

        Raises:
            UsageError: the catalog has no such picture.
            BusyError: another process is writing to the catalog.
            CatalogError: the catalog is gone or damaged.
            StoreError: the store does not answer.
        """
        self._require_catalog()
        with self._writing, locked(self.catalog.folder):
            self.refresh()
            snapshot = self._snapshot
            snapshot.load()
            names = [snapshot.gallery.names[_row(snapshot.gallery, like)] for like in likes]
            snapshot.check()
            remove_pictures(self.catalog, snapshot.gallery, names)
            snapshot.remove(names)

    def refresh(self) -> bool:
        """Read the catalog again if another process has changed it, and say whether it had."""
        with self._writing:
            if not self._snapshot.is_stale():
                return False
            catalog = Catalog(self.catalog.folder, self.catalog.given_root)
            catalog.require(self.encoder)
            snapshot = CatalogSnapshot(catalog, self.composer, self._make_store)
            snapshot.load()
            self.catalog, self._snapshot = catalog, snapshot
            return True

    def _hits(self, snapshot: CatalogSnapshot, found: Sequence[StoreHit], offset: int) -> list[Hit]:
        row_of = snapshot.gallery.row_of
        # A picture that was removed while this search was under way has no row any more.
        left = [(hit, row_of[hit.name]) for hit in found[offset:] if hit.name in row_of]
        known = snapshot.metadata([row for _, row in left])
        root = str(self.catalog.root)
        return [
            Hit(rank, name, os.path.join(root, name), round(score, 6), picture_id(name), metadata)
            for rank, (((name, score), _), metadata) in enumerate(zip(left, known, strict=True), start=offset + 1)
        ]

    def _picture(self, name: str, metadata: Mapping[str, Any]) -> Picture:
        return Picture(picture_id(name), name, str(self.catalog.path(name)), metadata)


def _row(gallery: Gallery, like: str) -> int:
    row = gallery.row_of.get(like)
    if row is None:
        row = gallery.row_of_id.get(like)
    if row is None:
        raise UsageError(f"{like!r}: the catalog has no picture of this name or id")
    return row


def _terms(query: SearchQuery) -> SearchTerms:
    without = query.reference.sha256 if query.reference else ""
    return SearchTerms(query.offset + query.k, query.where, without)
