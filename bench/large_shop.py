"""The page over a catalog of 35,000 pictures: its bytes, the first result, facets. Makes the catalog, from a seed.

    python bench/large_shop.py RUN [--pictures 35000] [--encoder photos] [--rounds 10] [--seed 0] [--threads 2]

RUN is a folder for the catalog, which is made once. Its pictures are those of examples/closet, each many times under
names of its own (hard links), with vectors around theirs, and with the metadata of a shop drawn from the seed: title,
article type, brand (400), colour, season, price, stock, date. Bytes and times are those of a real browser on this
machine (TRIPTYCH_CHROMIUM), without its cache and at a desktop's size: from the start of the navigation until results
are there, and until their pictures in view are there too. The service has been searched once before.
"""

import argparse
import hashlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import pyarrow as pa

from serving_helpers import Service
from triptych.catalog.catalog import Catalog
from triptych.catalog.entry import Entry
from triptych.core.images import open_picture
from triptych.core.vectors import unit
from triptych.encoders.registry import load_encoder

CLOSET = Path(__file__).parents[1] / "examples" / "closet" / "photos"
DRAWN = 300  # photos
SPREAD = 0.5  # length of the noise that is added to a photo's vector
BRANDS = 400
KINDS = ("Shirts", "Tshirts", "Dresses", "Jackets", "Jeans", "Skirts", "Shorts", "Sweaters", "Trousers", "Tops")
COLOURS = ("Black", "Blue", "Brown", "Green", "Grey", "Navy", "Pink", "Purple", "Red", "White", "Yellow", "Beige")
SEASONS = ("Spring", "Summer", "Autumn", "Winter")
QUERIES = ("red dress", "a shirt with stripes", "blue jeans", "black jacket")
READY = """() => { const results = document.querySelector('#results');
    return results.getAttribute('aria-busy') !== 'true' && document.querySelector('#grid .score') !== null; }"""
SEEN = """() => { const seen = [...document.querySelectorAll('#grid img')]
    .filter(img => img.getBoundingClientRect().top < innerHeight);
    return seen.length > 0 && seen.every(img => img.complete && img.naturalWidth > 0); }"""


def made_catalog(run: Path, count: int, encoder_name: str, seed: int) -> Path:
    """The catalog of a made shop; one that is there already is taken as it is."""
    folder, pictures = run / "catalog", run / "pictures"
    if (folder / "made").exists():
        return folder
    for old in (folder, pictures):
        shutil.rmtree(old, ignore_errors=True)
    pictures.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    photos = sorted(CLOSET.iterdir())
    photos = [photos[place] for place in sorted(draw.permutation(len(photos))[:DRAWN])]
    encoder = load_encoder(encoder_name, threads=1)
    own = np.concatenate([encoder.encode_pictures(encoder.prepare(open_picture(photo))[None]) for photo in photos])
    chosen = draw.integers(len(photos), size=count)
    noise = unit(draw.standard_normal((count, own.shape[1]), np.float32))
    facts = []
    for photo in photos:
        inside = pictures / f"photo-{photo.name}"
        shutil.copyfile(photo, inside)
        content = inside.read_bytes()
        facts.append((inside, len(content), hashlib.sha256(content).hexdigest()))
    entries = []
    for number, place in enumerate(chosen.tolist()):
        inside, size, content = facts[place]
        file = pictures / f"p{number:06}.jpg"
        os.link(inside, file)
        entries.append(Entry(file.name, size, file.stat().st_mtime_ns, content, "ok"))
    for inside, _, _ in facts:
        inside.unlink()
    catalog = Catalog.create(folder, pictures, encoder, {})
    catalog.append(entries, unit(own[chosen] + SPREAD * noise))
    catalog.keep_metadata(shop_metadata([entry.name for entry in entries], draw))
    (folder / "made").touch()
    return folder


