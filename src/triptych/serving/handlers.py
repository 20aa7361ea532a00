"""The handlers behind the routes: batched searches, additions, uploads and thumbnails."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from triptych.core.boxes import Box
from triptych.core.decoders import Decoders
from triptych.core.errors import CatalogError, PictureError, UsageError
from triptych.core.limits import Limits
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Pixels, square_side
from triptych.retrieval.language import split_weight
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.retrieval.options import SearchOptions
from triptych.retrieval.query import Reference, SearchQuery
from triptych.retrieval.query_building import query_of
from triptych.retrieval.reranking import Reranked, Reranker
from triptych.retrieval.results import Hit, Hits, Picture
from triptych.serving.batching import Batcher
from triptych.serving.decoding import PictureDecoding
from triptych.serving.known import KnownPictures
from triptych.serving.problems import Problem, busy
from triptych.serving.prometheus import ServiceMetrics
from triptych.serving.settings import ServiceSettings
from triptych.serving.thumbnails import SIDES, Thumbnail, ThumbnailCache, Uploads, draw, drawn, wanted_of_upload

T = TypeVar("T")
_SEARCHES = 32  # queries of a batch, at most: bounds the wait for a batch
_FETCHES = 4  # pictures fetched by URL at once
_ADDITIONS = 64  # pictures written in one commit, at most


@dataclass(frozen=True)
class PendingSearch:
    """A query. If `pixels` are given, its reference has no vector yet."""

    query: SearchQuery
    pixels: Pixels | None = None


@dataclass(frozen=True)
class NewUpload:
    """A picture to add: its file, and the encoder's input."""

    picture: bytes
    metadata: Mapping[str, str]
    pixels: Pixels


@dataclass(frozen=True)
class FinishedSearch:
    """The hits of a query, and the seconds for encoding its batch and for finding neighbours."""

    query: SearchQuery
    hits: Hits
    encoding: float
    finding: float


