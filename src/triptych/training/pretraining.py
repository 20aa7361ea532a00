"""`pretrain`: a small dual encoder from picture-caption pairs.

Symmetric InfoNCE as in CLIP (Radford et al. 2021, figure 3), with two changes: pictures that share a caption are not
each other's negatives, and the picture tower also learns to name the words of its caption one by one.
"""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.core.environment import require_extra
from triptych.core.errors import DataError, UsageError
from triptych.core.files import locked, made_by
from triptych.core.progress import progress, say
from triptych.encoders.lexicon import Lexicon, common_terms, terms_of
from triptych.encoders.native import normalise, save_encoder, square_pixels
from triptych.encoders.tokenizer import token_ids, train_tokenizer
from triptych.training.data.augmentation import augment
from triptych.training.data.pairs import hash_file_or_fail, read_pairs
from triptych.training.data.pixels import read_bytes
from triptych.training.loop import batch_rows, learning_curve, weight_groups

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_PEAK_RATE = 1.5e-3
_WORDS_SHARE = 0.05  # what naming one word of a picture counts beside finding its whole caption
_CHECKPOINT_STEPS = 100
_HELD_OUT = 0.02  # of the pairs, to tell how well captions find pictures never trained on


def pretrain(
    pairs: Path | str,
    images: Path | str,
    out: Path | str,
    *,
    size: int = 64,
    width: int = 64,
    epochs: int = 50,
    batch: int = 256,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, Any]:
    """Train an encoder on `pairs`, a CSV with the columns `image` (relative to `images`) and `caption`.

    Writes an encoder folder to `out`, which every other stage takes as `--encoder`. A run that was interrupted or
    killed goes on from its last checkpoint and ends with the same weights. Pictures are held in memory as bytes:
    `3 * size * size` for each.

    Returns what it measured: pairs, skipped pictures, recall among held-out pairs in percent, seconds.
    Raises UsageError for settings that make no sense or without the extra `train`, DataError when the pairs cannot be
    read or too few are usable.
    """
    pairs, images, out = Path(pairs), Path(images), Path(out)
    require_extra("train", "pretrain")
    import torch

    from triptych.core.environment import best_device, mixed_precision
    from triptych.encoders.networks.dual_encoder import Architecture, DualEncoder, Words
    from triptych.training.checkpoints import load_checkpoint, save_checkpoint

    if size % 16 or size < 32:
        raise UsageError(f"--size {size}: must be a multiple of 16, and at least 32")
    if epochs < 1 or batch < 2 or width < 2:
        raise UsageError("--epochs must be at least 1, --batch and --width at least 2")
    started = time.monotonic()
    if threads:
        torch.set_num_threads(threads)
    settings = {"pairs": hash_file_or_fail(pairs), "size": size, "width": width, "epochs": epochs}
    settings |= {"batch": batch, "seed": seed}

    data = _load_pairs(pairs, images, size, threads)
    settings |= {"pictures": hashlib.sha256(data.pixels.data).hexdigest()}
    tokenizer = train_tokenizer(data.captions)
    shape = Architecture(size=size, width=width, vocabulary=tokenizer.get_vocab_size())
    ids = torch.from_numpy(token_ids(tokenizer, data.captions, shape.length))
    pixels = torch.from_numpy(data.pixels)
    caption_of = torch.from_numpy(data.caption_of)
    training, held_out = _hold_out(len(pixels), seed)
    if len(training) < 2 * batch:
        batch = max(2, len(training) // 2)

    device = best_device()
    torch.manual_seed(seed)
    model = DualEncoder(shape).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    terms = common_terms(data.captions)
    said = torch.from_numpy(_said(data.captions, terms))
    words = Words(shape.dim, said.float().mean(dim=0)).to(device)
    learner = torch.nn.ModuleDict({"encoder": model, "words": words})
    steps = epochs * (len(training) // batch)
    optimizer = torch.optim.AdamW(weight_groups(learner), lr=_PEAK_RATE, betas=(0.9, 0.98))
    with locked(out):
        checkpoint = out / "checkpoint.safetensors"
        resumed = load_checkpoint(checkpoint, learner, optimizer, settings=settings) or {"step": 0}
        first = int(resumed["step"])
        if first:
            say(f"pretrain: going on from step {first} of {steps}")

        step = first
        try:
            for step in progress(range(first, steps), "pretrain", total=steps, unit="step", done=first):
                # Everything random in a step follows from (seed, step), so that a resumed run repeats it.
                random = torch.Generator().manual_seed(seed * 1_000_003 + step)
                torch.manual_seed(seed * 1_000_003 + step)
                for group in optimizer.param_groups:
                    group["lr"] = _PEAK_RATE * learning_curve(step, steps)
                rows = training[batch_rows(len(training), batch, step, seed)]
                views = augment(pixels[rows].to(device), random)
                model.train()
                with mixed_precision(device):
                    picture_vectors = model.picture(views)
                    text_vectors = model.text(ids[rows].to(device))
                loss = pair_loss(picture_vectors, text_vectors, model.scale, caption_of[rows].to(device))
                loss = loss + _WORDS_SHARE * words.loss(picture_vectors, said[rows].to(device))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
                optimizer.step()
                if (step + 1) % _CHECKPOINT_STEPS == 0:
                    save_checkpoint(checkpoint, learner, optimizer, settings=settings, step=step + 1)
        except KeyboardInterrupt:
            say(f"pretrain: stopped at step {step} of {steps}; the same command goes on from the last checkpoint")
            raise

        recall = _held_out_recall(model, pixels[held_out], ids[held_out], device)
        facts = {
            "pairs": len(pixels),
            "skipped": data.skipped,
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "words": len(terms),
            "held_out": len(held_out),
            "held_out_recall": recall,
            "seconds": round(time.monotonic() - started, 1),
        }
        lexicon = Lexicon(terms, *words.linear()) if terms else None
        note = made_by("pretrain", settings, torch=torch.__version__, **facts)
        save_encoder(out, model, tokenizer, lexicon, note)
        checkpoint.unlink(missing_ok=True)
    return facts


@dataclass(frozen=True)
class _Pairs:
    pixels: np.ndarray[Any, np.dtype[np.uint8]]
    captions: list[str]
    caption_of: np.ndarray[Any, np.dtype[np.int64]]
    skipped: int


def _load_pairs(path: Path, images: Path, size: int, threads: int | None) -> _Pairs:
    """Every usable pair; unusable pictures are counted and named, never silently lost."""
    rows = list(read_pairs(path))
    names = [image for image, _ in rows]
    pixels, kept = read_bytes(images, names, lambda picture: square_pixels(picture, size), threads=threads)
    captions = [rows[row][1] for row in kept]
    if len(captions) < 50:
        raise DataError(f"{path}: only {len(captions)} usable pairs; at least 50 are needed")
    numbers = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
    caption_of = np.array([numbers[caption] for caption in captions], np.int64)
    return _Pairs(pixels, captions, caption_of, len(rows) - len(captions))


def _said(captions: list[str], terms: list[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which terms each caption says `(captions, terms)`."""
    column = {term: number for number, term in enumerate(terms)}
    said = np.zeros((len(captions), len(terms)), np.bool_)
    for row, caption in enumerate(captions):
        said[row, [column[term] for term in terms_of(caption) if term in column]] = True
    return said


def _hold_out(count: int, seed: int) -> "tuple[Tensor, Tensor]":
    import torch

    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held_out = max(10, int(count * _HELD_OUT))
    return order[held_out:], order[:held_out]


def pair_loss(pictures: "Tensor", texts: "Tensor", scale: "Tensor", caption_of: "Tensor") -> "Tensor":
    """Symmetric InfoNCE over a batch of matching vectors `(n, d)`; equal captions do not repel each other."""
    import torch
    from torch.nn import functional as F

    logits = scale * pictures @ texts.T
    same = caption_of[:, None] == caption_of[None, :]
    same.fill_diagonal_(False)
    logits = logits.masked_fill(same, float("-inf"))
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def _held_out_recall(model: Any, pixels: "Tensor", ids: "Tensor", device: "torch.device") -> dict[str, float]:
    """How often a caption's own picture is among the first k of the held-out ones, in percent."""
    import torch

    model.eval()
    with torch.inference_mode():
        blocks = torch.split(pixels, 256)
        pictures = torch.cat([model.picture(torch.from_numpy(normalise(rows.numpy())).to(device)) for rows in blocks])
        texts = torch.cat([model.text(rows.to(device)) for rows in torch.split(ids, 256)])
    scores = texts @ pictures.T
    rank = (scores > scores.diagonal()[:, None]).sum(dim=1) + 1
    return {f"R@{k}": round(100 * (rank <= k).float().mean().item(), 2) for k in (1, 5, 10)}
