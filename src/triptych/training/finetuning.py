"""`train --composer towers`: the encoder itself is trained on the triplets, from pixels.

A query is a mixture of the reference's and the words' vectors, targets and negatives come through the same picture
tower, and both towers learn, as in Tu et al. What is written is a composer with its encoder inside.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.composers.trained import FORMAT, INSIDE
from triptych.core.errors import DataError, UsageError
from triptych.core.files import atomic, hash_file, locked, made_by, write_json
from triptych.core.onnx_graph import export_graph
from triptych.core.progress import progress, say
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder
from triptych.training.data.pixels import Bytes, read_bytes
from triptych.training.data.triplets import Batch, Data
from triptych.training.loop import learning_curve
from triptych.training.trainable import Tunable, tunable
from triptych.training.validation import draw_learning_curve, held_out_recall, sum_recall
from triptych.triplets.file import read_triplets

if TYPE_CHECKING:
    from torch import Tensor

    from triptych.composers.networks.mixture import Mixture

_HEAD_RATE = 1e-3
_WEIGHT_DECAY = 0.05
_FURTHER = 256  # unlabelled pictures of a batch that are negatives only
_MEMORY = 2 << 30  # bytes of pixels; where pictures are more, those of no triplet are sampled
_ENCODED = 256  # pictures or texts at once, without gradients
_CHECKPOINT_STEPS = 100


def finetune(
    triplets: Path,
    catalog: Path,
    out: Path,
    *,
    tune: str | None,
    epochs: int,
    batch: int,
    accumulate: int,
    chunk: int | None,
    temperature: float,
    distill: float,
    seed: int,
    threads: int | None,
) -> dict[str, Any]:
    """What `train` does with `composer="towers"`; it says what the options mean, returns and raises.

    Pictures are read once, from where the catalog found them, and held in memory as bytes; those that cannot be read
    are named and left out, with their triplets.
    """
    import torch

    from triptych.composers.networks.mixture import Mixture
    from triptych.core.environment import best_device
    from triptych.training.checkpoints import load_checkpoint, save_checkpoint
    from triptych.training.grad_cache import backward

    if accumulate < 1 or (chunk is not None and chunk < 1) or distill < 0:
        raise UsageError("--accumulate and --chunk must be at least 1, --distill no less than 0")
    started = time.monotonic()
    if threads:
        torch.set_num_threads(threads)
    opened = Catalog(catalog)
    encoder = opened.encoder(threads=threads)
    torch.manual_seed(seed)
    towers = tunable(encoder, tune)
    if (out / "encoder").resolve() == _folder(encoder):
        raise UsageError(f"{out}: holds the encoder that {catalog} was indexed with; choose another --out")
    names = _wanted(triplets, opened, towers, seed)
    pixels, kept = read_bytes(opened.root, names, towers.prepare, threads=threads)
    if not kept:
        raise DataError(
            f"{opened.root}: none of the pictures of {catalog} can be read there; index them where they are"
        )
    names, skipped = [names[row] for row in kept], len(names) - len(kept)
    before = opened.vectors[[opened.row_of[name] for name in names]]
    data = Data.read(triplets, {name: row for row, name in enumerate(names)}, encoder, np.array)
    settings = {
        "composer": "towers",
        "triplets": hash_file(triplets),
        "encoder": encoder.fingerprint,
        "catalog": opened.digest,
        "pictures": hashlib.sha256(pixels.data).hexdigest(),
        "tune": towers.tune,
        "epochs": epochs,
        "batch": batch,
        "accumulate": accumulate,
        "chunk": chunk,
        "temperature": temperature,
        "distill": distill,
        "seed": seed,
    }

    device = best_device()
    head = Mixture(opened.dim).to(device)
    towers.model.to(device)
    tuned = [weight for weight in towers.model.parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": list(head.parameters()), "peak": _HEAD_RATE},
        {"params": tuned, "peak": towers.rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=_WEIGHT_DECAY)
    learner = torch.nn.ParameterList([*head.parameters(), *tuned])  # what a checkpoint holds
    model = _Model(towers, head, pixels, torch.from_numpy(before).to(device), temperature, distill)
    batch = min(batch, len(data.training))
    batches = len(data.training) // batch
    accumulate = min(accumulate, batches)
    steps_each = batches // accumulate
    steps = epochs * steps_each

    with locked(out):
        checkpoint, best = out / "checkpoint.safetensors", out / "best.safetensors"
        begun: dict[str, Any] = {"step": 0, "history": [], "losses": []}
        resumed = load_checkpoint(checkpoint, learner, optimizer, settings=settings) or begun
        history: list[dict[str, float]] = resumed["history"]
        losses: list[float] = resumed["losses"]
        step = first = int(resumed["step"])
        if first:
            say(f"train: going on from step {first} of {steps}")
        try:
            for step in progress(range(first, steps), "train", total=steps, unit="step", done=first):
                epoch, position = divmod(step, steps_each)
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * learning_curve(step, steps)
                optimizer.zero_grad(set_to_none=True)
                model.train()
                for part in range(accumulate):
                    number = epoch * batches + position * accumulate + part
                    encoded, loss_of = model.batch(data.batch(number, batch, seed), data, [seed, number])
                    chunk_seed = (seed * 1_000_003 + number) * 10_000 % 2**63
                    losses.append(backward(encoded, loss_of, seed=chunk_seed, chunk=chunk))
                for weight in learner:
                    if weight.grad is not None:
                        weight.grad /= accumulate
                for group in optimizer.param_groups:  # apart: the head's gradients are larger by far
                    torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
                optimizer.step()
                ended = position + 1 == steps_each
                if ended:
                    recall = held_out_recall(*model.held_out(data), data)
                    history.append({"loss": float(np.mean(losses)), **recall})
                    losses = []
                    if recall["R@10"] >= max(past["R@10"] for past in history):
                        save_checkpoint(best, learner, optimizer, settings=settings)
                if ended or (step + 1) % _CHECKPOINT_STEPS == 0:
                    done = {"step": step + 1, "history": history, "losses": losses}
                    save_checkpoint(checkpoint, learner, optimizer, settings=settings, **done)
        except KeyboardInterrupt:
            say(f"train: stopped at step {step} of {steps}; the same command goes on from the last checkpoint")
            raise

        load_checkpoint(best, learner, optimizer, settings=settings)
        baseline = sum_recall(before, data)
        best_epoch = max(range(len(history)), key=lambda past: (history[past]["R@10"], past))
        after = model.vectors()
        facts: dict[str, Any] = {
            "triplets": len(data.training),
            "held_out": len(data.held_out),
            "unusable": data.unusable,
            "pictures": len(names),
            "skipped": skipped,
            "trained_weights": sum(weight.numel() for weight in learner),
            "best_epoch": best_epoch + 1,
            "recall": history[best_epoch],
            "sum_recall": baseline,
            "kept": round(float((before * after).sum(axis=1).mean()), 4),
            "seconds": round(time.monotonic() - started, 1),
        }
        draw_learning_curve(history, baseline["R@10"], out / "learning-curve.png")
        note = made_by("train", settings, torch=torch.__version__, **facts)
        (out / "config.json").unlink(missing_ok=True)
        towers.save(out / "encoder", before, after, note)
        _save(out, towers.kind, head, history, note)
        checkpoint.unlink()
        best.unlink()
    if facts["recall"]["R@10"] <= baseline["R@10"]:
        say(
            f"train: on held-out triplets the weighted sum of the encoder as it was does no worse (R@10 "
            f"{baseline['R@10']:.1f}) than this composer ({facts['recall']['R@10']:.1f}); mine more pictures"
        )
    else:
        name = f"{towers.kind}{out / 'encoder'}"
        say(f"train: to search with it, index with its encoder: triptych index PICTURES --catalog NEW --encoder {name}")
    return facts


class _Model:
    """Towers and head over the pixels of the pictures that were read."""

    def __init__(
        self, towers: Tunable, head: "Mixture", pixels: Bytes, before: "Tensor", temperature: float, distill: float
    ) -> None:
        self.towers = towers
        self.head = head
        self.pixels = pixels
        self.before = before
        self.temperature = temperature
        self.distill = distill
        self.device = before.device

    def train(self) -> None:
        """Dropout on; statistics of a batch norm as they are, so that no picture's vector depends on the others."""
        from torch.nn.modules.batchnorm import _BatchNorm

        self.head.train()
        for module in self.towers.model.train().modules():
            if isinstance(module, _BatchNorm):
                module.eval()

    def batch(self, batch: Batch, data: Data, seed: list[int]) -> tuple[Any, Any]:
        """What a batch encodes, and the loss of what comes of it, for `gradients.backward`.

        Each triplet has one of its answers for a target, drawn; the others, and near-duplicates of the target, are no
        negatives. All other pictures of the batch are, the references among them, and so are some further pictures.
        """
        import torch

        from triptych.training.losses import DUPLICATE, contrastive_loss

        random = np.random.default_rng([*seed, 3])
        drawn = random.integers(batch.targets.shape[1], size=len(batch.targets))
        targets = batch.targets[np.arange(len(drawn)), drawn]
        further = random.choice(len(self.pixels), min(_FURTHER, len(self.pixels)), replace=False)
        bank = np.unique(np.concatenate([batch.references, targets, further]))
        places = torch.from_numpy(np.searchsorted(bank, targets)).to(self.device)[:, None]
        references = torch.from_numpy(np.searchsorted(bank, batch.references)).to(self.device)
        before = self.before[torch.from_numpy(bank)]
        ignored = self.before[torch.from_numpy(targets)] @ before.T > DUPLICATE
        answers = (batch.targets[:, :, None] == bank).any(axis=1)
        ignored |= torch.from_numpy(answers).to(self.device)
        ignored.scatter_(1, places, False)
        weights = torch.from_numpy(batch.confidences).to(self.device)
        ids = torch.from_numpy(self.towers.token_ids(batch.words.tolist()))

        def loss_of(pictures: "Tensor", texts: "Tensor") -> "Tensor":
            queries = self.head(pictures[references], texts)
            loss = contrastive_loss(queries, pictures, places, weights, self.temperature, ignored)
            return loss + self.distill * (1 - (pictures * before).sum(dim=-1)).mean()

        return [(self._see, torch.from_numpy(self.pixels[bank])), (self._read, ids)], loss_of

    def _see(self, pixels: "Tensor") -> "Tensor":
        from triptych.core.environment import mixed_precision

        with mixed_precision(self.device):
            return self.towers.pictures(pixels.to(self.device))

    def _read(self, ids: "Tensor") -> "Tensor":
        from triptych.core.environment import mixed_precision

        with mixed_precision(self.device):
            return self.towers.texts(ids.to(self.device))

    def vectors(self) -> Vectors:
        """Vectors `(n, d)` of all pictures."""
        import torch

        self.towers.model.eval()
        blocks = range(0, len(self.pixels), _ENCODED)
        with torch.inference_mode():
            parts = [
                self._see(torch.from_numpy(self.pixels[start : start + _ENCODED])).cpu()
                for start in progress(blocks, "encode", total=len(blocks), unit="block")
            ]
        return torch.cat(parts).numpy()

    def held_out(self, data: Data) -> tuple[Vectors, Vectors]:
        """Query vectors of the held-out triplets, and vectors of all pictures."""
        import torch

        gallery = self.vectors()
        self.head.eval()
        said = data.words[[data.wordings[row][0] for row in data.held_out]].tolist()
        with torch.inference_mode():
            texts = [
                self._read(torch.from_numpy(self.towers.token_ids(said[start : start + _ENCODED])))
                for start in range(0, len(said), _ENCODED)
            ]
            references = torch.from_numpy(gallery[data.references[data.held_out]]).to(self.device)
            queries: Vectors = self.head(references, torch.cat(texts)).cpu().numpy()
        return queries, gallery


