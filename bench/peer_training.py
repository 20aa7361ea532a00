"""One epoch of a composer beside the loop of CLIP4Cir, on the same features, with the peak of memory of either.

    python bench/peer_training.py [--pictures 13000] [--triplets 10000] [--rounds 3] [--threads 1]

Features are random vectors around centres, as long as those of the encoder `photos`; texts are of a few hundred words.
Ours is `train` for one epoch with its defaults: the time is that of its loop alone, which measures the held-out
triplets, too; the peak is that of the whole command. The peer is a loop as in CLIP4Cir's `combiner_train.py` (Baldrati
et al., CVPR 2022 workshops): its Combiner (projections of 2,560, hidden layers of 5,120), a DataLoader with its default
collation, the contrastive loss within a batch at a logit scale of 100, and Adam. Its texts are vectors already, which
CLIP4Cir encodes anew in each epoch. Both take as many triplets a step (256, our default). The two sides run in turns,
each in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

BATCH = 256
PROJECTION, HIDDEN = 2560, 5120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=13_000)
    parser.add_argument("--triplets", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", choices=["ours", "peer"], help="what a process of its own runs")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.side:
        seconds, processor = {"ours": ours, "peer": peer}[options.side](options)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak}))
        return
    with tempfile.TemporaryDirectory(prefix="triptych-training-") as folder:
        make(Path(folder), options.pictures, options.triplets)
        found: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
        for turn in range(options.rounds):
            for side, runs in found.items():
                command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--folder", folder]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs.append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {turn + 1}, {side}: {runs[-1]}", file=sys.stderr, flush=True)
        print("| side | seconds an epoch | processor | peak MiB |\n|---|--:|--:|--:|")
        for side, runs in found.items():
            print(f"| {side} | " + " | ".join(f"{median(run[key] for run in runs):.1f}" for key in runs[0]) + " |")
        ratios = [one["processor"] / other["processor"] for one, other in zip(*found.values(), strict=True)]
        print(f"ratio of processor time: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def make(folder: Path, pictures: int, triplets: int) -> None:
    """A catalog of vectors without pictures, and triplets within its clusters."""
    from triptych.catalog.catalog import Catalog
    from triptych.catalog.entry import Entry
    from triptych.core.vectors import unit
    from triptych.encoders.registry import load_encoder
    from triptych.triplets.file import Change, Modification, Triplet, write_triplets

    random = np.random.default_rng(0)
    encoder = load_encoder("photos", threads=1)
    centres = unit(random.standard_normal((pictures // 50, encoder.dim), np.float32))
    of = random.integers(len(centres), size=pictures)
    vectors = unit(centres[of] + 0.5 * unit(random.standard_normal((pictures, encoder.dim), np.float32)))
    entries = [Entry(f"{row:06}.jpg", 1, 1, f"{row:064x}", "ok") for row in range(pictures)]
    (folder / "pictures").mkdir()
    Catalog.create(folder / "catalog", folder / "pictures", encoder, {}).append(entries, vectors)
    words = ("red", "blue", "green", "black", "white", "striped", "dotted", "plain", "short", "long")
    kinds = ("shirt", "dress", "jacket", "skirt", "shoe", "bag")
    rows_of = {centre: np.flatnonzero(of == centre) for centre in range(len(centres))}
    made = []
    for reference in random.integers(pictures, size=triplets):
        near = rows_of[of[reference]]
        target, *negatives = random.choice(near[near != reference], 5, replace=False)
        old, new = random.choice(words, 2, replace=False)
        text = f"the {random.choice(kinds)} in {new} and not in {old}"
        made.append(
            Triplet(
                reference=entries[reference].name,
                target=entries[target].name,
                modifications=(Modification("sentence", text),),
                changes=(Change("colour", str(old), str(new)),),
                negatives=tuple(entries[row].name for row in negatives),
                accepted=True,
                reason="",
                confidence=0.9,
                similarity=0.9,
                reasoner="bench",
            )
        )
    write_triplets(folder / "triplets.parquet", made, {"phrases": {"colour": {word: word for word in words}}})


def ours(options: argparse.Namespace) -> tuple[float, float]:
    import triptych
    from triptych.training import loop

    spent: list[float] = []
    fit = loop.fit

    def timed(*given: Any, **named: Any) -> Any:
        started, processor = time.perf_counter(), time.process_time()
        run = fit(*given, **named)
        spent[:] = [time.perf_counter() - started, time.process_time() - processor]
        return run

    loop.fit = timed
    with tempfile.TemporaryDirectory() as out:
        triptych.train(
            options.folder / "triplets.parquet",
            options.folder / "catalog",
            Path(out) / "composer",
            triptych.TrainOptions(epochs=1),
            runtime=triptych.Runtime(threads=options.threads),
        )
    return spent[0], spent[1]


def peer(options: argparse.Namespace) -> tuple[float, float]:
    import torch
    from torch import nn
    from torch.nn import functional
    from torch.utils.data import DataLoader, Dataset

    from triptych.catalog.catalog import Catalog
    from triptych.catalog.text_vectors import TextVectors
    from triptych.triplets.file import read_triplets

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    catalog = Catalog(options.folder / "catalog")
    triplets, _ = read_triplets(options.folder / "triplets.parquet")
    texts = TextVectors(catalog.folder, catalog.encoder())
    said = torch.from_numpy(texts([triplet.modifications[0].text for triplet in triplets]))
    pictures = torch.from_numpy(catalog.vectors)

    class Triplets(Dataset[tuple[Any, ...]]):
        def __len__(self) -> int:
            return len(triplets)

        def __getitem__(self, place: int) -> tuple[Any, ...]:
            one = triplets[place]
            return pictures[catalog.row_of[one.reference]], pictures[catalog.row_of[one.target]], said[place]

    class Combiner(nn.Module):
        def __init__(self, dim: int) -> None:
            super().__init__()
            self.text, self.image = nn.Linear(dim, PROJECTION), nn.Linear(dim, PROJECTION)
            self.combine, self.out = nn.Linear(2 * PROJECTION, HIDDEN), nn.Linear(HIDDEN, dim)
            self.scalar = nn.Sequential(
                nn.Linear(2 * PROJECTION, HIDDEN), nn.ReLU(), nn.Dropout(0.5), nn.Linear(HIDDEN, 1), nn.Sigmoid()
            )

        def forward(self, image: Any, text: Any) -> Any:
            parts = (self.text(text), self.image(image))
            raw = torch.cat([functional.dropout(functional.relu(part), 0.5, self.training) for part in parts], -1)
            joined = functional.dropout(functional.relu(self.combine(raw)), 0.5, self.training)
            share = self.scalar(raw)
            return functional.normalize(self.out(joined) + share * text + (1 - share) * image, dim=-1)

    model = Combiner(catalog.dim)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-5)
    loader = DataLoader(Triplets(), batch_size=BATCH, shuffle=True, drop_last=True)
    started, processor = time.perf_counter(), time.process_time()
    model.train()
    for references, targets, words in loader:
        optimizer.zero_grad()
        logits = 100 * model(references, words) @ functional.normalize(targets, dim=-1).T
        loss = functional.cross_entropy(logits, torch.arange(len(logits)))
        loss.backward()
        optimizer.step()
    return time.perf_counter() - started, time.process_time() - processor


if __name__ == "__main__":
    main()
