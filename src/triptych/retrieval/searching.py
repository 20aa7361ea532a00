"""Opening a catalog, to search it many times, and `search`, which opens it, searches it once and judges the results."""

from collections.abc import Callable
from pathlib import Path

from triptych.catalog.catalog import Catalog
from triptych.catalog.domain import domain_warning
from triptych.composers.baselines import DEFAULT_WEIGHT
from triptych.composers.protocol import Composer, attach_encoder
from triptych.composers.registry import load_composer
from triptych.composers.truth import verdict_of
from triptych.core.environment import Runtime
from triptych.core.errors import PictureError, UsageError
from triptych.core.images import ELSEWHERE
from triptych.core.progress import say
from triptych.encoders.protocol import Encoder, short_name
from triptych.retrieval.library import Library
from triptych.retrieval.options import EngineOptions, RerankOptions, SearchOptions
from triptych.retrieval.reranking import Reranker, rerank_once
from triptych.retrieval.results import Hits, check_output, write_results
from triptych.retrieval.stores.protocol import Store
from triptych.retrieval.stores.registry import load_store


def open_catalog(
    catalog: Path | str,
    *,
    encoder: Encoder | str | None = None,
    composer: Composer | Path | str | None = None,
    store: Callable[..., Store] | str = "exact",
    root: Path | str | None = None,
    force: bool = False,
    runtime: Runtime = Runtime(),
) -> Library:
    """Open a catalog, to search it many times.

    Where `index` found that the pictures are unlike those that the encoder was trained on, one line says so.

    A composer whose verdict is that it is worse than what needs no training is not used: one line says so, and picture
    and words are added, with the weight that was found to be best. One line says it, too, where a trained composer has
    no verdict.

    Args:
        catalog: its folder, made by `index`.
        encoder: the encoder that the catalog was indexed with, where its name is not enough: an object, a folder that
            `export_models` wrote, or any other name of it.
        composer: an object, a folder that `train` wrote, or a name; without one, picture and words are added.
        store: where vectors are searched: `exact` in memory; `hnsw` in memory with an approximate index; a PostgreSQL
            database with pgvector, by its address `postgresql://…`; or a class or function that makes a store. The
            catalog on disk stays the one that counts.
        root: the folder that its pictures lie in now, where they have moved since `index`; for a move that lasts, say
            it to `index`.
        force: use the composer whatever its verdict.
        runtime: what the encoder computes with.

    Raises:
        UsageError: the encoder, composer or store means nothing, or `root` is no folder.
        DataError: there is no catalog, or it is damaged.
        MismatchError: catalog, encoder and composer do not belong together.
    """
    make_store = load_store(store)
    opened = Catalog(Path(catalog), Path(root) if root else None)
    if not opened.root.is_dir():
        say(f"{catalog}: its pictures can be found, but not shown: {ELSEWHERE}")
    engine = opened.encoder(encoder, threads=runtime.threads, device=runtime.device)
    if warning := domain_warning(opened):
        say(warning)
    composing = None if composer is None else load_composer(composer, threads=runtime.threads)
    if composing is None or not _lost(composing, force=force):
        return Library(opened, engine, composing, make_store)
    attach_encoder(composing, engine)  # a verdict on another encoder's composer says nothing here
    verdict = verdict_of(composing)
    return Library(opened, engine, None, make_store, verdict.sum_weight if verdict else DEFAULT_WEIGHT)


def _lost(composer: Composer, *, force: bool) -> bool:
    """Whether a composer is not to be used. Says why, and says where nobody knows whether a trained one helps."""
    verdict = verdict_of(composer)
    if verdict is None:
        if hasattr(composer, "verdict"):
            say(
                f"{composer.name}: it is not known whether this composer helps; `triptych train --validate-by` measures"
            )
        return False
    if verdict.decided != "worse" or force:
        return False
    say(f"{composer.name}: not used, picture and words are added instead (--force uses it): it {verdict}")
    return True


def search(
    catalog: Path | str,
    image: Path | str | None = None,
    text: str = "",
    *,
    options: SearchOptions = SearchOptions(),
    engine: EngineOptions = EngineOptions(),
    rerank: RerankOptions | None = None,
    output: Path | str | None = None,
    runtime: Runtime = Runtime(),
) -> Hits:
    """The pictures of a catalog that best answer a reference picture, changed as a text says.

    Picture or text alone also work. Without a composer, both are added, which needs no training. The reference itself,
    if the catalog holds it, is never a result. Conditions are applied before the choice. Words that the encoder does
    not understand are named on standard error, as is a text that is longer than it reads at once.

    Args:
        catalog: its folder, made by `index`.
        image: the reference, a picture file; instead of it, `options.like` names a picture of the catalog.
        text: what should differ.
        options: how many results, from where on, and under which conditions.
        engine: encoder, composer and store, which `open_catalog` takes as arguments.
        rerank: a chat model that is shown the first results; those that it says answer the query come first, with the
            scores that they have. Where it fails, is too slow or would cost more than its budget, one line on standard
            error says so and the ranking stays as it was. So it does with an `offset`.
        output: a contact sheet (.png, .jpg, .webp), or a file for the results (.json).
        runtime: what the encoder computes with.

    Returns:
        The results, a list; its `not_understood` has the words of which the encoder knows no piece.

    Raises:
        UsageError: a picture or text is lacking, a condition cannot be read, or options make no sense together.
        DataError: the picture or the catalog cannot be used.
        MismatchError: catalog, encoder and composer do not belong together.
    """
    image, output = Path(image) if image else None, Path(output) if output else None
    text = text.strip()
    _check_query(image, text, options, composing=engine.composer is not None, reranking=rerank is not None)
    reranker = Reranker(rerank) if rerank else None
    if output:
        check_output(output)
    with open_catalog(catalog, **engine.arguments, runtime=runtime) as library:
        if options.weight is not None and library.composer is not None:
            raise UsageError(
                f"--weight is that of a sum; composer {library.composer.name} does without, so leave it out"
            )
        hits = library.search(
            image=image, like=options.like, text=text,
            weight=options.weight, where=options.where, k=options.k, offset=options.offset,
        )  # fmt: skip
        for note in hits.notes(short_name(library.encoder)):
            say(note)
        where = library.picture(options.like).path if options.like else str(image) if image else None
        reference = _content(library, options.like) if options.like else image
        if reranker and reference and not options.offset:
            reranker.limits, reranker.read = library.catalog.limits, library.read
            hits = Hits(rerank_once(reranker, reference, text, hits), hits.reading, hits.unwanted)
        if output:
            write_results(output, reference, text, hits, library.read, library.catalog.limits, shown_as=where)
    return hits


def _content(library: Library, like: str) -> bytes | None:
    """The file of the reference, to be shown; None, which is told, where it is not the one that was indexed."""
    try:
        return library.read(like)
    except PictureError as error:
        say(f"{like}: {error}")
        return None


def _check_query(image: Path | None, text: str, options: SearchOptions, *, composing: bool, reranking: bool) -> None:
    """Raise UsageError where something is lacking that the query needs."""
    picture = image is not None or options.like is not None
    if not picture and not text:
        raise UsageError("give an --image or --like, a --text, or both")
    if options.weight is not None and not (picture and text):
        raise UsageError("--weight is that of the words beside a picture: give both, or leave it out")
    if composing and not (picture and text):
        raise UsageError("a --composer needs both a picture (--image or --like) and a --text")
    if reranking and not (picture and text):
        raise UsageError("--rerank needs both a picture and a --text")
