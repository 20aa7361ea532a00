"""Where vectors are searched: in memory, or in a database that a shop already runs."""

from triptych.stores.exact import ExactStore
from triptych.stores.facts import Facts
from triptych.stores.gallery import Gallery, picture_id
from triptych.stores.opening import MakeStore, store_named
from triptych.stores.protocol import Found, Rows, Store, Terms

__all__ = [
    "ExactStore",
    "Facts",
    "Found",
    "Gallery",
    "MakeStore",
    "Rows",
    "Store",
    "Terms",
    "picture_id",
    "store_named",
]
