"""Rows about pictures and commands: indexing, training, a cold start, and growth with the number of pictures."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from peer_rows.turns import Timed, turns

PHOTOS = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data")) / "fashion-products" / "images"
CLIP = PHOTOS.parents[1] / "clip-vit-base-patch32-tokenizer"
PROGRAM = (sys.executable, "-c", "from triptych.cli import main; main()")


def some_photos(options: argparse.Namespace, folder: Path) -> Path:
    """Copy the first `options.pictures` photos into a folder."""
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
    """`index` into a new catalog each time. The encoder is already loaded, like the peer's."""
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
    """Train in a separate process, to measure its peak memory."""
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
    measure = Path(__file__).parents[1] / "measure.py"
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
