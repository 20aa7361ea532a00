"""What the service's routes do: searches in batches, additions, uploads and thumbnails."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from triptych.core.errors import CatalogError, PictureError, UsageError
from triptych.core.images import open_picture
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Pixels
from triptych.retrieval.library import Library
from triptych.retrieval.query import Reference, SearchQuery
from triptych.retrieval.reranking import Reranked, Reranker
from triptych.retrieval.results import Hit, Hits, Picture
from triptych.serving.batching import Batcher
from triptych.serving.problems import Problem, busy
from triptych.serving.prometheus import ServiceMetrics
from triptych.serving.settings import ServiceSettings
from triptych.serving.thumbnails import SIDES, Thumbnail, ThumbnailCache, Uploads, compact_upload, draw

T = TypeVar("T")
_SEARCHES = 32  # queries answered together, at most
_ADDITIONS = 64  # pictures written together, at most


@dataclass(frozen=True)
class PendingSearch:
    """A query, whose reference has no vector yet where there are pixels of it."""

    query: SearchQuery
    pixels: Pixels | None = None


@dataclass(frozen=True)
class FinishedSearch:
    """The hits of a query, and the seconds that went into encoding its batch and into finding neighbours."""

    query: SearchQuery
    hits: Hits
    encoding: float
    finding: float


class RequestHandlers:
    """What the routes call. What takes long runs in threads, a few at a time."""

    def __init__(
        self, library: Library, settings: ServiceSettings, threads: int, reranker: Reranker | None = None
    ) -> None:
        self.library = library
        self.settings = settings
        self.reranker = reranker
        self.is_whole = True
        """Whether the catalog on disk was whole when it was last looked at."""
        self.searched = asyncio.Event()
        """Set once somebody has searched, who may now compare what was found."""
        self.uploads = Uploads()
        self.metrics = ServiceMetrics()
        self.metrics.gauge("triptych_pictures", "Pictures in the catalog.", lambda: len(library))
        self._thumbnails = ThumbnailCache()
        self._threads = ThreadPoolExecutor(max(2, threads), thread_name_prefix="requests")
        # Of their own: a first comparison takes long, and a check is to answer whatever else is under way.
        self._comparing = ThreadPoolExecutor(1, thread_name_prefix="comparing")
        self._checking = ThreadPoolExecutor(1, thread_name_prefix="checking")
        self._search = Batcher(self._answer, _SEARCHES)
        self._add = Batcher(self._add_all, _ADDITIONS)

    async def in_thread(self, work: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
        """Run `work` without keeping other requests waiting."""
        return await asyncio.get_running_loop().run_in_executor(threads or self._threads, work)

    async def compare(self, work: Callable[[], T]) -> T:
        """Run `work`, which may take long the first time, so that no search waits for it."""
        return await self.in_thread(work, self._comparing)

    async def check(self) -> None:
        """Raise Problem or StoreError where a search would not be answered now; it waits for no other search."""
        try:
            await self.in_thread(self.library.check_ready, self._checking)
        except CatalogError as error:
            say(f"not ready: {error}")
            self.is_whole = False
            self.require_catalog()
        self.is_whole = True

    def require_catalog(self) -> None:
        """Raise Problem where the catalog was found gone or damaged, until it is whole again."""
        if not self.is_whole:
            raise busy("the catalog is gone or damaged; whoever runs this finds more in the log")

    async def follow(self) -> None:
        """Read the catalog again where another process has changed it, and notice where it is gone or damaged."""
        try:
            await self.in_thread(self.library.refresh)
            await self.in_thread(self.library.check_catalog, self._checking)
        except CatalogError as error:
            if self.is_whole:
                say(f"searches are not answered: {error}")
            self.is_whole = False
        else:
            self.is_whole = True

    async def search(self, picture: bytes | None, like: str, **terms: Any) -> tuple[FinishedSearch, str | None]:
        """Answer a query of these terms; with the id of its reference, if it has one."""
        if picture is not None and like:
            raise Problem(422, "send a picture, or the id of one as `like`, not both")
        if terms["weight"] is not None:
            if self.library.composer is not None:
                raise Problem(422, "weight: this service composes picture and words without one; leave it out")
            if (picture is None and not like) or not terms["text"].strip():
                raise Problem(422, "weight: is that of words beside a picture; send both, or leave it out")
        kept = b""
        decoding = 0.0

        def begin() -> PendingSearch | FinishedSearch:
            nonlocal kept, decoding
            self.library.check(terms["where"])  # here, since a gallery may be large
            if picture is None:
                search = PendingSearch(SearchQuery(self.reference(like) if like else None, **terms))
            else:
                pixels, kept, decoding = self._read(picture)
                needed = self.library.needed_pixels(lambda: pixels)
                unknown = Reference(np.zeros(0, np.float32), sha256(picture).hexdigest(), needed)
                search = PendingSearch(SearchQuery(unknown, **terms), pixels)
            return self._search.at_once(search) or search

        finished = await self.in_thread(begin)
        if isinstance(finished, PendingSearch):
            finished = await self._search(finished)
        finished = replace(finished, encoding=finished.encoding + decoding)
        self.metrics.time("encoding", finished.encoding)
        self.metrics.time("finding", finished.finding)
        self.searched.set()
        if picture is None:
            return finished, like or None
        assert finished.query.reference is not None
        return finished, self.uploads.keep(finished.query.reference, kept)

    async def rerank(self, reference: str, text: str, hits: Sequence[Hit]) -> Reranked:
        """The first results judged by the chat model, for a reference of that id. What goes wrong is logged."""
        assert self.reranker is not None
        upload = self.uploads.get(reference)
        source = upload.picture if upload else Path(self.picture(reference).path)
        reranked = await self.reranker(source, text, hits)
        if reranked.problem:
            say(f"not re-ranked, {reranked.problem}: {reranked.detail}")
        return reranked

    async def add(self, picture: bytes, metadata: Mapping[str, str]) -> Picture:
        """Add a picture; it is on disk when this returns."""
        await self.in_thread(lambda: self.library.pixels(picture, self.settings.limits))  # before others depend on it
        return await self._add((picture, metadata))

    async def remove(self, name: str) -> None:
        """Remove a picture, for good."""
        picture = self.picture(name)
        await self.in_thread(lambda: self.library.remove([picture.name]))

    def picture(self, name: str) -> Picture:
        """The picture of that id (or name). Raises Problem where there is none."""
        try:
            return self.library.picture(name)
        except UsageError:
            raise Problem(404, "the catalog has no such picture") from None

    def reference(self, like: str) -> Reference:
        """A picture of the catalog, or one uploaded not long ago. Raises Problem where it is neither."""
        upload = self.uploads.get(like)
        if upload:
            return upload.reference
        return self.library.reference(like=self.picture(like).name)

    async def thumbnail(self, name: str, kind: str) -> Thumbnail:
        """A JPEG of a picture, by its id alone. Raises Problem where it is unknown or gone."""
        upload = self.uploads.get(name)
        side = SIDES[kind]
        if upload:
            kept = upload.picture
            limits = self.settings.limits
            return await self.in_thread(lambda: self._thumbnails.get((name, side), lambda: draw(kept, side, limits)))
        picture = self.picture(name)
        if picture.id != name:
            raise Problem(404, "the catalog has no such picture")
        return await self.in_thread(lambda: self._thumbnail(picture, side))

    def _thumbnail(self, picture: Picture, side: int) -> Thumbnail:
        """A picture of the catalog, if its file is the one that was indexed: the limits are those of `index`."""
        library = self.library
        try:
            facts = Path(picture.path).stat()
            key = (picture.id, side, facts.st_size, facts.st_mtime_ns)
            return self._thumbnails.get(key, lambda: draw(library.read(picture.name), side, library.catalog.limits))
        except (OSError, PictureError):
            raise Problem(
                404, "the picture's file is gone, or is none any more; `triptych index` looks again"
            ) from None

    def _read(self, picture: bytes) -> tuple[Pixels, bytes, float]:
        started = perf_counter()
        opened = open_picture(picture, self.settings.limits)
        pixels = self.library.encoder.prepare(opened)
        decoding = perf_counter() - started
        return pixels, compact_upload(picture, opened), decoding

    def _answer(self, searches: Sequence[PendingSearch]) -> list[FinishedSearch]:
        started = perf_counter()
        pixels = [one.pixels for one in searches if one.pixels is not None]
        vectors = iter(self.library.encoder.encode_pictures(np.stack(pixels)) if pixels else ())
        queries = [one.query if one.pixels is None else _with_vector(one.query, next(vectors)) for one in searches]
        looking = perf_counter() - started
        answers = self.library.answer(queries)
        return [
            FinishedSearch(query, hits, looking + answers.encoding, answers.finding)
            for query, hits in zip(queries, answers.hits, strict=True)
        ]

    def _add_all(self, new: Sequence[tuple[bytes, Mapping[str, str]]]) -> list[Picture]:
        pictures, metadata = [picture for picture, _ in new], [metadata for _, metadata in new]
        return self.library.add(pictures, metadata, limits=self.settings.limits)


def _with_vector(query: SearchQuery, vector: Vectors) -> SearchQuery:
    assert query.reference is not None
    return replace(query, reference=replace(query.reference, vector=vector))
