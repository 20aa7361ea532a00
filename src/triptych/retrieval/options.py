"""Options of search: the query and its conditions, encoder and store, and re-ranking."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from triptych.chat.settings import ChatSettings
from triptych.core.errors import UsageError
from triptych.core.options import as_paths, check_ranges, nested, option


@dataclass(frozen=True)
class SearchOptions:
    """Which results are wanted, and in which order. In Python, a single text stands for a sequence of one.

    Raises:
        UsageError: a value is out of its range.
    """

    like: tuple[str, ...] = option(
        (),
        "Picture of the catalog to resemble, by name or id, optionally with a weight; may be repeated.",
        metavar="NAME[:WEIGHT]",
    )
    unlike: tuple[str, ...] = option(
        (),
        "Picture of the catalog to avoid, by name or id, optionally with a weight; may be repeated.",
        metavar="NAME[:WEIGHT]",
    )
    unwanted: tuple[str, ...] = option(
        (), 'Words for what results should not show, such as "stripes"; may be repeated.', flag="--not", metavar="WORDS"
    )
    box: str | None = option(
        None,
        "Part of the picture to search with: left, top, width and height, as fractions of the picture or in pixels.",
        metavar="X,Y,W,H",
    )
    weight: float | None = option(
        None, "Weight of the words in the sum, by default 0.5; not with a composer.", min=0, max=1
    )
    """None means 0.5, or the best measured weight if a composer is not used because of its verdict."""
    where: tuple[str, ...] = option(
        (),
        "Condition such as price<=50 or colour in (red, pink), or more, joined by `and`, `or` and brackets; quotes "
        "keep a value together. May be repeated: all must hold.",
        metavar="CONDITION",
    )
    boost: tuple[str, ...] = option(
        (),
        "Raise pictures by metadata: COLUMN or CONDITION and a factor, such as in_stock=1.2 or colour=red=2. 1 changes "
        "nothing, 2 raises by one standard deviation of the scores, 0.5 lowers by half of one. May be repeated.",
        metavar="COLUMN=FACTOR",
    )
    sort: tuple[str, ...] = option(
        (),
        "Sort the nearest by a column, `price` or `price:desc`. May be repeated: the next column orders equal values.",
        metavar="COLUMN",
    )
    among: int = option(
        200, "How many of the nearest pictures --boost and --sort reorder; only these can be results.", min=1
    )
    unique: bool = option(False, "Show near-duplicates once.")
    k: int = option(10, "How many results.", flag="-k", min=1)
    offset: int = option(0, "How many of the best results to skip.", min=0)
    after: str | None = option(
        None,
        "Continue after this result, by name or id, even if pictures were added or removed meanwhile. If it is no "
        "longer a result, --offset counts.",
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        for name in ("like", "unlike", "unwanted", "where", "boost", "sort"):
            given = getattr(self, name)
            one = given is None or isinstance(given, str)
            object.__setattr__(self, name, ((given,) if given else ()) if one else tuple(given))
        check_ranges(self)


@dataclass(frozen=True)
class EngineOptions:
    """What searches a catalog: the arguments of `open_catalog`, for functions that open one themselves.

    Raises:
        UsageError: options contradict each other.
    """

    encoder: Any = option(
        None,
        "The encoder that the catalog was indexed with, if its name is not enough: a folder that `export-models` "
        "wrote, or MODULE:ATTRIBUTE.",
        metavar="NAME",
    )
    composer: Any = option(
        None, "Composer: a folder that `train` wrote, or a plug-in; by default a weighted sum.", metavar="NAME"
    )
    store: Any = option(
        "exact",
        "Store of the vectors: exact, hnsw (approximate), disk (larger than memory), postgresql://… with "
        "pgvector, or MODULE:ATTRIBUTE.",
        metavar="NAME",
    )
    root: Path | None = option(
        None, "Current folder of the catalog's pictures, if they were moved since `index`.", metavar="DIR"
    )
    force: bool = option(False, "Use the composer even if its verdict says that it is worse than the baselines.")

    def __post_init__(self) -> None:
        as_paths(self, "root")
        if self.force and self.composer is None:
            raise UsageError("--force needs --composer")

    @property
    def arguments(self) -> dict[str, Any]:
        """The options by name, as arguments of `open_catalog`."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True)
class RerankOptions:
    """A chat model that reads the first results and may reorder them.

    Raises:
        UsageError: a value is out of its range.
    """

    model: str = option(
        "", "Chat model that re-ranks the first results; see --base-url.", flag="--rerank", metavar="chat:MODEL"
    )
    top: int = option(10, "How many results the model reads.", flag="--rerank-top", min=2)
    timeout: float = option(10.0, "Seconds to wait for the model's answer.", flag="--rerank-timeout", above=0)
    chat: ChatSettings = nested(ChatSettings)

    def __post_init__(self) -> None:
        check_ranges(self)
