"""The files of a `DiskStore`: writing them from vectors that need not fit in memory, and reading them.

DIR/index.json       which vectors the files hold; written last, so a folder with it is complete
DIR/vectors.f16      the vectors in half precision, one row each
DIR/pictures.parquet name and SHA-256 of each row
DIR/index.faiss      product quantizer and inverted lists; missing for few vectors
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from triptych.core.environment import require_extra
from triptych.core.errors import DataError
from triptych.core.files import atomic, locked, read_json, write_json
from triptych.core.progress import progress
from triptych.core.vectors import Vectors, nearest_in_pieces
from triptych.retrieval.stores.clustering import NearestCentre, centres_of
from triptych.retrieval.stores.gallery import fixed_hashes
from triptych.retrieval.stores.hnsw import import_faiss
from triptych.retrieval.stores.names import Names

Numbers = NDArray[np.int64]
Halves = NDArray[np.float16]
"""Vectors in half precision, memory-mapped from a file."""

_FORMAT = "triptych-disk-1"
_NOTE, _VECTORS, _PICTURES, _GRAPH = "index.json", "vectors.f16", "pictures.parquet", "index.faiss"
_INDEXED = 20_000  # fewer vectors get no index: scoring all of them is fast enough
_BYTE = 8  # dimensions that one byte of the code encodes
_LISTS = 2.0  # inverted lists, as a multiple of the square root of the number of vectors
_SAMPLES = 40  # training vectors for each list; FAISS warns below 39
_CANDIDATES = 20  # candidates for each wanted result that are scored by their vectors
_LEAST_CANDIDATES = 200  # candidates, at least
_PROBES = 48  # lists that a search reads, at least
_PROBED = 0.03  # the share of the lists that a search reads
_ROUNDS = 10  # iterations of k-means
_BLOCK = 65_536  # vectors written, added or scored at once
_ASKED = 100  # vectors with which the recall is measured


@dataclass(frozen=True)
class DiskIndex:
    """Vectors on disk, and the index that finds candidates."""

    folder: Path
    vectors: Halves
    graph: Any
    """The FAISS index; None for few vectors."""
    recall: float

    def candidates(self, queries: Vectors, k: int, allowed: NDArray[np.bool_] | None = None) -> list[Numbers]:
        """For each query positions that probably include the `k` nearest, only of allowed vectors if given."""
        if self.graph is None:
            return [np.arange(len(self.vectors)) if allowed is None else np.flatnonzero(allowed)] * len(queries)
        faiss = import_faiss()
        lists = self.graph.nlist
        share = 1.0 if allowed is None else float(allowed.mean())
        probes = max(_PROBES, _PROBED * lists) / share  # more lists, since each holds fewer allowed vectors
        settings = faiss.SearchParametersIVF(nprobe=int(min(lists, ceil(probes))))
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            settings.sel = selector = faiss.IDSelectorBitmap(bits)
            assert selector is not None  # keeps the selector and its bits alive during the search
        _, places = self.graph.search(_padded(queries), max(_LEAST_CANDIDATES, _CANDIDATES * k), params=settings)
        return [found[found >= 0] for found in places]

    def best(self, query: Vectors, places: Numbers, k: int) -> tuple[Numbers, Vectors]:
        """The `k` best of some positions by their vectors, which are read in blocks, and their scores."""
        rows, scores = np.empty(0, np.int64), np.empty(0, np.float32)
        for start in range(0, len(places), _BLOCK):
            some = places[start : start + _BLOCK]
            rows = np.concatenate([rows, some])
            scores = np.concatenate([scores, self.vectors[some].astype(np.float32) @ query])
            kept = np.argsort(-scores, kind="stable")[:k]
            rows, scores = rows[kept], scores[kept]
        return rows, scores

    def pictures(self) -> Iterator[tuple[pa.ChunkedArray, NDArray[np.bytes_]]]:
        """Name and SHA-256 of each vector's picture, in blocks."""
        with pq.ParquetFile(self.folder / _PICTURES) as file:
            for batch in file.iter_batches(_BLOCK, columns=["name", "sha256"], use_threads=False):
                table = pa.table(batch)
                yield table.column("name"), fixed_hashes(table.column("sha256"))

    def is_there(self) -> bool:
        """Whether its files still exist."""
        return all((self.folder / name).is_file() for name in (_NOTE, _VECTORS))


def open_index(folder: Path, dim: int) -> DiskIndex | None:
    """Open the index in a folder; None if there is none, or it is incomplete or of another version.

    Raises:
        UsageError: the extra `faiss` is not installed.
    """
    require_extra("faiss", "--store disk")
    try:
        note = read_json(folder / _NOTE, "index")
        if note["format"] != _FORMAT or note["dim"] != dim:
            return None
        size = (note["count"], dim)
        vectors = _mapped(folder / _VECTORS, size) if note["count"] else _none(dim)
        graph = None
        if note["lists"]:
            graph = import_faiss().read_index(str(folder / _GRAPH))
    except (DataError, KeyError, TypeError, ValueError, OSError, RuntimeError):
        return None  # missing or damaged: it is made again
    return DiskIndex(folder, vectors, graph, float(note["recall"]))


