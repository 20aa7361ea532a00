"""Rows about pictures and commands: indexing, and a cold start."""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
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
