"""The row about overhead: what a composed query costs besides encoding its picture and words, and searching vectors."""

import argparse
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from peer_rows.pictures import some_photos

TEXTS = ("but in red", "with long sleeves", "for men", "in leather", "with stripes")


class Timer:
    """Adds the processor time of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            started = process_time()
            try:
                return call(*given, **named)
            finally:
                self.seconds += process_time() - started

        return run


def overhead(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Answer queries on an open catalog of `options.vectors` pictures, most of which are blends of real vectors."""
    import triptych
    from triptych.catalog.catalog import Catalog
    from triptych.catalog.entry import Entry
    from triptych.core.vectors import unit

    options.pictures = min(options.pictures, 50)
    photos, runtime = some_photos(options, folder), triptych.Runtime(options.threads)
    triptych.index(photos, folder / "catalog", runtime=runtime)
    catalog, random = Catalog(folder / "catalog"), np.random.default_rng(0)
    pairs = random.integers(len(catalog.names), size=(options.vectors - len(catalog.names), 2))
    entries = [Entry(f"copy/{row:07}.jpg", 1, 1, f"{row:064x}", "ok") for row in range(len(pairs))]
    catalog.append(entries, unit(catalog.vectors[pairs[:, 0]] + catalog.vectors[pairs[:, 1]]))
    opened = triptych.open_catalog(folder / "catalog", runtime=runtime)
    opened.load()
    encoding, searching, decoding = Timer(), Timer(), Timer()
    encoder, store = opened.encoder, opened._snapshot.composed
    for name in ("prepare", "encode_pictures", "encode_texts"):
        setattr(encoder, name, encoding.timed(getattr(encoder, name)))
    store.search = searching.timed(store.search)  # type: ignore[method-assign]
    opened.open_picture = decoding.timed(opened.open_picture)
    shares, shown = [], sorted(photos.iterdir())
    for turn in range(20 * options.rounds):
        image, text = shown[turn % len(shown)], f"{TEXTS[turn % len(TEXTS)]} {turn}"
        encoding.seconds = searching.seconds = decoding.seconds = 0.0
        started = process_time()
        opened.search(image=image, text=text)
        whole = process_time() - started
        shares.append((whole, encoding.seconds, searching.seconds, decoding.seconds))
    whole, encoded, searched, decoded = (1000 * median(column) for column in zip(*shares, strict=True))
    rest = [1 - (encode + search) / whole for whole, encode, search, _ in shares]
    yield (
        f"| a composed query, {options.vectors:,} pictures | – | {whole:.2f} ms | encoding {encoded:.2f} ms, search "
        f"{searched:.2f} ms, reading and decoding the picture {decoded:.2f} ms | outside encoding and search "
        f"{median(rest):.1%} ({min(rest):.1%} to {max(rest):.1%}) |"
    )
    shutil.rmtree(folder / "catalog")
