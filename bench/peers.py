"""This program beside what people would use instead, on one machine and in turns, A B A B, with the spread of ratios.

    python bench/peers.py --setup PEERS             # once: a scratch environment with the peers
    PEERS/bin/python bench/peers.py ROW … [--rounds 5] [--threads 1] [--vectors 100000] [--pictures 500] [--page FILE]

PEERS is a folder for the environment: it sees what this one has, and adds the peers. Rows:

    index-clip   `index` of JPEGs with CLIP ViT-B/32 (random weights, real sizes), and sentence-transformers' `encode`
                 of the same files by its defaults; vectors must agree to a cosine of 0.9995
    index-own    `index` with the default encoder, and its graph alone on pixels that are there already
    search       one query over --vectors vectors of 512: exact, and by `--store disk`; FAISS flat and HNSW, LanceDB
    search-64    64 queries at once: as the service answers them, together; FAISS from 64 threads, and FAISS with all
    neighbours   the 50 nearest of 2,000 pictures among --vectors: `core.vectors.nearest`, and FAISS flat
    train        one epoch over triplets of --pictures references: seconds and peak memory of a process of its own
    start        `triptych search` from a cold start, and `python -c pass`
    growth       index, mine, train and search at n, 4n and 16n, with the exponent; draws --page's `growth.png`

A line has the medians of wall and of processor time, and of the ratio ours / peer, of either, over the rounds the
median, the least and the most. Processor time is what to look at on a machine that does other things too.
Metrics of CIRR and CIRCO size beside the plain way of published code are measured by `bench/evaluate.py`. Photos are
those of TRIPTYCH_DATA/fashion-products; others may be named by --photos.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

PEERS = ("faiss-cpu", "lancedb", "sentence-transformers", "tensorboard")
PHOTOS = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data")) / "fashion-products" / "images"
CLIP = PHOTOS.parents[1] / "clip-vit-base-patch32-tokenizer"
PROGRAM = (sys.executable, "-c", "from triptych.cli import main; main()")
Timed = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW")
    parser.add_argument("--setup", type=Path, metavar="PEERS")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--page", type=Path, help="a folder for growth.png")
    options = parser.parse_args()
    if options.setup:
        setup(options.setup)
    if options.rows:
        print("| what | wall | processor | ratio of wall | ratio of processor |\n|---|--:|--:|--:|--:|")
    for row in options.rows:
        with tempfile.TemporaryDirectory(prefix="triptych-peers-") as folder:
            for line in ROWS[row](options, Path(folder)):
                print(line, flush=True)


def setup(folder: Path) -> None:
    """A virtual environment over this one."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    inside = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    here = [*map(str, sys.path[1:]), str(Path(__file__).resolve().parents[1] / "src")]
    (Path(inside.strip()) / "outer.pth").write_text(
        "\n".join(path for path in here if "packages" in path or "src" in path)
    )
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)


def turns(sides: Mapping[str, Timed], rounds: int) -> Iterator[str]:
    """Run each side once that does not count, then all of them in turns; a line of figures for each peer."""
    for run in sides.values():
        run()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            wall, processor = time.perf_counter(), processor_seconds()
            run()
            times[name].append((time.perf_counter() - wall, processor_seconds() - processor))
    ours, *peers = sides
    yield f"| {ours} | {_medians(times[ours])} | | |"
    for peer in peers:
        shares = [_ratio(times[ours], times[peer], clock) for clock in (0, 1)]
        yield f"| {peer} | {_medians(times[peer])} | {shares[0]} | {shares[1]} |"


