"""`adapt`: an encoder learns from unlabelled pictures alone what tells one item from another.

Captions teach a picture tower what pictures have in common. A second tower learns the rest, by instance discrimination
as in SimCLR (Chen et al. 2020): two views of one picture are alike, all other pictures are not. One of the views is
recoloured, because people ask for the same item in another colour: what stays is cut, print, texture and shape.
"""

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.core.environment import require_extra
from triptych.core.errors import DataError, UsageError
from triptych.core.files import locked, made_by
from triptych.core.images import find_pictures
from triptych.core.progress import progress, say
from triptych.encoders.native import OwnEncoder, load_model, save_encoder, square_pixels
from triptych.encoders.registry import load_encoder
from triptych.training.data.augmentation import augment, recolour
from triptych.training.data.pixels import read_bytes
from triptych.training.loop import batch_rows, learning_curve, weight_groups

if TYPE_CHECKING:
    from torch import Tensor

_LENGTH = 128  # of the part of a vector that tells the item
_PEAK_RATE = 5e-4
_TEMPERATURE = 0.1
_PICTURES = 100_000  # more would teach little and take memory
_CHECKPOINT_STEPS = 50


def adapt(
    pictures: Path | str,
    out: Path | str,
    *,
    encoder: str = "wardrobe",
    root: Path | str | None = None,
    steps: int = 300,
    batch: int = 256,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Any]:
    """Teach `encoder` to tell apart the items below the folder `pictures` (or named in a .txt list, below `root`).

    Writes an encoder folder to `out`, which every other stage takes as `--encoder`. Its vectors hold the old one's and
    as much again of its own; texts are placed as before. A run that was interrupted or killed goes on from its last
    checkpoint and ends with the same weights.

    Returns what it measured: pictures, skipped pictures, the last loss, seconds.
    Raises UsageError for settings that make no sense and for an encoder that is not one of our own or lies in `out`,
    DataError where it lacks its weights or there are too few pictures.
    """
    pictures, out = Path(pictures), Path(out)
    require_extra("train", "adapt")
    import torch
    from torch.nn import functional as F

    from triptych.core.environment import best_device, mixed_precision
    from triptych.encoders.networks.dual_encoder import HALF, DualEncoder
    from triptych.training.checkpoints import load_checkpoint, save_checkpoint

    if steps < 1 or batch < 2:
        raise UsageError("--steps must be at least 1, --batch at least 2")
    started = time.monotonic()
    if threads:
        torch.set_num_threads(threads)
    known = load_encoder(encoder, threads=threads)
    if not isinstance(known, OwnEncoder) or known.identity:
        raise UsageError(f"--encoder {encoder}: adapt takes an encoder that `triptych pretrain` made")
    if out.resolve() == known.folder.resolve():
        raise UsageError(f"--out {out}: holds the encoder to adapt; choose another")
    base = load_model(known.folder)
    pixels, skipped = _read(pictures, Path(root) if root else None, base.shape.size, threads)
    settings = {"encoder": known.fingerprint, "steps": steps, "batch": batch, "seed": seed}
    settings |= {"pictures": hashlib.sha256(pixels.numpy().data).hexdigest()}

    device = best_device()
    torch.manual_seed(seed)
    shape = type(base.shape)(**{**vars(base.shape), "identity": _LENGTH})
    model = DualEncoder(shape)
    model.load_state_dict(base.state_dict(), strict=False)
    tower = model.identity
    assert tower is not None
    tower.layers.load_state_dict(base.picture.layers.state_dict())  # what captions taught is where it starts
    tower = tower.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(weight_groups(tower), lr=_PEAK_RATE)
    batch = min(batch, len(pixels))
    loss = torch.zeros(())
    with locked(out):
        checkpoint = out / "checkpoint.safetensors"
        resumed = load_checkpoint(checkpoint, tower, optimizer, settings=settings) or {"step": 0}
        first = int(resumed["step"])
        if first:
            say(f"adapt: going on from step {first} of {steps}")
        for step in progress(range(first, steps), "adapt", total=steps, unit="step", done=first):
            # Everything random in a step follows from (seed, step), so that a resumed run repeats it.
            random = torch.Generator().manual_seed(seed * 1_000_003 + step)
            for group in optimizer.param_groups:
                group["lr"] = _PEAK_RATE * learning_curve(step, steps)
            seen = pixels[batch_rows(len(pixels), batch, step, seed)].to(device)
            views = torch.cat([augment(seen, random), recolour(augment(seen, random), random)])
            with mixed_precision(device):
                vectors = tower.train()(views.contiguous(memory_format=torch.channels_last))
            likeness = vectors @ vectors.T / _TEMPERATURE
            likeness.fill_diagonal_(float("-inf"))
            other = torch.arange(2 * batch, device=device).roll(batch)
            loss = F.cross_entropy(likeness, other)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
            optimizer.step()
            # None after the last step: a run that went on from there would have no loss to tell.
            if (step + 1) % _CHECKPOINT_STEPS == 0 and step + 1 < steps:
                save_checkpoint(checkpoint, tower, optimizer, settings=settings, step=step + 1)
        facts = {
            "pictures": len(pixels),
            "skipped": skipped,
            "loss": round(loss.item(), 4),
            "seconds": round(time.monotonic() - started, 1),
        }
        note = made_by("adapt", settings, base=known.name, torch=torch.__version__, **facts)
        lexicon = known.lexicon
        save_encoder(out, model, known.tokenizer, lexicon and lexicon.widened(shape.dim + _LENGTH, HALF), note)
        checkpoint.unlink(missing_ok=True)
    return facts


def _read(pictures: Path, root: Path | None, size: int, threads: int | None) -> "tuple[Tensor, int]":
    """Bytes `(n, 3, size, size)` of every usable picture; the others are counted and named."""
    import torch

    found = find_pictures(pictures, root=root)
    names = found.names
    if len(names) > _PICTURES:
        chosen = np.random.default_rng(0).choice(len(names), _PICTURES, replace=False)
        names = [names[row] for row in np.sort(chosen)]
    pixels, kept = read_bytes(found.root, names, lambda picture: square_pixels(picture, size), threads=threads)
    if len(kept) < 20:
        raise DataError(f"{pictures}: holds {len(kept)} usable pictures; adapting needs at least 20")
    return torch.from_numpy(pixels), len(names) - len(kept)
