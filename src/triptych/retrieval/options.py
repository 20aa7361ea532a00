"""Choices of searching: which pictures are wanted, what searches for them, and who looks at the first results again."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from triptych.chat.settings import ChatSettings
from triptych.core.errors import UsageError
from triptych.core.options import as_paths, check_ranges, nested, option


@dataclass(frozen=True)
class SearchOptions:
    """Which of the pictures that are nearest to a query are wanted."""

    like: str | None = option(None, "Instead of an image: a picture of the catalog, by name or id.", metavar="NAME")
    weight: float | None = option(
        None, "Weight of the words in the sum, by default 0.5; a composer does without.", min=0, max=1
    )
    """None takes 0.5, or where a composer is not used because it lost, the weight that was measured to be best."""
    where: tuple[str, ...] = option(
        (),
        "Condition such as price<=50 or colour in (red, pink), or more, joined by `and`, `or` and brackets; quotes "
        "keep a value together. May be repeated: all must hold.",
        metavar="CONDITION",
    )
    k: int = option(10, "How many results.", flag="-k", min=1)
    offset: int = option(0, "Leave out the first so many.", min=0)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class EngineOptions:
    """What searches a catalog: the arguments of `open_catalog`, for a function that opens one itself."""

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
        None, "Folder that the catalog's pictures lie in now, where they have moved since `index`.", metavar="DIR"
    )
    force: bool = option(False, "Use the composer even if its verdict is that it is worse than no training.")

    def __post_init__(self) -> None:
        as_paths(self, "root")
        if self.force and self.composer is None:
            raise UsageError("--force goes with --composer")

    @property
    def arguments(self) -> dict[str, Any]:
        """Them by name, to be given to `open_catalog`."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


@dataclass(frozen=True)
class RerankOptions:
    """A chat model that looks at the first results, and may put others before them."""

    model: str = option(
        "", "A chat model that looks at the first results; see --base-url.", flag="--rerank", metavar="chat:MODEL"
    )
    top: int = option(10, "How many results it looks at.", flag="--rerank-top", min=2)
    timeout: float = option(10.0, "Seconds that its judgement is waited for.", flag="--rerank-timeout", above=0)
    chat: ChatSettings = nested(ChatSettings)

    def __post_init__(self) -> None:
        check_ranges(self)
