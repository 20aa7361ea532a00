"""A catalog in memory: its pictures, and the stores that its vectors are searched in."""

from functools import cached_property
from hashlib import sha256
from threading import RLock

from triptych.catalog import Catalog
from triptych.catalog.store import stamp_of
from triptych.composers import TrainedComposer
from triptych.files import hash_file
from triptych.stores import Facts, Gallery, MakeStore, Rows, Store


class Opened:
    """One state of a catalog on disk. What a search does not need is not read."""

    def __init__(self, catalog: Catalog, composer: TrainedComposer | None, make_store: MakeStore) -> None:
        self._catalog = catalog
        self._make_store = make_store
        self._composer = composer
        self._lock = RLock()
        self._stamp = catalog.stamp
        self.gallery = Gallery.of(catalog)

    @property
    def plain(self) -> Store:
        """Vectors in the encoder's space."""
        with self._lock:
            return self._plain

    @property
    def composed(self) -> Store:
        """Vectors in the composer's space; without a composer, the plain ones."""
        with self._lock:
            return self._composed

    @property
    def facts(self) -> Facts:
        """What is known of the gallery's rows, and perhaps of rows that it is about to have."""
        with self._lock:
            return self._facts

    @cached_property
    def _facts(self) -> Facts:
        return Facts.of(self.gallery.metadata)

    @cached_property
    def _plain(self) -> Store:
        return self._make_store(self.gallery, lambda: self._catalog.vectors, self._space(), self._catalog.dim)

    @cached_property
    def _composed(self) -> Store:
        composer, catalog = self._composer, self._catalog
        if composer is None:
            return self._plain
        space = self._space(hash_file(composer.folder / "gallery.onnx"))
        store = self._make_store(self.gallery, lambda: composer.gallery(catalog.vectors), space, composer.dim)
        catalog.forget_vectors()  # the plain store, if there is one, has them
        return store

    def _space(self, moved: str = "") -> str:
        """Equal for equal vectors of the same catalog only."""
        facts = [str(self._catalog.folder.resolve()), self._catalog.fingerprint, moved]
        return sha256("\n".join(facts).encode()).hexdigest()[:16]

    def load(self) -> None:
        """Have everything in memory, and nothing twice."""
        with self._lock:
            _ = self._plain, self._composed, self._facts, self.gallery.row_of, self.gallery.row_of_id
            self._catalog.release()

    def is_stale(self) -> bool:
        """Whether the catalog on disk is no longer this one."""
        return stamp_of(self._catalog.folder) != self._stamp

    def add(self, rows: Rows) -> None:
        """Take in what was just written to the catalog by this process, after `load`."""
        with self._lock:
            self._plain.add(rows)
            if self._composer:
                moved = self._composer.gallery(rows.vectors)
                self._composed.add(Rows(rows.names, rows.hashes, moved, rows.metadata))
            self._facts = self._facts.extended(rows.metadata)
            self.gallery = self.gallery.extended(rows.names, rows.hashes, rows.metadata)
            self._stamp = stamp_of(self._catalog.folder)

    def remove(self, names: list[str]) -> None:
        """Leave out what this process just took out of the catalog, after `load`."""
        with self._lock:
            self.gallery = self.gallery.without(names)
            for store in {id(store): store for store in (self._plain, self._composed)}.values():
                store.remove(names)
            self._stamp = stamp_of(self._catalog.folder)
