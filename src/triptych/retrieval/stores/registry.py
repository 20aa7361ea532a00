"""The store that a name means."""

from collections.abc import Callable
from typing import Protocol

from triptych.core.errors import UsageError
from triptych.core.vectors import Vectors
from triptych.retrieval.stores.exact import ExactStore
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.protocol import Store


class StoreFactory(Protocol):
    """Makes a store of one space of a catalog."""

    def __call__(self, gallery: Gallery, vectors: Callable[[], Vectors], space: Callable[[], str], dim: int) -> Store:
        """`vectors` `(n, d)` of the gallery's rows are read if needed; `space` tells catalogs and spaces apart."""
        ...


def store_named(name: str) -> StoreFactory:
    """`exact`, `hnsw`, or the address of a PostgreSQL database. Raises UsageError for anything else."""
    if name == "exact":
        return lambda gallery, vectors, space, dim: ExactStore(gallery, vectors())
    if name == "hnsw":
        from triptych.retrieval.stores.hnsw import HnswStore, need_faiss

        need_faiss()
        return lambda gallery, vectors, space, dim: HnswStore(gallery, vectors())
    if name.startswith(("postgresql://", "postgres://")):

        def make(gallery: Gallery, vectors: Callable[[], Vectors], space: Callable[[], str], dim: int) -> Store:
            from triptych.retrieval.stores.postgres import PostgresStore

            store = PostgresStore(name, f"triptych_{space()}", dim, gallery.metadata.schema)
            store.follow(gallery, vectors)
            return store

        return make
    raise UsageError("--store: write exact, hnsw, or postgresql://USER@HOST/DATABASE")
