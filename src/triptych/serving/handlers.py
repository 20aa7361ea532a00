"""What the service's routes have in common: the collection, the batches, the uploads and the drawings."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np

from triptych.core.errors import DataError, PictureError, UsageError
from triptych.core.images import open_picture
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Pixels
from triptych.retrieval.library import Library
from triptych.retrieval.query import Reference, SearchQuery
from triptych.retrieval.reranking import Reranked, Reranker
from triptych.retrieval.results import Hit, Picture
from triptych.serving.batching import Batcher
from triptych.serving.problems import Problem, busy
from triptych.serving.prometheus import ServiceMetrics
from triptych.serving.settings import ServiceSettings
from triptych.serving.thumbnails import SIDES, Thumbnail, ThumbnailCache, Uploads, draw, kept_of

T = TypeVar("T")
_SEARCHES = 32  # queries answered together, at most
_ADDITIONS = 64  # pictures written together, at most


@dataclass(frozen=True)
class Asked:
    """A query, whose reference has no vector yet where there are pixels of it."""

    query: SearchQuery
    pixels: Pixels | None = None


@dataclass(frozen=True)
class Answered:
    """The hits of a query, and the seconds that went into encoding its batch and into finding neighbours."""

    query: SearchQuery
    hits: list[Hit]
    encoding: float
    finding: float


class RequestHandlers:
    """Stands between the routes and the collection. What takes long runs in threads, a few at a time."""

    def __init__(
        self, collection: Library, settings: ServiceSettings, threads: int, reranker: Reranker | None = None
    ) -> None:
        self.collection = collection
        self.settings = settings
        self.reranker = reranker
        self.searched = asyncio.Event()
        """Somebody has searched, who may now compare what was found."""
        self.uploads = Uploads()
        self.observations = ServiceMetrics()
        self.observations.gauge("triptych_pictures", "Pictures in the catalog.", lambda: len(collection))
        self._drawings = ThumbnailCache()
        self._threads = ThreadPoolExecutor(max(2, threads), thread_name_prefix="desk")
        # Of their own: a first comparison takes long, and a check is to answer whatever else is under way.
        self._comparing = ThreadPoolExecutor(1, thread_name_prefix="comparing")
        self._checking = ThreadPoolExecutor(1, thread_name_prefix="checking")
        self._search = Batcher(self._answer, _SEARCHES)
        self._add = Batcher(self._take_in, _ADDITIONS)

    async def in_thread(self, work: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
        """Run `work` without keeping other requests waiting."""
        return await asyncio.get_running_loop().run_in_executor(threads or self._threads, work)

    async def compare(self, work: Callable[[], T]) -> T:
        """Run `work`, which may take long the first time, so that no search waits for it."""
        return await self.in_thread(work, self._comparing)

    async def check(self) -> None:
        """Raise Problem or StoreError where a search would not be answered now; it waits for no other search."""
        try:
            await self.in_thread(self.collection.check_ready, self._checking)
        except DataError as error:
            say(f"not ready: {error}")
            raise busy("the catalog is gone; whoever runs this finds more in the log") from None

    async def search(self, picture: bytes | None, like: str, **terms: Any) -> tuple[Answered, str | None]:
        """Answer a query of these terms; with the id of its reference, if it has one."""
        if picture is not None and like:
            raise Problem(422, "send a picture, or the id of one as `like`, not both")
        self.collection.check(terms["where"])
        kept = b""
        decoding = 0.0

        def begin() -> Asked | Answered:
            nonlocal kept, decoding
            if picture is None:
                asked = Asked(SearchQuery(self.reference(like) if like else None, **terms))
            else:
                pixels, kept, decoding = self._read(picture)
                shown = self.collection.shown(lambda: pixels)
                unknown = Reference(np.zeros(0, np.float32), sha256(picture).hexdigest(), shown)
                asked = Asked(SearchQuery(unknown, **terms), pixels)
            return self._search.at_once(asked) or asked

        answered = await self.in_thread(begin)
        if isinstance(answered, Asked):
            answered = await self._search(answered)
        answered = replace(answered, encoding=answered.encoding + decoding)
        self.observations.time("encoding", answered.encoding)
        self.observations.time("finding", answered.finding)
        self.searched.set()
        if picture is None:
            return answered, like or None
        assert answered.query.reference is not None
        return answered, self.uploads.keep(answered.query.reference, kept)

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
        """Take a picture in; it is on disk when this returns."""
        await self.in_thread(
            lambda: self.collection.pixels(picture, self.settings.limits)
        )  # before others depend on it
        return await self._add((picture, metadata))

    async def remove(self, name: str) -> None:
        """Take a picture out, for good."""
        picture = self.picture(name)
        await self.in_thread(lambda: self.collection.remove([picture.name]))

    def picture(self, name: str) -> Picture:
        """The picture of that id (or name). Raises Problem where there is none."""
        try:
            return self.collection.picture(name)
        except UsageError:
            raise Problem(404, "the catalog has no such picture") from None

    def reference(self, like: str) -> Reference:
        """A picture of the catalog, or one uploaded not long ago. Raises Problem where it is neither."""
        upload = self.uploads.get(like)
        if upload:
            return upload.reference
        return self.collection.reference(like=self.picture(like).name)

    async def drawing(self, name: str, kind: str) -> Thumbnail:
        """A JPEG of a picture, by its id alone. Raises Problem where it is unknown or gone."""
        upload = self.uploads.get(name)
        side = SIDES[kind]
        if upload:
            kept = upload.picture
            return await self.in_thread(lambda: self._drawings.get((name, side), lambda: draw(kept, side)))
        picture = self.picture(name)
        if picture.id != name:
            raise Problem(404, "the catalog has no such picture")
        return await self.in_thread(lambda: self._drawn(Path(picture.path), name, side))

    def _drawn(self, path: Path, name: str, side: int) -> Thumbnail:
        """A picture of the catalog as its file now is, which is the owner's: the limits are those of `index`."""
        try:
            facts = path.stat()
            key = (name, side, facts.st_size, facts.st_mtime_ns)
            return self._drawings.get(key, lambda: draw(path, side))
        except (OSError, PictureError):
            raise Problem(
                404, "the picture's file is gone, or is none any more; `triptych index` looks again"
            ) from None

    def _read(self, picture: bytes) -> tuple[Pixels, bytes, float]:
        started = perf_counter()
        opened = open_picture(picture, self.settings.limits)
        pixels = self.collection.encoder.prepare(opened)
        decoding = perf_counter() - started
        return pixels, kept_of(picture, opened), decoding

    def _answer(self, asked: Sequence[Asked]) -> list[Answered]:
        started = perf_counter()
        pixels = [one.pixels for one in asked if one.pixels is not None]
        vectors = iter(self.collection.encoder.encode_pictures(np.stack(pixels)) if pixels else ())
        queries = [one.query if one.pixels is None else _with_vector(one.query, next(vectors)) for one in asked]
        looking = perf_counter() - started
        answers = self.collection.answer(queries)
        return [
            Answered(query, hits, looking + answers.encoding, answers.finding)
            for query, hits in zip(queries, answers.hits, strict=True)
        ]

    def _take_in(self, new: Sequence[tuple[bytes, Mapping[str, str]]]) -> list[Picture]:
        return self.collection.add([picture for picture, _ in new], [metadata for _, metadata in new])


def _with_vector(query: SearchQuery, vector: Vectors) -> SearchQuery:
    assert query.reference is not None
    return replace(query, reference=replace(query.reference, vector=vector))
