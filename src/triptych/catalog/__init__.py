"""A folder of pictures on disk, with their vectors: add, refresh, filter, look up neighbours."""

from triptych.catalog.filters import Condition, is_numeric, matching, read_conditions
from triptych.catalog.indexing import index
from triptych.catalog.neighbours import nearest
from triptych.catalog.store import UPLOADS, Catalog, Entry

__all__ = ["UPLOADS", "Catalog", "Condition", "Entry", "index", "is_numeric", "matching", "nearest", "read_conditions"]
