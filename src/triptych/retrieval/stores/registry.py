"""Stores by name: exact, hnsw, disk, PostgreSQL by its address, and plug-ins."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from triptych.core.errors import UsageError
from triptych.core.plugins import Registry
from triptych.core.vectors import Vectors
from triptych.retrieval.stores.exact import ExactStore
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.protocol import Blocks, Store


class StoreFactory(Protocol):
    """Makes a store for one space of a catalog. A plug-in's class or function may take fewer of the parameters."""

    def __call__(
        self,
        gallery: Gallery,
        vectors: Callable[[], Vectors],
        space: Callable[[], str],
        dim: int,
        blocks: Blocks,
        folder: Path,
    ) -> Store:
        """Make a store that holds the gallery's pictures.

        Args:
            gallery: the pictures with their metadata, one row each.
            vectors: returns unit vectors `(n, dim)` of the gallery's rows; they are read from disk when it is called.
            space: returns a key of this catalog and this space of vectors, 16 hexadecimal digits.
            dim: the length of a vector.
            blocks: yields the same vectors in blocks, for stores that need not hold them in memory.
            folder: the catalog's folder.
        """
        ...


def load_store(given: Callable[..., Store] | str) -> StoreFactory:
    """Load a store factory. It makes one store for the encoder's space, and one for the composer's.

    Args:
        given: a class or a function like `StoreFactory`; `exact`; `hnsw`; `disk`; `postgresql://USER@HOST/DATABASE`;
            the name of an installed plug-in; or `module:attribute`.

    Raises:
        UsageError: there is no such store, or the plug-in makes no store.
    """
    found = STORES.find(given)
    name = given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)
    if not callable(found):
        raise UsageError(f"--store {name}: is a store that already holds vectors; give its class or a factory function")

    def make(
        gallery: Gallery,
        vectors: Callable[[], Vectors],
        space: Callable[[], str],
        dim: int,
        blocks: Blocks,
        folder: Path,
    ) -> Store:
        given = {"vectors": vectors, "space": space, "dim": dim, "blocks": blocks, "folder": folder}
        return STORES.make(found, name, gallery=gallery, **given)

    return make


def _exact(gallery: Gallery, vectors: Callable[[], Vectors]) -> Store:
    return ExactStore(gallery, vectors())


def _hnsw(gallery: Gallery, vectors: Callable[[], Vectors]) -> Store:
    from triptych.retrieval.stores.hnsw import HnswStore

    return HnswStore(gallery, vectors())


def _disk(gallery: Gallery, space: Callable[[], str], dim: int, blocks: Blocks, folder: Path) -> Store:
    from triptych.retrieval.stores.disk import DiskStore

    return DiskStore(gallery, blocks, folder / f"disk-{space()}", dim)


def _postgres(
    address: str, gallery: Gallery, vectors: Callable[[], Vectors], space: Callable[[], str], dim: int
) -> Store:
    from triptych.retrieval.stores.postgres import PostgresStore

    store = PostgresStore(address, f"triptych_{space()}", dim, gallery.metadata.schema)
    store.follow(gallery, vectors)
    return store


STORES: Registry[Store] = Registry("store", Store, "triptych.stores", flag="--store")
STORES.register("exact", _exact)
STORES.register("hnsw", _hnsw)
STORES.register("disk", _disk)
for _scheme in ("postgresql://", "postgres://"):
    STORES.register_scheme(_scheme, _postgres, "USER@HOST/DATABASE")
