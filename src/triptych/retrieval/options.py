"""Options of searching: which pictures are wanted, what searches for them, and what re-ranks the first results."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from triptych.chat.settings import ChatSettings
from triptych.core.errors import UsageError
from triptych.core.options import as_paths, check_ranges, nested, option


@dataclass(frozen=True)
class SearchOptions:
    """Which pictures are wanted, and in which order. In Python, one text stands for a sequence of one.

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
        "Part of the picture to search with: left, top, width and height, as shares of the picture or in pixels.",
        metavar="X,Y,W,H",
    )
    weight: float | None = option(
        None, "Weight of the words in the sum, by default 0.5; not with a composer.", min=0, max=1
    )
    """None takes 0.5, or where a composer is not used because it lost, the weight that was measured to be best."""
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
        "Sort the nearest by a column, `price` or `price:desc`; may be repeated: the next one orders equal values.",
        metavar="COLUMN",
    )
    among: int = option(
        200, "How many of the nearest pictures --boost and --sort reorder; no others are results.", min=1
    )
    unique: bool = option(False, "Show near-duplicates once.")
    k: int = option(10, "How many results.", flag="-k", min=1)
    offset: int = option(0, "How many of the best results to leave out.", min=0)
    after: str | None = option(
        None,
        "Go on after this result, by name or id, also where pictures were added or removed meanwhile; where it is no "
        "result any more, --offset counts.",
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
        "The encoder that the catalog was indexed with, where its name is not enough: a folder that `export-models` "
        "wrote, or MODULE:ATTRIBUTE.",
        metavar="NAME",
    )
    composer: Any = option(
        None, "What composes picture and words: a folder that `train` wrote, or a plug-in. Else a sum.", metavar="NAME"
    )
    store: Any = option(
        "exact",
        "Where vectors are searched: exact, hnsw (approximate), disk (larger than memory), postgresql://… with "
        "pgvector, or MODULE:ATTRIBUTE.",
        metavar="NAME",
    )
    root: Path | None = option(
        None, "Present folder of the catalog's pictures, if they have moved since `index`.", metavar="DIR"
    )
    force: bool = option(False, "Use the composer even if its verdict is that it is worse than no training.")

    def __post_init__(self) -> None:
        as_paths(self, "root")
        if self.force and self.composer is None:
            raise UsageError("--force goes with --composer")

    @property
    def arguments(self) -> dict[str, Any]:
        """The options by name, as arguments of `open_catalog`."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True)
class RerankOptions:
    """A chat model that sees the first results and may reorder them.

    Raises:
        UsageError: a value is out of its range.
    """

    model: str = option(
        "", "Chat model that re-ranks the first results; see --base-url.", flag="--rerank", metavar="chat:MODEL"
    )
    top: int = option(10, "How many results it sees.", flag="--rerank-top", min=2)
    timeout: float = option(10.0, "Seconds to wait for its answer.", flag="--rerank-timeout", above=0)
    chat: ChatSettings = nested(ChatSettings)

    def __post_init__(self) -> None:
        check_ranges(self)
