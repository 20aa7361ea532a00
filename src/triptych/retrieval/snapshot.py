"""A catalog in memory: its pictures and the stores of its vectors."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from hashlib import sha256
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.catalog.catalog import Catalog
from triptych.catalog.manifest import stamp_of
from triptych.composers.protocol import Composer, gallery_dim_of, gallery_fingerprint_of
from triptych.core.errors import StoreError
from triptych.core.progress import say
from triptych.core.vectors import Vectors, require_finite_rows
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.metadata import MetadataTable
from triptych.retrieval.stores.protocol import Prepares, Rows, Store
from triptych.retrieval.stores.registry import StoreFactory


class CatalogSnapshot:
    """One state of a catalog on disk. Each part is read when it is first needed."""

    def __init__(self, catalog: Catalog, composer: Composer | None, make_store: StoreFactory) -> None:
        self._catalog = catalog
        self._make_store = make_store
        self._composer = composer
        self._lock = RLock()
        self.gallery = Gallery.of(catalog)

    @property
    def plain(self) -> Store:
        """The store of vectors in the encoder's space."""
        return self._made("_plain")  # type: ignore[no-any-return]

    @property
    def composed(self) -> Store:
        """The store of vectors in the composer's space; without a composer, the plain store."""
        return self._made("_composed")  # type: ignore[no-any-return]

    @property
    def metadata(self) -> MetadataTable:
        """The metadata of the gallery's rows, and possibly of rows that are being added."""
        return self._made("_metadata")  # type: ignore[no-any-return]

    def _made(self, name: str) -> Any:
        """One of the parts below. The lock is taken only to make a part, not to read an existing one."""
        if name in self.__dict__:
            return self.__dict__[name]
        with self._lock:
            return getattr(self, name)

    @cached_property
    def _metadata(self) -> MetadataTable:
        return MetadataTable.of(self.gallery.metadata)

    @cached_property
    def _plain(self) -> Store:
        catalog = self._catalog
        given = (lambda: catalog.vectors, self._space, catalog.dim, catalog.vector_blocks, catalog.folder)
        return self._make_store(self.gallery, *given)

    @cached_property
    def _composed(self) -> Store:
        composer, catalog = self._composer, self._catalog
        if composer is None:
            return self._plain

        def space() -> str:
            return self._space(gallery_fingerprint_of(composer))

        def blocks() -> Iterator[tuple[NDArray[np.int64], Vectors]]:
            for rows, vectors in catalog.vector_blocks():
                moved = composer.gallery(vectors)
                require_finite_rows(moved, partial(_called, catalog, rows), composer.name)
                yield rows, moved

        dim = gallery_dim_of(composer, catalog.dim)
        given = (lambda: _moved(composer, catalog), space, dim, blocks, catalog.folder)
        store = self._make_store(self.gallery, *given)
        catalog.forget_vectors()  # the plain store, if it is loaded, has its own reference
        return store

    def _space(self, moved: str = "") -> str:
        """A key of this catalog and this space of vectors, for databases that several catalogs share.

        It includes id and path: another container may have another catalog at the same path, and a copy of this
        catalog has its id at another path.
        """
        catalog = self._catalog
        facts = [str(catalog.folder.resolve()), catalog.identity(), catalog.fingerprint, moved]
        return sha256("\n".join(facts).encode()).hexdigest()[:16]

    def load(self) -> None:
        """Load everything into memory, each part once."""
        with self._lock:
            _ = self._plain, self._composed, self._metadata, self.gallery.row_of, self.gallery.row_of_id
            self._catalog.release()
            for store in self._stores():
                if isinstance(store, Prepares):
                    store.prepare()

    def is_stale(self) -> bool:
        """Whether the catalog on disk has changed."""
        return stamp_of(self._catalog.folder) != self._catalog.stamp

    def check(self) -> None:
        """Check that searches can be answered.

        Raises:
            FailureError: they cannot.
        """
        for store in self._stores():
            store.check()

    def check_addition(self, vectors: Vectors) -> None:
        """Raise FailureError if the new pictures could not be composed; called before anything is written."""
        self.check()
        if self._composer:
            name = self._composer.name
            require_finite_rows(self._composer.gallery(vectors), lambda row: f"picture {row + 1}", name)

    def add(self, rows: Rows) -> None:
        """Add pictures that this process has just written to the catalog. Call it after `load`, one thread at a time.

        A store that does not answer is no failure, since the pictures are in the catalog: the store is updated when the
        catalog is read again.
        """
        moved = self._composer.gallery(rows.vectors) if self._composer else rows.vectors
        with self._followed():
            self.plain.add(rows)
            if self._composer:
                self.composed.add(Rows(rows.names, rows.hashes, moved, rows.metadata))
        # Metadata are added first, since a search with the new gallery reads the metadata of its rows.
        self._metadata = self.metadata.extended(rows.metadata)
        self.gallery = self.gallery.extended(rows.names, rows.hashes, rows.metadata)

    def remove(self, names: list[str]) -> None:
        """Remove pictures that this process has just removed from the catalog. Call it after `load`, in one thread at a
        time.

        A store that does not answer is no failure, as in `add`.
        """
        self.gallery = self.gallery.without(names)
        with self._followed():
            for store in self._stores():
                store.remove(names)

    @contextmanager
    def _followed(self) -> Iterator[None]:
        """Run a change of the stores. If a store does not answer, the snapshot is marked as stale."""
        stamp = stamp_of(self._catalog.folder)
        try:
            yield
        except StoreError as error:
            say(f"stored in the catalog, but not yet in the store: {error}")
        else:
            self._catalog.stamp = stamp

    def _stores(self) -> list[Store]:
        return list({id(store): store for store in (self.plain, self.composed)}.values())


def _called(catalog: Catalog, rows: NDArray[np.int64], row: int) -> str:
    name: str = catalog.names[rows[row]]
    return name


def _moved(composer: Composer, catalog: Catalog) -> Vectors:
    """The catalog's vectors in the composer's space. Raises FailureError if one is not finite."""
    vectors = composer.gallery(catalog.vectors)
    require_finite_rows(vectors, catalog.names.__getitem__, composer.name)
    return vectors
