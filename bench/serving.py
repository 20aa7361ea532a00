"""Search over HTTP on 35,000 real photos: latency and throughput at 1, 8 and 64 clients, on both runtimes, and recall.

    TRIPTYCH_DATA=DIR python bench/serving.py RUN [--encoder DIR] [--seconds S] [--threads N]
        [--page docs/history/results-2026-11.md]

RUN is a folder for what is made once: a catalog of the photos in TRIPTYCH_DATA/fashion-products by `--encoder` (the
built-in one by default), and a CLIP ViT-B/32 of random weights, its export, and a catalog of random vectors for it,
which cost what real ones do. Each encoder is measured on onnxruntime and on torch, for `--seconds` with each number of
clients.

Every query uploads a photo and says some words, so its time holds the upload, the decoding, the encoding of picture and
words, and the search. "Outside" is the share of a request's time, as its client sees it, that went neither into
decoding and encoding nor into finding neighbours (both as the service's Server-Timing header tells): HTTP, forms, JSON,
threads, and the client itself. It is given for one client only, as the median over requests: with more, most of a
request's time is waiting for the others'. Client and service share the processor's cores, and so may other programs:
"processor ms" is what a request took of the service's own time, and hardly depends on them.

The approximate index is asked the same questions as the exact one; its recall is the share of the exact first ten.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from statistics import median
from threading import Thread
from time import perf_counter
from types import TracebackType
from typing import Self

import numpy as np

import triptych
from http_load import load, search_request
from triptych.catalog.catalog import Catalog
from triptych.core.vectors import unit
from triptych.encoders.registry import load_encoder
from triptych.retrieval.query import SearchQuery
from write_results import put

WORDS = (
    "but in red",
    "in blue",
    "with stripes",
    "without sleeves",
    "the same in black",
    "for women",
    "plain",
    "as a dress",
)
CLIENTS = (1, 8, 64)
HEAD = (
    "| encoder | clients | p50, ms | p95, ms | p99, ms | requests/s | processor, ms a request | encoding + finding, ms "
    "| outside |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)
PROGRAM = (sys.executable, "-c", "from triptych.cli import main; main()")
WITH_TORCH = (sys.executable, str(Path(__file__).with_name("serve_with_torch.py")))
PHOTOS = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data")) / "fashion-products"
CLIP = PHOTOS.parent / "clip-vit-base-patch32-tokenizer"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--encoder", default="wardrobe")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--questions", type=int, default=1000, help="different ones that are asked, over and over")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    run: Path = options.run
    photos = make_catalog(run, options.encoder)
    clip = make_clip(run, photos)
    # Comparing pictures is not measured: a long vocabulary would be encoded beside the first searches.
    words = run / "vocabulary.json"
    words.write_text(json.dumps({"colour": ["red", "blue"], "kind": ["shirt", "dress"]}), encoding="utf-8")
    questions = list(zip(some_pictures(photos, options.questions), cycle(WORDS), strict=False))
    lines = [HEAD]
    print(HEAD)
    for name, command, asked in (
        ("own, onnxruntime", PROGRAM, [photos.folder]),
        ("own, torch", WITH_TORCH, [photos.folder, "--encoder", encoder_folder(photos)]),
        ("CLIP ViT-B/32, onnxruntime", PROGRAM, [clip, "--encoder", run / "clip-onnx" / "encoder"]),
        ("CLIP ViT-B/32, torch", PROGRAM, [clip]),
    ):
        settings = [*asked, "--threads", options.threads, "--vocabulary", words]
        for line in measure(name, [*command, "serve", "--catalog", *map(str, settings)], questions, options.seconds):
            lines.append(line)
            print(line, flush=True)
    lines.append(f"\n{recall(photos, questions, options.threads)}")
    print(lines[-1])
    lines.insert(0, circumstances(photos, options.threads, options.seconds) + "\n")
    print(f"\n{lines[0]}")
    if options.page:
        put(options.page, "serving", "\n".join(lines) + "\n")


def make_catalog(run: Path, encoder: str) -> Catalog:
    """The photos, indexed if they are not yet; an interrupted run goes on."""
    if not (PHOTOS / "images").is_dir():
        raise SystemExit(f"{PHOTOS}: no photos there; set TRIPTYCH_DATA")
    triptych.index(PHOTOS / "images", run / "catalog", encoder=encoder, metadata=PHOTOS / "styles.csv")
    return Catalog(run / "catalog")


def make_clip(run: Path, photos: Catalog) -> Path:
    """A catalog of the same photos with random vectors, for a CLIP of random weights and its export."""
    import torch
    import transformers

    model, catalog = run / "clip", run / "clip-catalog"
    if not (run / "clip-onnx" / "encoder" / "config.json").exists():
        shutil.copytree(CLIP, model, dirs_exist_ok=True, copy_function=shutil.copyfile)
        torch.manual_seed(0)
        transformers.CLIPModel(transformers.CLIPConfig.from_pretrained(CLIP)).save_pretrained(model)
        triptych.export_models(run / "clip-onnx", encoder=f"hf:{model}")
    if not catalog.exists():
        encoder = load_encoder(f"hf:{model}")
        made = Catalog.create(catalog, photos.root, encoder, {})
        noise = np.random.default_rng(0).standard_normal((len(photos.names), encoder.dim), np.float32)
        made.append([entry for entry in photos.entries if entry.status == "ok"], unit(noise))
        made.keep_metadata(photos.metadata)
    return catalog


def some_pictures(photos: Catalog, count: int) -> list[bytes]:
    names = photos.names[:: max(1, len(photos.names) // count)][:count]
    return [photos.path(name).read_bytes() for name in names]


def encoder_folder(photos: Catalog) -> Path:
    folder = getattr(load_encoder(photos.encoder_name), "folder", None)
    if not isinstance(folder, Path) or not (folder / "model.safetensors").exists():
        raise SystemExit(f"{photos.encoder_name}: name an encoder that `triptych pretrain` made")
    return folder


def measure(name: str, command: list[str], questions: list[tuple[bytes, str]], seconds: float) -> Iterator[str]:
    """A line of the table for each number of clients."""
    messages = cycle([search_request(*question) for question in questions])
    with Service(command) as service:
        load(service.address, messages, CLIENTS[-1], seconds / 4)
        for clients in CLIENTS:
            started, before = perf_counter(), service.processor_seconds()
            answers = load(service.address, messages, clients, seconds)
            wall, spent = perf_counter() - started, service.processor_seconds() - before
            taken = np.array([answer.taken for answer in answers])
            inside = np.array([answer.encoding + answer.finding for answer in answers])
            p50, p95, p99 = np.percentile(taken, [50, 95, 99])
            alone = f"{np.median(inside):.1f} | {np.median(1 - inside / taken):.1%}" if clients == 1 else " | "
            figures = f"{p50:.1f} | {p95:.1f} | {p99:.1f} | {len(answers) / wall:.1f}"
            yield f"| {name} | {clients} | {figures} | {spent / len(answers) * 1000:.1f} | {alone} |"


def recall(photos: Catalog, questions: list[tuple[bytes, str]], threads: int, k: int = 10) -> str:
    """What the approximate index finds of the exact first ten, and how long each looks, one question at a time."""
    with triptych.open_catalog(photos.folder, runtime=triptych.Runtime(threads=threads)) as exact:
        asked = [SearchQuery(exact.reference(image=picture), words, k=k) for picture, words in questions]
        right = [exact.answer([query]) for query in asked]
        started = perf_counter()
        with triptych.open_catalog(
            photos.folder, store="hnsw", runtime=triptych.Runtime(threads=threads)
        ) as approximate:
            approximate.load()
            building = perf_counter() - started
            found = [approximate.answer([query]) for query in asked]
    shares = [
        len({hit.id for hit in one.hits[0]} & {hit.id for hit in other.hits[0]}) / k
        for one, other in zip(right, found, strict=True)
    ]
    looks = [median(answers.finding for answers in every) * 1000 for every in (right, found)]
    return (
        f"Approximate index, own encoder, {len(asked):,} questions of picture and words: recall@{k} against exact "
        f"search {np.mean(shares):.2%}; finding takes {looks[1]:.2f} ms instead of {looks[0]:.2f}; {building:.1f} s to "
        "build."
    )


def circumstances(photos: Catalog, threads: int, seconds: float) -> str:
    return (
        f"{len(photos.names):,} photos; own encoder: {Path(photos.encoder_name).name}, vectors of {photos.dim}; "
        f"weighted sum; {threads} threads; {seconds:g} s a line; {len(os.sched_getaffinity(0))} cores, whose load "
        f"at the end was {os.getloadavg()[0]:.1f}."
    )


class Service:
    """`serve` on a free port of this machine, from its start to its end."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
        self.address = self._read_address()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def _read_address(self) -> tuple[str, int]:
        log = self._process.stderr
        assert log is not None
        said = []
        for line in log:
            said.append(line)
            if found := re.search(r" at http://(\S+):(\d+)", line):
                # Its log must be read, or it would wait for a reader.
                Thread(target=lambda: [None for _ in log], daemon=True).start()
                return found[1], int(found[2])
        raise SystemExit(f"the service did not start: {''.join(said)}")

    def processor_seconds(self) -> float:
        """Of the service, since it was started."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self) -> float:
        """The most MiB that it has had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+)", status)
        assert found
        return int(found[1]) / 1024


if __name__ == "__main__":
    main()
