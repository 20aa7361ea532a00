"""Opening a catalog to search it many times, and `search`, which opens it, searches it once and may re-rank."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from triptych.catalog.catalog import Catalog
from triptych.catalog.domain import domain_warning
from triptych.composers.baselines import DEFAULT_WEIGHT
from triptych.composers.protocol import Composer, attach_encoder
from triptych.composers.registry import load_composer
from triptych.composers.truth import verdict_of
from triptych.core.boxes import Box
from triptych.core.environment import Runtime
from triptych.core.errors import PictureError, UsageError
from triptych.core.images import ELSEWHERE, open_picture
from triptych.core.progress import say
from triptych.encoders.protocol import Encoder, short_name
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.retrieval.options import EngineOptions, RerankOptions, SearchOptions
from triptych.retrieval.query_building import Pictures, QueryParts, Texts, parts_of, query_of
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
) -> OpenCatalog:
    """Open a catalog to search it many times.

    If `index` found that the pictures differ from those that the encoder was trained on, a warning is printed.

    If the composer's verdict says that it is worse than the baselines, the composer is not used. The weighted sum of
    picture and words is used instead, with the best weight found, and one line says so. One line also says if a trained
    composer has no verdict.

    Args:
        catalog: its folder, made by `index`.
        encoder: the encoder that the catalog was indexed with, if its name is not enough: an object, a folder that
            `export_models` wrote, or another name of it.
        composer: an object, a folder that `train` wrote, or a name; by default the weighted sum.
        store: where vectors are searched: `exact` in memory; `hnsw` in memory with an approximate index; `disk` for
            vectors larger than memory; a PostgreSQL database with pgvector, by its address `postgresql://…`; or a class
            or function that makes a store. The catalog on disk remains authoritative.
        root: the current folder of the pictures, if they were moved since `index`. For a permanent move, give it to
            `index`.
        force: use the composer whatever its verdict.
        runtime: what the encoder computes with.

    Returns:
        The open catalog.

    Raises:
        UsageError: the encoder, composer or store is unknown, or `root` is no folder.
        DataError: there is no catalog, or it is damaged.
        MismatchError: catalog, encoder and composer do not belong together.
    """
    make_store = load_store(store)
    stored = Catalog(Path(catalog), Path(root) if root else None)
    if not stored.root.is_dir():
        say(f"{catalog}: pictures can be found but not shown: {ELSEWHERE}")
    engine = stored.encoder(encoder, threads=runtime.threads, device=runtime.device)
    if warning := domain_warning(stored):
        say(warning)
    composing = None if composer is None else load_composer(composer, threads=runtime.threads)
    if composing is None or not _lost(composing, force=force):
        return OpenCatalog(stored, engine, composing, make_store)
    attach_encoder(composing, engine)  # checks the encoder first: a verdict with another encoder does not apply
    verdict = verdict_of(composing)
    return OpenCatalog(stored, engine, None, make_store, verdict.sum_weight if verdict else DEFAULT_WEIGHT)


def _lost(composer: Composer, *, force: bool) -> bool:
    """Whether a composer is not used because of its verdict. Prints why, or that a trained composer has no verdict."""
    verdict = verdict_of(composer)
    if verdict is None:
        if hasattr(composer, "verdict"):
            say(f"{composer.name}: it is unknown whether this composer helps; `triptych train --validate-by` measures")
        return False
    if verdict.decided != "worse" or force:
        return False
    say(f"{composer.name}: not used; the weighted sum is used instead (--force uses the composer): it {verdict}")
    return True


def search(
    catalog: Path | str,
    image: Pictures = None,
    text: Texts = "",
    *,
    options: SearchOptions = SearchOptions(),
    engine: EngineOptions = EngineOptions(),
    rerank: RerankOptions | None = None,
    output: Path | str | None = None,
    runtime: Runtime = Runtime(),
) -> Hits:
    """Find the pictures of a catalog that best match a reference picture modified by a text.

    A picture or a text alone also works. Without a composer, their vectors are added, which needs no training. The
    reference itself is never a result. Conditions are applied before the nearest are chosen. Standard error names words
    that the encoder does not know, and says if a text is longer than the encoder reads at once.

    Args:
        catalog: its folder, made by `index`.
        image: the reference: a picture file, or several. A file's name may end in a weight, as in `jacket.jpg:0.5`.
            Instead, or in addition, `options.like` names pictures of the catalog.
        text: what should differ, or several texts. A text may end in a weight, as in `red:0.5`.
        options: the number of results, their offset and order, and conditions.
        engine: encoder, composer and store, as in `open_catalog`.
        rerank: a chat model that reads the first results. Those that it picks come first, with their original scores.
            If it fails, is too slow or exceeds its budget, or with an `offset`, the order is unchanged, and one line on
            standard error says so.
        output: a contact sheet (.png, .jpg, .webp), or a file for the results (.json).
        runtime: what the encoder computes with.

    Returns:
        The results, as a list. Its `not_understood` has the words that the encoder does not know.

    Raises:
        UsageError: picture and text are missing, a condition cannot be read, or options contradict each other.
        DataError: the picture or the catalog cannot be used.
        MismatchError: catalog, encoder and composer do not belong together.
    """
    output = Path(output) if output else None
    _check_query(image, text, options, composing=engine.composer is not None, reranking=rerank is not None)
    reranker = Reranker(rerank) if rerank else None
    if output:
        check_output(output)
    with open_catalog(catalog, **engine.arguments, runtime=runtime) as opened:
        if options.weight is not None and opened.composer is not None:
            raise UsageError(f"--weight: the composer {opened.composer.name} has no weight; leave --weight out")
        query = query_of(opened, image, text, options)
        hits = opened.answer([query]).hits[0]
        for note in hits.notes(short_name(opened.encoder)):
            say(note)
        asked = parts_of(opened, image, text, options)
        reference, where = _shown_reference(opened, asked, options)
        if reranker and reference and not options.offset:
            reranker.limits, reranker.read = opened.catalog.limits, opened.read
            hits = Hits(rerank_once(reranker, reference, query.sentence, hits), hits.reading, hits.unwanted)
        if output:
            written = options_written(options)
            write_results(
                output, reference, query.sentence, hits, opened.read, opened.catalog.limits,
                shown_as=where, options=written,
            )  # fmt: skip
    return hits


def options_written(options: SearchOptions) -> dict[str, Any]:
    """The options of a search that differ from their defaults, as written into a file of results."""
    usual = SearchOptions()
    named = ("like", "unlike", "unwanted", "box", "where", "boost", "sort", "unique")
    given = {name: getattr(options, name) for name in named if getattr(options, name) != getattr(usual, name)}
    if len(options.like) == 1:
        given.pop("like")  # the reference, which the file of results already names
    return {
        ("not" if name == "unwanted" else name): list(v) if isinstance(v, tuple) else v for name, v in given.items()
    }


def _shown_reference(
    opened: OpenCatalog, asked: QueryParts, options: SearchOptions
) -> tuple[Path | bytes | None, str | None]:
    """The first picture of the query, cropped to its box, and its path, for the contact sheet."""
    if asked.images:
        source = asked.images[0][0]
        shown: Path | bytes | None = source if isinstance(source, bytes) else Path(source)
        where = None if isinstance(source, bytes) else str(source)
    elif asked.likes:
        like = asked.likes[0][0]
        shown, where = _content(opened, like), opened.picture(like).path
    else:
        return None, None
    if shown is None or not options.box:
        return shown, where
    cut, out = Box.read(options.box).cut(open_picture(shown, opened.catalog.limits)), BytesIO()
    cut.save(out, "PNG")
    return out.getvalue(), where


def _content(opened: OpenCatalog, like: str) -> bytes | None:
    """Read the file of the reference to show it. If it is not the file that was indexed, print that and return None."""
    try:
        return opened.read(like)
    except PictureError as error:
        say(f"{like}: {error}")
        return None


def _check_query(image: Pictures, text: Texts, options: SearchOptions, *, composing: bool, reranking: bool) -> None:
    """Raise UsageError if the query lacks a picture or a text that an option needs."""
    images = () if image is None else (image,) if isinstance(image, (str, bytes, Path)) else tuple(image)
    texts = [one for one in ((text,) if isinstance(text, str) else text) if one.strip()]
    pictures, words = len(images) + len(options.like), bool(texts or options.unwanted)
    if not (pictures or options.unlike or words):
        raise UsageError("give an --image or --like, a --text, or both")
    if options.weight is not None and not ((pictures or options.unlike) and words):
        raise UsageError("--weight needs a picture and words; give both, or leave it out")
    if composing and not (pictures and words):
        raise UsageError("a --composer needs both a picture (--image or --like) and a --text")
    if reranking and not (pictures and texts):
        raise UsageError("--rerank needs both a picture and a --text")
    if reranking and (pictures > 1 or options.sort):
        raise UsageError(
            "--rerank needs exactly one picture and sets the order; give one --image or --like, and no --sort"
        )