def _folder(encoder: Encoder) -> Path | None:
    folder: Path | None = getattr(encoder, "folder", None)
    return folder and folder.resolve()


def _wanted(triplets: Path, catalog: Catalog, towers: Tunable, seed: int) -> Sequence[str]:
    """The pictures to read: all, or, where they would not fit in memory, those of triplets and a sample of others."""
    from PIL import Image

    names = catalog.names
    room = _MEMORY // towers.prepare(Image.new("RGB", (64, 64))).nbytes
    if len(names) <= room:
        return names
    accepted = [triplet for triplet in read_triplets(triplets)[0] if triplet.accepted]
    spoken = {name for triplet in accepted for name in (triplet.reference, triplet.target, *triplet.other_targets)}
    others = [name for name in names if name not in spoken]
    count = min(len(others), max(0, room - len(spoken)))
    sampled = np.random.default_rng([seed, 4]).choice(len(others), count, replace=False)
    return sorted((spoken & catalog.row_of.keys()) | {others[row] for row in sampled})


def _save(out: Path, kind: str, head: "Mixture", history: Any, note: dict[str, Any]) -> None:
    """Write the composer beside its encoder; `config.json` comes last, so a folder that has it is whole."""
    import torch
    from safetensors.torch import save_file

    from triptych.composers.networks.mixture import SameSpace

    head = head.cpu().eval()
    with atomic(out / "model.safetensors") as temporary:
        save_file(head.state_dict(), temporary)
    vectors, words = (torch.nn.functional.normalize(torch.ones(2, head.dim), dim=-1) for _ in range(2))
    export_graph(head, [vectors, words], out / "query.onnx")
    export_graph(SameSpace(), [vectors], out / "gallery.onnx")
    encoder = load_encoder(f"{kind}{out / 'encoder'}")
    write_json(
        out / "config.json",
        {
            "format": FORMAT,
            "composer": "towers",
            "architecture": {"dim": head.dim, "hidden": head.hidden},
            "text_tower": False,
            "encoder": {"name": f"{kind}{INSIDE}/encoder", "fingerprint": encoder.fingerprint},
            "history": history,
            "made_by": note,
        },
    )
