"""The photos and texts that the encoder learns from, on the device."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from distil import text_ids
from packed import decode, unpack
from torch import Tensor

from triptych.benchmarks.datasets import closet

SENDERS = json.loads((Path(closet.__file__).parent / "senders.json").read_text())
"""Of closet's photos, by split."""


def training_jpegs(data: Path, source: str) -> list[bytes]:
    """The JPEGs of a source, `products`, `homes` or `drawn`, but for those of the senders that closet is tested on."""
    file = np.load(data / f"{source}.npz")
    jpegs = unpack(file)
    if source != "homes":
        return jpegs
    return [jpegs[row] for row in np.flatnonzero(~np.isin(file["sender"], SENDERS["test"]))]


class Photos:
    """Every training picture on the device, and what is known of it."""

    def __init__(self, data: Path, settings_size: int, device: str) -> None:
        self.size, self.device = settings_size, device
        known = json.loads((data / "known.json").read_text())
        self.values = known["values"]
        files = {name: np.load(data / f"{name}.npz") for name in ("products", "homes", "drawn")}
        with ThreadPoolExecutor(16) as pool:
            pixels = {
                name: np.stack(list(pool.map(lambda jpeg: decode(jpeg, settings_size), unpack(file))))
                for name, file in files.items()
            }
            large = np.load(data / "products_large.npz")
            self.large = torch.from_numpy(
                np.stack(list(pool.map(lambda jpeg: decode(jpeg, settings_size), unpack(large))))
            ).to(device)
        self.count = {name: len(array) for name, array in pixels.items()}
        self.pixels = torch.from_numpy(np.concatenate(list(pixels.values()))).to(device)
        self.truth = torch.from_numpy(np.concatenate([files[n]["truth"] for n in pixels])).to(device)
        self.source = np.concatenate([np.full(count, number) for number, count in enumerate(self.count.values())])
        products = self.count["products"]
        lines = np.concatenate([files["products"]["line"], -2 - np.arange(len(self.pixels) - products)])
        self.line = torch.from_numpy(lines).to(device)
        self.sender = files["homes"]["sender"]
        large_rows = large["row"]
        self.large_of = torch.full((len(self.pixels),), -1, dtype=torch.long, device=device)
        kept = large_rows < products
        self.large_of[torch.from_numpy(large_rows[kept]).to(device)] = torch.arange(len(large_rows), device=device)[
            torch.from_numpy(kept).to(device)
        ]
        # Masks of 60x80 in the middle of a square of 80.
        bits = np.unpackbits(files["products"]["masks"], axis=1)[:, : 60 * 80].reshape(-1, 80, 60)
        square = np.zeros((len(bits), 80, 80), np.uint8)
        square[:, :, 10:70] = bits
        share = bits.mean(axis=(1, 2))
        self.mask = torch.from_numpy(square).to(device)
        self.masked = torch.zeros(len(self.pixels), dtype=torch.bool, device=device)
        self.masked[:products] = torch.from_numpy((share > 0.08) & (share < 0.97)).to(device)


class Texts:
    """Ids of every text, and which texts say which set of facts."""

    def __init__(self, data: Path, photos: Photos, device: str) -> None:
        file = np.load(data / "texts.npz")
        ids = text_ids(data)  # general, wishes, titles, anchors
        self.ids = ids.to(device)
        self.lengths = (ids != 0).sum(dim=1).numpy()
        counts = [len(file[name]) for name in ("general", "wishes", "titles", "anchors")]
        self.wishes, self.titles, self.anchors = np.cumsum(counts)[:3]
        self.ends = file["ends"]
        self.sets = file["sets"].astype(np.int64)
        self.number = {tuple(int(f) for f in row if f >= 0): place for place, row in enumerate(self.sets)}
        self.groups = [value.split("=")[0] for value in photos.values]
        self.of_picture = [self.sets_of(row) for row in photos.truth.cpu().numpy()]

    def sets_of(self, truth: np.ndarray) -> list[list[int]]:
        """The numbers of the sets of facts that a picture shows, by size."""
        shown = np.flatnonzero(truth == 1).tolist()
        return [
            [
                self.number[f]
                for f in combinations(shown, size)
                if len({self.groups[x] for x in f}) == size and f in self.number
            ]
            for size in (1, 2, 3)
        ]

    def wish(self, number: int, random: np.random.Generator) -> int:
        """The row of a text that says the facts of a set."""
        start = self.ends[number - 1] if number else 0
        return int(self.wishes + random.integers(start, self.ends[number]))

    def block(self, rows: np.ndarray) -> Tensor:
        """The ids of texts, no wider than they need to be."""
        width = max(8, -(-int(self.lengths[rows].max()) // 8) * 8)
        return self.ids[torch.from_numpy(rows).to(self.ids.device)][:, :width].long()