class RequestHandlers:
    """The operations behind the routes. Slow work runs in a few threads."""

    def __init__(
        self, catalog: OpenCatalog, settings: ServiceSettings, threads: int, reranker: Reranker | None = None
    ) -> None:
        self.catalog = catalog
        self.settings = settings
        self.reranker = reranker
        self.is_whole = True
        """Whether the catalog on disk was whole at the last check."""
        self.searched = asyncio.Event()
        """Set by the first search; after it, comparisons are likely."""
        self.uploads = Uploads()
        self.known = KnownPictures(catalog, self.uploads, settings.limits)
        self.decoding = PictureDecoding(max(2, threads), settings.request_timeout)
        catalog.open_picture = self.decoding.open_own
        if reranker:
            reranker.open_picture = self._open
        self.metrics = ServiceMetrics()
        self.metrics.gauge("triptych_pictures", "Pictures in the catalog.", lambda: len(catalog))
        self._thumbnails = ThumbnailCache()
        self._threads = ThreadPoolExecutor(max(2, threads), thread_name_prefix="requests")
        # Separate threads: the first comparison is slow, and health checks must answer whatever else runs.
        self._comparing = ThreadPoolExecutor(1, thread_name_prefix="comparing")
        self._checking = ThreadPoolExecutor(1, thread_name_prefix="checking")
        self._fetching = ThreadPoolExecutor(_FETCHES, thread_name_prefix="fetching")  # these wait for other hosts
        self._search = Batcher(self._answer, _SEARCHES)
        self._add = Batcher(self._add_all, _ADDITIONS)

    def close(self) -> None:
        """Stop all threads and processes; no request is answered afterwards."""
        self.decoding.close()
        for threads in (self._threads, self._comparing, self._checking, self._fetching):
            threads.shutdown(wait=False, cancel_futures=True)

    async def in_thread(self, work: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
        """Run `work` in a thread, so that other requests go on."""
        return await asyncio.get_running_loop().run_in_executor(threads or self._threads, work)

    async def compare(self, work: Callable[[], T]) -> T:
        """Run `work`, which may be slow the first time, in a thread that no search needs."""
        return await self.in_thread(work, self._comparing)

    async def check(self) -> None:
        """Raise Problem or StoreError if searches cannot be answered. It does not wait for other searches."""
        try:
            await self.in_thread(self.decoding.check, self._checking)
            await self.in_thread(self.catalog.check_ready, self._checking)
        except CatalogError as error:
            say(f"not ready: {error}")
            self.is_whole = False
            self.require_catalog()
        self.is_whole = True

    def require_catalog(self) -> None:
        """Raise Problem if the catalog was gone or damaged at the last check."""
        if not self.is_whole:
            raise busy("the catalog is gone or damaged; the operator finds details in the log")

    async def follow(self) -> None:
        """Check whether the catalog is whole, and read it again if another process has changed it."""
        try:
            await self.in_thread(self.catalog.refresh)
            await self.in_thread(self.catalog.check_catalog, self._checking)
        except CatalogError as error:
            if self.is_whole:
                say(f"searches are not answered: {error}")
            self.is_whole = False
        else:
            self.is_whole = True

    async def search(
        self, picture: bytes | None, text: Sequence[str], options: SearchOptions
    ) -> tuple[FinishedSearch, str | None]:
        """Answer a query. Also returns the id of its reference, if it has one."""
        box = Box.read(options.box) if options.box else None
        kept = b""
        decoding = 0.0

        def begin() -> PendingSearch | FinishedSearch:
            self.catalog.check(options.where)  # in a thread, since checking reads a possibly large gallery
            search = PendingSearch(query_of(self.known, None, text, options))
            return self._search.at_once(search) or search

        def begin_with(decoders: Decoders) -> PendingSearch | FinishedSearch:
            nonlocal kept, decoding
            assert picture is not None
            self.catalog.check(options.where)
            pixels, kept, decoding = self._read(picture, decoders, box)
            needed = self.catalog.needed_pixels(lambda: pixels)
            unknown = Reference(np.zeros(0, np.float32), sha256(picture).hexdigest(), needed)
            search = PendingSearch(query_of(self.known, None, text, options, unknown), pixels)
            return self._search.at_once(search) or search

        if picture is None:
            finished = await self.in_thread(begin)
        else:
            finished = await self.decoding.with_upload(picture, begin_with)
        if isinstance(finished, PendingSearch):
            finished = await self._search(finished)
        finished = replace(finished, encoding=finished.encoding + decoding)
        self.metrics.time("encoding", finished.encoding)
        self.metrics.time("finding", finished.finding)
        self.searched.set()
        if picture is None:
            return finished, self._first(options.like)
        assert finished.query.reference is not None
        return finished, self.uploads.keep(finished.query.reference, kept, options.box or "")

    async def upload(self, picture: bytes, box: str) -> str:
        """Store an upload as a reference for searches. Returns its id."""
        part = Box.read(box) if box else None
        pixels, kept, _ = await self.decoding.with_upload(picture, lambda decoders: self._read(picture, decoders, part))

        def encode() -> Vectors:
            vector: Vectors = self.catalog.encoder.encode_pictures(pixels[None])[0]
            return vector

        needed = self.catalog.needed_pixels(lambda: pixels)
        reference = Reference(await self.in_thread(encode), sha256(picture).hexdigest(), needed)
        return self.uploads.keep(reference, kept, box)

    def _first(self, likes: Sequence[str]) -> str | None:
        """The first picture that a query names, without its weight."""
        return split_weight(likes[0], lambda name: self.known.name_of(name) is not None)[0] if likes else None

    async def rerank(self, reference: str, text: str, hits: Sequence[Hit]) -> Reranked:
        """Re-rank the first results by the chat model, for the reference with this id. Failures are logged."""
        assert self.reranker is not None
        upload = self.uploads.get(reference)
        try:
            source = upload.picture if upload else await self.in_thread(lambda: self.catalog.read(reference))
        except PictureError as error:
            say(f"not re-ranked: the reference cannot be read: {error}")
            return Reranked(list(hits), "the reference's file is gone")
        reranked = await self.reranker(source, text, hits)
        if reranked.problem:
            say(f"not re-ranked: {reranked.problem}: {reranked.detail}")
        return reranked

    async def add(self, picture: bytes, metadata: Mapping[str, str]) -> Picture:
        """Add a picture. When this returns, it is written to disk."""
        square, limits = square_side(self.catalog.encoder), self.settings.limits
        opened = await self.decoding.with_upload(
            picture, lambda decoders: decoders.open_picture(picture, limits, square=square)
        )
        return await self._add(NewUpload(picture, metadata, self.catalog.encoder.prepare(opened)))

    async def fetch(self, url: str) -> bytes:
        """Fetch a picture by its URL. Raises Problem if fetching is off, or this URL is not allowed."""
        fetcher = self.settings.fetcher
        if fetcher is None:
            raise Problem(403, "url: this service fetches no pictures; start it with --fetch-from HOST")
        return await self.in_thread(lambda: fetcher(url), self._fetching)

    async def change(self, name: str, metadata: Mapping[str, Any]) -> Picture:
        """Change the metadata of a picture. When this returns, they are written to disk."""
        own = self.picture(name).name
        (changed,) = await self.in_thread(lambda: self.catalog.update({own: metadata}))
        return changed

    async def remove(self, name: str) -> None:
        """Remove a picture permanently."""
        picture = self.picture(name)
        await self.in_thread(lambda: self.catalog.remove([picture.name]))

    def picture(self, name: str) -> Picture:
        """The picture with this id or name. Raises Problem if there is none."""
        try:
            return self.catalog.picture(name)
        except UsageError:
            raise Problem(404, "the catalog has no such picture") from None

    def reference(self, like: str) -> Reference:
        """The reference for a picture of the catalog or a recent upload. Raises Problem if it is neither."""
        return self.known.reference(like=like)

    async def thumbnail(self, name: str, kind: str) -> Thumbnail:
        """A JPEG of a picture, by its id only. Raises Problem if it is unknown or gone."""
        upload = self.uploads.get(name)
        side = SIDES[kind]
        if upload:
            kept, limits = upload.picture, self.settings.limits
            if known := self._thumbnails.get((name, side)):
                return known
            drawing = await self.decoding.with_upload(kept, lambda decoders: draw(kept, side, limits, decoders))
            return self._thumbnails.keep((name, side), drawing)
        picture = self.picture(name)
        if picture.id != name:
            raise Problem(404, "the catalog has no such picture")
        return await self.decoding.with_own(lambda decoders: self._thumbnail(picture, side, decoders))

    def _thumbnail(self, picture: Picture, side: int, decoders: Decoders) -> Thumbnail:
        """Draw a picture of the catalog, if its file is the one that was indexed, within the limits of `index`."""
        catalog = self.catalog
        try:
            facts = Path(picture.path).stat()
            key = (picture.id, side, facts.st_size, facts.st_mtime_ns)
            drawing = self._thumbnails.get(key) or draw(
                catalog.read(picture.name), side, catalog.catalog.limits, decoders
            )
            return self._thumbnails.keep(key, drawing)
        except (OSError, PictureError):
            raise Problem(
                404, "the picture's file is gone or no longer a picture; run `triptych index` again"
            ) from None

    def _read(self, picture: bytes, decoders: Decoders, box: Box | None) -> tuple[Pixels, bytes, float]:
        """Decode an upload: the encoder's input, the JPEG to keep, and the seconds that decoding took."""
        started = perf_counter()
        encoder = self.catalog.encoder
        if box:
            cut = box.cut(decoders.open_picture(picture, self.settings.limits))
            return encoder.prepare(cut), drawn(cut), perf_counter() - started
        decoded = decoders.decode(picture, self.settings.limits, wanted_of_upload(picture, square_side(encoder)))
        assert decoded.picture is not None
        pixels = encoder.prepare(decoded.picture)
        return pixels, decoded.jpeg or picture, perf_counter() - started

    def _open(self, source: Path | bytes, limits: Limits) -> Image.Image:
        """Open a picture for the chat model. It runs in the chat model's own thread."""
        return self.decoding.open_own(source if isinstance(source, bytes) else source.read_bytes(), limits)

    def _answer(self, searches: Sequence[PendingSearch]) -> list[FinishedSearch]:
        started = perf_counter()
        pixels = [one.pixels for one in searches if one.pixels is not None]
        vectors = iter(self.catalog.encoder.encode_pictures(np.stack(pixels)) if pixels else ())
        queries = [one.query if one.pixels is None else _with_vector(one.query, next(vectors)) for one in searches]
        looking = perf_counter() - started
        answers = self.catalog.answer(queries)
        return [
            FinishedSearch(query, hits, looking + answers.encoding, answers.finding)
            for query, hits in zip(queries, answers.hits, strict=True)
        ]

    def _add_all(self, new: Sequence[NewUpload]) -> list[Picture]:
        pictures, metadata = [upload.picture for upload in new], [upload.metadata for upload in new]
        pixels = [upload.pixels for upload in new]
        return self.catalog.add(pictures, metadata, limits=self.settings.limits, pixels=pixels)


def _with_vector(query: SearchQuery, vector: Vectors) -> SearchQuery:
    assert query.reference is not None
    return replace(query, reference=replace(query.reference, vector=vector))
