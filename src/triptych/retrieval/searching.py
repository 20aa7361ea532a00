"""Looking something up: a catalog opened once and searched many times, and `search`, which does it once."""

from collections.abc import Sequence
from pathlib import Path

from triptych.catalog.catalog import Catalog
from triptych.chat.settings import ChatSettings
from triptych.composers.trained import TrainedComposer
from triptych.core.errors import UsageError
from triptych.encoders.registry import load_encoder
from triptych.retrieval.library import Answers, Library
from triptych.retrieval.query import Reference, SearchQuery
from triptych.retrieval.reranking import Reranked, Reranker, rerank_once
from triptych.retrieval.results import Hit, Picture, check_output, write_results
from triptych.retrieval.stores.registry import store_named

__all__ = [
    "Answers",
    "Hit",
    "Library",
    "Picture",
    "Reference",
    "Reranked",
    "Reranker",
    "SearchQuery",
    "open_catalog",
    "search",
]


def open_catalog(
    catalog: Path | str,
    *,
    encoder: str | None = None,
    composer: Path | str | None = None,
    store: str = "exact",
    threads: int | None = None,
) -> Library:
    """Open a catalog, with a composer if there is one, to search it many times.

    `encoder` is another form of the one that the catalog was indexed with, such as `export_onnx` writes.

    `store` says where vectors are searched: `exact` in memory, `hnsw` in memory with an approximate index, or in a
    PostgreSQL database with pgvector, by its address `postgresql://…`; the catalog on disk stays the one that counts.

    Raises DataError where there is none, MismatchError where composer and catalog have different encoders.
    """
    opened = Catalog(Path(catalog))
    engine = load_encoder(encoder or opened.encoder_name, threads=threads)
    trained = TrainedComposer(Path(composer), threads) if composer else None
    return Library(opened, engine, trained, store_named(store))


def search(
    catalog: Path | str,
    *,
    image: Path | str | None = None,
    like: str | None = None,
    text: str = "",
    encoder: str | None = None,
    composer: Path | str | None = None,
    k: int = 10,
    offset: int = 0,
    weight: float = 0.5,
    where: Sequence[str] = (),
    output: Path | str | None = None,
    store: str = "exact",
    rerank: str | None = None,
    chat: ChatSettings | None = None,
    rerank_top: int = 10,
    rerank_seconds: float = 10.0,
    threads: int | None = None,
) -> list[Hit]:
    """The `k` pictures of `catalog` that best answer a reference `image`, changed as `text` says.

    Instead of an image, `like` names a picture of the catalog. Without a `composer`, by the weighted sum (`weight` to
    the words), which needs no training; image or text alone also work. `where` conditions over the metadata are applied
    before the choice. The reference itself, if the catalog holds it, is never a result. `offset` leaves out the first
    so many. `encoder` and `store` are as in `open_catalog`. `output` takes a contact sheet
    (.png, .jpg, .webp) or the results as .json.

    With `rerank`, `chat:MODEL`, a model at the endpoint that `chat` names sees the first `rerank_top` results, and
    those that it says answer the question come first, with the scores that they have. Where it fails, takes longer
    than `rerank_seconds` or would cost more than `chat` allows, one line on standard error says so, and the ranking is
    the plain one; so it is with an `offset`.

    Raises UsageError where neither image nor text is given or `where` cannot be read, DataError where the image cannot
    be used, MismatchError where composer and catalog have different encoders.
    """
    image = Path(image) if image else None
    output = Path(output) if output else None
    text = text.strip()
    if image is None and like is None and not text:
        raise UsageError("give an --image or --like, a --text, or both")
    if composer and ((image is None and like is None) or not text):
        raise UsageError("a --composer needs both a picture (--image or --like) and a --text")
    reranker = Reranker(rerank, chat, top=rerank_top, seconds=rerank_seconds) if rerank else None
    if reranker and ((image is None and like is None) or not text):
        raise UsageError("--rerank needs both a picture and a --text")
    if output:
        check_output(output)
    with open_catalog(catalog, encoder=encoder, composer=composer, store=store, threads=threads) as library:
        hits = library.search(image=image, like=like, text=text, weight=weight, where=where, k=k, offset=offset)
        shown = image or (Path(library.picture(like).path) if like else None)
        if reranker and shown and not offset:
            hits = rerank_once(reranker, shown, text, hits)
        if output:
            write_results(output, shown, text, hits)
    return hits