def processor_seconds() -> float:
    """Of this process and of those that it has waited for: what other programs do not change."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _medians(times: Sequence[tuple[float, float]]) -> str:
    wall, processor = (1000 * median(clock) for clock in zip(*times, strict=True))
    return f"{wall:.2f} ms | {processor:.2f} ms"


def _ratio(ours: Sequence[tuple[float, float]], peer: Sequence[tuple[float, float]], clock: int) -> str:
    """The median of the rounds' ratios, the least and the most."""
    ratios = [own[clock] / max(1e-9, other[clock]) for own, other in zip(ours, peer, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def clustered(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors of 512 around centres, 200 to each."""
    from triptych.core.vectors import unit

    random = np.random.default_rng(seed)
    centres = unit(random.standard_normal((max(1, count // 200), 512), np.float32))
    noise = unit(random.standard_normal((count, 512), np.float32))
    return unit(centres[random.integers(len(centres), size=count)] + 0.75 * noise)


def stores(options: argparse.Namespace, folder: Path) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """Vectors, queries, and our stores of them."""
    import pyarrow as pa

    from triptych.retrieval.stores.disk import DiskStore
    from triptych.retrieval.stores.exact import ExactStore
    from triptych.retrieval.stores.gallery import Gallery

    vectors, queries = clustered(options.vectors), clustered(2000, 1)
    names = [f"{row:09}.jpg" for row in range(len(vectors))]
    gallery = Gallery(names, np.zeros(len(names), "S64"), pa.table({"name": names}), np.ones(len(names), bool))
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


def some_photos(options: argparse.Namespace, folder: Path) -> Path:
    """A folder of so many of the photos."""
    chosen = sorted(options.photos.glob("*.jpg"))[: options.pictures]
    if len(chosen) < options.pictures:
        raise SystemExit(
            f"{options.photos}: has {len(chosen)} .jpg; set TRIPTYCH_DATA, or give --photos or fewer --pictures"
        )
    (folder / "photos").mkdir()
    for photo in chosen:
        shutil.copyfile(photo, folder / "photos" / photo.name)
    return folder / "photos"


def indexed(photos: Path, folder: Path, encoder: str, threads: int) -> Timed:
    """`index` into a new catalog; the encoder is loaded already, as the peer's is."""
    import triptych
    from triptych.encoders.registry import load_encoder

    engine = load_encoder(encoder, threads=threads)
    numbers = iter(range(10**6))

    def run() -> None:
        triptych.index(photos, folder / f"catalog-{next(numbers)}", encoder=engine, runtime=triptych.Runtime(threads))

    return run


def index_clip(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    import torch
    import transformers
    from PIL import Image
    from sentence_transformers import SentenceTransformer

    from triptych.catalog.catalog import Catalog

    torch.set_num_threads(options.threads)
    photos, model = some_photos(options, folder), folder / "clip"
    shutil.copytree(CLIP, model, copy_function=shutil.copyfile)
    torch.manual_seed(0)
    transformers.CLIPModel(transformers.CLIPConfig.from_pretrained(CLIP)).save_pretrained(model)
    peer = SentenceTransformer(str(model), device="cpu")
    files = sorted(photos.iterdir())
    found: list[np.ndarray] = []

    def encode() -> None:
        opened = [Image.open(file).convert("RGB") for file in files]
        found[:] = [peer.encode(opened, normalize_embeddings=True, show_progress_bar=False)]

    ours = indexed(photos, folder, f"hf:{model}", options.threads)
    yield from turns(
        {"index, CLIP ViT-B/32": ours, f"sentence-transformers {version('sentence-transformers')}": encode},
        options.rounds,
    )
    vectors = Catalog(folder / "catalog-0").vectors
    yield f"least cosine between the two: {float((vectors * found[0]).sum(axis=1).min()):.5f}"


def index_own(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    from PIL import Image

    from triptych.encoders.registry import load_encoder

    photos = some_photos(options, folder)
    encoder = load_encoder("photos", threads=options.threads)
    pixels = np.stack([encoder.prepare(Image.open(file).convert("RGB")) for file in sorted(photos.iterdir())])

    def graph() -> None:
        for start in range(0, len(pixels), 256):
            encoder.encode_pictures(pixels[start : start + 256])

    yield from turns(
        {"index, photos": indexed(photos, folder, "photos", options.threads), "its graph alone": graph}, options.rounds
    )


def train(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """A process of its own, so that its peak memory is known."""
    photos = some_photos(options, folder)
    catalog, triplets = folder / "catalog", folder / "triplets.parquet"
    threads = ("--threads", str(options.threads))
    subprocess.run([*PROGRAM, "index", photos, "--catalog", catalog, *threads], check=True, capture_output=True)
    subprocess.run(
        [*PROGRAM, "mine", "--catalog", catalog, "--out", triplets, *threads], check=True, capture_output=True
    )
    log = folder / "stages.jsonl"
    command = [
        *PROGRAM,
        "train",
        triplets,
        "--catalog",
        catalog,
        "--out",
        folder / "composer",
        "--epochs",
        "1",
        *threads,
    ]
    measure = Path(__file__).with_name("measure.py")
    subprocess.run([sys.executable, measure, log, "train", *map(str, command)], check=True, capture_output=True)
    facts = json.loads(log.read_text("utf-8"))
    yield f"train, one epoch, {options.pictures} pictures: {facts['wall_s']} s, peak {facts['peak_mib']} MiB"


def start(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    photos, catalog = some_photos(options, folder), folder / "catalog"
    subprocess.run([*PROGRAM, "index", photos, "--catalog", catalog], check=True, capture_output=True)
    asked = [*PROGRAM, "search", "--catalog", catalog, "--image", next(photos.iterdir()), "--text", "but in red"]
    yield from turns(
        {
            "search, cold": lambda: subprocess.run(asked, check=True, capture_output=True),
            "python -c pass": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        },
        options.rounds,
    )


def growth(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Seconds of each stage at n, 4n and 16n pictures, where n is --pictures / 16; the slope of their logarithms."""
    counts = [options.pictures // 16, options.pictures // 4, options.pictures]
    seconds: dict[str, list[float]] = {}
    for count in counts:
        place = folder / str(count)
        place.mkdir()
        photos = some_photos(argparse.Namespace(photos=options.photos, pictures=count), place)
        catalog, triplets = place / "catalog", place / "triplets.parquet"
        asked = ["search", "--catalog", catalog, "--image", next(photos.iterdir()), "--text", "but in red"]
        for name, words in {
            "index": ["index", photos, "--catalog", catalog],
            "mine": ["mine", "--catalog", catalog, "--out", triplets],
            "train": ["train", triplets, "--catalog", catalog, "--out", place / "composer", "--epochs", 2],
            "search": asked,
        }.items():
            began = time.perf_counter()
            done = subprocess.run([*PROGRAM, *map(str, words)], check=False, capture_output=True, text=True)
            if done.returncode:
                yield f"{name} of {count}: {done.stderr.strip().splitlines()[-1]}"
                continue
            seconds.setdefault(name, []).append(time.perf_counter() - began)
    for name, times in seconds.items():
        slope = np.polyfit(np.log(counts[-len(times) :]), np.log(times), 1)[0] if len(times) > 1 else float("nan")
        yield f"| {name} | {' | '.join(f'{value:.1f} s' for value in times)} | n^{slope:.2f} |"
    if options.page:
        draw(options.page / "growth.png", counts, seconds)


def draw(path: Path, counts: Sequence[int], seconds: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, times in seconds.items():
        axes.loglog(counts[-len(times) :], times, marker="o", label=name)
    axes.set(xlabel="pictures", ylabel="seconds, whole process")
    axes.legend(frameon=False)
    figure.savefig(path)


ROWS: dict[str, Callable[[argparse.Namespace, Path], Iterator[str]]] = {
    "index-clip": index_clip,
    "index-own": index_own,
    "search": search,
    "search-64": search_64,
    "neighbours": neighbours,
    "train": train,
    "start": start,
    "growth": growth,
}

if __name__ == "__main__":
    main()
