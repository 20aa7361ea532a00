"""Rows about searching vectors: stores and nearest neighbours beside FAISS and LanceDB."""

import argparse
import threading
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from peer_rows.turns import Timed, turns


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors of length 512 in clusters of about 200."""
    from triptych.core.vectors import unit

    random = np.random.default_rng(seed)
    centres = unit(random.standard_normal((max(1, count // 200), 512), np.float32))
    noise = unit(random.standard_normal((count, 512), np.float32))
    return unit(centres[random.integers(len(centres), size=count)] + 0.75 * noise)


def stores(options: argparse.Namespace, folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """Make vectors, queries, and this program's stores of the vectors."""
    import pyarrow as pa

    from triptych.retrieval.stores.disk import DiskStore
    from triptych.retrieval.stores.exact import ExactStore
    from triptych.retrieval.stores.gallery import Gallery
    from triptych.retrieval.stores.names import Names

    vectors, queries = clustered(options.vectors), clustered(2000, 1)
    names = [f"{row:09}.jpg" for row in range(len(vectors))]
    gallery = Gallery(Names(names), np.zeros(len(names), "S64"), pa.table({"name": names}), np.ones(len(names), bool))
    whole = [(np.arange(len(vectors)), vectors)]
    exact = ExactStore(gallery, vectors)
    exact.prepare()  # as the service does when it starts
    made = {
        "exact": exact,
        "disk": DiskStore(gallery, lambda: iter(whole), folder / "disk", 512),
    }
    return vectors, queries, made


def search(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    import faiss

    from triptych.retrieval.stores.protocol import SearchTerms

    faiss.omp_set_num_threads(options.threads)
    vectors, queries, ours = stores(options, folder)
    flat = faiss.IndexFlatIP(512)
    flat.add(vectors)
    graph = faiss.IndexHNSWFlat(512, 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 80
    graph.add(vectors)
    graph.hnsw.efSearch = 96
    asked = iter(range(10**9))

    def question() -> np.ndarray:
        return queries[next(asked) % len(queries)][None]

    def store(name: str) -> Timed:
        return lambda: ours[name].search(question(), [SearchTerms(10)])  # type: ignore[attr-defined]

    _, right = flat.search(queries[:200], 10)
    for name in ours:
        hits = ours[name].search(queries[:200], [SearchTerms(10)] * 200)  # type: ignore[attr-defined]
        share = np.mean(
            [np.isin([int(hit.name[:9]) for hit in some], ten).mean() for some, ten in zip(hits, right, strict=True)]
        )
        yield f"{name}: {share:.2%} of FAISS flat's ten"
    peers: dict[str, Timed] = {
        f"FAISS flat {version('faiss-cpu')}": lambda: flat.search(question(), 10),
        "FAISS HNSW, efSearch 96": lambda: graph.search(question(), 10),
    }
    if find_spec("lancedb"):
        import lancedb

        rows = [{"vector": vector, "row": row} for row, vector in enumerate(vectors)]
        table = lancedb.connect(folder / "lance").create_table("vectors", rows)
        label = f"LanceDB flat {version('lancedb')}"
        peers[label] = lambda: table.search(question()[0]).distance_type("dot").limit(10).to_list()
    else:
        yield "LanceDB is not installed, and left out"
    for name in ours:
        yield from turns({f"--store {name}": store(name), **peers}, options.rounds * 20)


def search_64(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    import faiss

    from triptych.retrieval.stores.protocol import SearchTerms

    faiss.omp_set_num_threads(options.threads)
    vectors, queries, ours = stores(options, folder)
    flat = faiss.IndexFlatIP(512)
    flat.add(vectors)
    some = queries[:64]

    def threads() -> None:
        at_work = [threading.Thread(target=flat.search, args=(query[None], 10)) for query in some]
        for thread in at_work:
            thread.start()
        for thread in at_work:
            thread.join()

    peers: dict[str, Timed] = {
        "FAISS flat, 64 threads": threads,
        "FAISS flat, all at once": lambda: flat.search(some, 10),
    }
    for name, store in ours.items():
        yield from turns(
            {f"--store {name}": lambda store=store: store.search(some, [SearchTerms(10)] * 64), **peers}, options.rounds
        )


def neighbours(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    import faiss

    from triptych.core.vectors import nearest

    faiss.omp_set_num_threads(options.threads)
    for count in (options.vectors // 4, options.vectors):
        vectors = clustered(count)
        asked = vectors[:2000]

        def flat(vectors: np.ndarray = vectors, asked: np.ndarray = asked) -> None:
            index = faiss.IndexFlatIP(512)
            index.add(vectors)
            index.search(asked, 50)

        ours: Timed = lambda vectors=vectors, asked=asked: nearest(asked, vectors, 50)  # noqa: E731
        yield from turns({f"nearest, of {count:,}": ours, "FAISS flat": flat}, options.rounds)