def build_index(
    folder: Path,
    names: Names,
    hashes: NDArray[np.bytes_],
    blocks: Iterator[tuple[Numbers, Vectors]],
    dim: int,
) -> DiskIndex:
    """Write the files from blocks of vectors, and measure the recall of the index.

    Raises:
        BusyError: another process is making the index.
    """
    with locked(folder):
        (folder / _NOTE).unlink(missing_ok=True)
        vectors = _write_vectors(folder / _VECTORS, len(names), blocks, dim)
        graph = _train(vectors) if len(names) >= _INDEXED else None
        if graph is not None:
            with atomic(folder / _GRAPH) as temporary:
                import_faiss().write_index(graph, str(temporary))
        table = pa.table({"name": names.column, "sha256": pa.array(hashes).cast(pa.string())})
        with atomic(folder / _PICTURES) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        index = DiskIndex(folder, vectors, graph, 1.0)
        recall = _measured_recall(index)
        lists = 0 if graph is None else graph.nlist
        note = {"format": _FORMAT, "dim": dim, "count": len(names), "lists": lists, "recall": recall}
        write_json(folder / _NOTE, note)
    return DiskIndex(folder, vectors, graph, recall)


def _write_vectors(path: Path, count: int, blocks: Iterator[tuple[Numbers, Vectors]], dim: int) -> Halves:
    """Write vectors in half precision, which changes a cosine by about 0.0003."""
    if not count:
        return _none(dim)
    with atomic(path) as temporary:
        whole = np.memmap(temporary, np.float16, "w+", shape=(count, dim))
        for rows, block in progress(blocks, "disk", total=ceil(count / 4096), unit="block"):
            whole[rows] = block
        whole.flush()
        del whole
    return _mapped(path, (count, dim))


def _mapped(path: Path, size: tuple[int, int]) -> Halves:
    """The vectors in a file, as a plain array, which is indexed faster than a `memmap`."""
    return np.memmap(path, np.float16, "r", shape=size).view(np.ndarray)


def _none(dim: int) -> Halves:
    return np.empty((0, dim), np.float16)


def _train(vectors: Halves) -> Any:
    """Train lists and codes on a sample of the vectors, and add all vectors."""
    count, dim = len(vectors), _padded(np.zeros((1, vectors.shape[1]), np.float32)).shape[1]
    faiss, lists = import_faiss(), int(_LISTS * count**0.5)
    places = np.random.default_rng(0).choice(count, min(count, _SAMPLES * lists), replace=False)
    sample = _padded(vectors[np.sort(places)].astype(np.float32))
    centres = centres_of(sample, lists, _ROUNDS)
    quantizer = faiss.IndexFlatIP(dim)
    quantizer.add(centres)
    graph = faiss.IndexIVFPQ(quantizer, dim, lists, dim // _BYTE, 8, faiss.METRIC_INNER_PRODUCT)
    quantizer.this.disown()
    graph.own_fields = True  # the index frees the quantizer
    graph.do_polysemous_training = False  # slow, and serves a filter that is not used here
    graph.pq.cp.niter = _ROUNDS
    graph.pq.cp.max_points_per_centroid = 64
    graph.train(sample)
    nearest = NearestCentre(centres)  # FAISS's own search for it takes twelve times as long
    for start in progress(range(0, count, _BLOCK), "disk index", total=ceil(count / _BLOCK), unit=f"x{_BLOCK}"):
        block = _padded(vectors[start : start + _BLOCK].astype(np.float32))
        lists_of = nearest(block)
        graph.add_core(len(block), faiss.swig_ptr(block), None, faiss.swig_ptr(lists_of))
    return graph


def _padded(vectors: Vectors) -> Vectors:
    """Pad vectors with zeros, so that their codes fill whole bytes."""
    left = -vectors.shape[1] % _BYTE
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, left))) if left else vectors)


def _measured_recall(index: DiskIndex, k: int = 10) -> float:
    """Measure the share of the exact `k` nearest that the index finds, over a sample of the vectors."""
    if index.graph is None:
        return 1.0
    vectors = index.vectors
    places = np.random.default_rng(1).choice(len(vectors), _ASKED, replace=False)
    asked = vectors[np.sort(places)].astype(np.float32)
    starts = range(0, len(vectors), _BLOCK)
    blocks = ((start, vectors[start : start + _BLOCK].astype(np.float32)) for start in starts)
    rows, _ = nearest_in_pieces(asked, ((np.arange(start, start + len(one)), one) for start, one in blocks), k)
    shares = [
        np.isin(right, index.best(query, places, k)[0]).mean()
        for query, places, right in zip(asked, index.candidates(asked, k), rows, strict=True)
    ]
    return round(float(np.mean(shares)), 4)