def shop_metadata(names: Sequence[str], draw: np.random.Generator) -> pa.Table:
    """What a shop knows of its pictures."""
    count = len(names)
    brand = np.minimum(draw.zipf(1.3, count), BRANDS)
    kind, colour, season = (draw.integers(len(words), size=count) for words in (KINDS, COLOURS, SEASONS))
    days = draw.integers(0, 1500, count).astype("timedelta64[D]") + np.datetime64("2022-01-01")
    columns: dict[str, Any] = {
        "name": list(names),
        "title": [f"{COLOURS[c]} {KINDS[k]} {n}" for n, (c, k) in enumerate(zip(colour, kind, strict=True))],
        "articleType": [KINDS[one] for one in kind],
        "brand": [f"Brand {one}" for one in brand],
        "baseColour": [COLOURS[one] for one in colour],
        "season": [SEASONS[one] for one in season],
        "price": np.round(draw.lognormal(3.5, 0.6, count), 2),
        "in_stock": draw.random(count) < 0.8,
        "added": days.astype("datetime64[s]"),
    }  # fmt: skip
    return pa.table(columns)


class Browser:
    """A browser, and what pages of a service cost in it."""

    def __init__(self, running: Any, service: Service) -> None:
        from browsing import CHROMIUM, FLAGS

        self.browser = running.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        self.service = service

    def visit(self, fragment: str, ready: str) -> tuple[Counter[str], int, float, float]:
        """Bytes of page, answers and pictures; requests; ms until it is ready, and until pictures are seen."""
        context = self.browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        responses: list[Any] = []
        page.on("response", lambda response: responses.append(response))
        started = perf_counter()
        page.goto(f"{self.service.url}/{fragment}", wait_until="commit")
        page.wait_for_function(ready, polling="raf")
        found = perf_counter()
        page.wait_for_function(SEEN, polling="raf")
        seen = perf_counter()
        size: Counter[str] = Counter()
        for response in responses:
            path = response.url.removeprefix(self.service.url)
            kind = "answers" if path.startswith("/v1/") else "page"
            if path.endswith("/thumbnail"):
                kind = "pictures"
            size[kind] += len(response.body())
        context.close()
        return size, len(responses), 1000 * (found - started), 1000 * (seen - started)


def timing(name: str, taken: Sequence[float]) -> str:
    """Median and extremes, in milliseconds."""
    return f"{name}: {median(taken):.0f} ms (median of {len(taken)}; {min(taken):.0f} to {max(taken):.0f})"


def asked(service: Service, path: str, rounds: int) -> tuple[str, int]:
    """What a request takes over HTTP, and the bytes of its answer."""
    taken, size = [], 0
    for _ in range(rounds):
        started = perf_counter()
        answer, content = service.ask("GET", path)
        taken.append(1000 * (perf_counter() - started))
        assert answer.status == 200
        size = len(content)
    return timing(f"GET {path}", taken), size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=int, default=35_000)
    parser.add_argument("--encoder", default="photos")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    catalog = made_catalog(given.run, given.pictures, given.encoder, given.seed)
    with Service(catalog, "--threads", str(given.threads)) as service:
        service.search(("text", "warm"))
        print(f"{given.pictures:,} pictures, encoder {given.encoder}, {given.threads} threads, seed {given.seed}")
        for path in ("catalog", "values?column=brand&contains=9", "pictures?k=24&where=brand%3DBrand%207"):
            line, size = asked(service, f"/v1/{path}", given.rounds)
            print(f"{line}, {size / 1000:.1f} kB")
        taken = []
        for place in range(given.rounds):
            started = perf_counter()
            service.search(("text", QUERIES[place % len(QUERIES)]), ("k", "24"))
            taken.append(1000 * (perf_counter() - started))
        print(timing("POST /v1/search, words", taken))
        in_browser(service, given.rounds)


def in_browser(service: Service, rounds: int) -> None:
    """Print what the page costs in a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        browser = Browser(running, service)
        browser.visit("", "() => document.querySelector('#grid .look') !== null")  # it has started
        first = [browser.visit("", "() => document.querySelector('#grid .look') !== null") for _ in range(rounds)]
        size, requests = first[-1][:2]
        print(f"first screen: {requests} requests; {', '.join(f'{k} {v / 1000:.1f} kB' for k, v in size.items())}")
        print(timing("first screen, pictures to start from", [one[2] for one in first]))
        print(timing("first screen, all in view are drawn", [one[3] for one in first]))
        found = []
        for place in range(rounds):
            fragment = f"#{urlencode({'step': '~' + QUERIES[place % len(QUERIES)], 'weight': 0.5})}"
            found.append(browser.visit(fragment, READY))
        print(timing("an address with a search, until results", [one[2] for one in found]))
        print(timing("an address with a search, all in view are drawn", [one[3] for one in found]))
        browser.browser.close()


if __name__ == "__main__":
    main()
