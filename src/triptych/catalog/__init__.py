"""A folder of pictures on disk, with their vectors: add, refresh, filter, look up neighbours."""

from triptych.catalog.filters import matching
from triptych.catalog.indexing import index
from triptych.catalog.neighbours import nearest
from triptych.catalog.store import Catalog, Entry

__all__ = ["Catalog", "Entry", "index", "matching", "nearest"]
