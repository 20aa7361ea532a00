"""`pretrain`: a small dual encoder from picture-caption pairs.

Symmetric InfoNCE as in CLIP (Radford et al. 2021, figure 3), with two changes: pictures that share a caption are not
each other's negatives, and the picture tower also learns to name the words of its caption one by one.
"""

import hashlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.core.environment import Runtime, require_extra
from triptych.core.errors import DataError
from triptych.core.files import locked, made_by
from triptych.encoders.lexicon import Lexicon, common_terms
from triptych.encoders.native import save_encoder, square_pixels
from triptych.encoders.reading import TextReader, tell_long
from triptych.encoders.tokenizer import train_tokenizer
from triptych.training.callbacks import callbacks_of
from triptych.training.data.pairs import CaptionedPictures, hash_file_or_fail, read_pairs
from triptych.training.data.pixels import read_bytes
from triptych.training.options import PretrainOptions
from triptych.training.results import PretrainResult

if TYPE_CHECKING:
    from torch import Tensor

_HELD_OUT = 0.02  # of the pairs, to tell how well captions find pictures never trained on
_LEAST = 50  # pairs


def pretrain(
    pairs: Path | str,
    images: Path | str,
    out: Path | str,
    options: PretrainOptions = PretrainOptions(),
    *,
    runtime: Runtime = Runtime(),
    log: Path | str | None = None,
) -> PretrainResult:
    """Train an encoder on pairs of picture and caption.

    Writes an encoder folder, which every other stage takes as `--encoder`. A run that was interrupted or killed goes on
    from its last checkpoint and ends with the same weights. Pictures are held in memory as bytes: `3 * size * size` for
    each.

    Args:
        pairs: a CSV with the columns `image` (relative to `images`) and `caption`.
        images: the folder that image names start from.
        out: the folder to write.
        options: the encoder's size and how it learns.
        runtime: what to compute with.
        log: a file of JSON lines for the losses.

    Raises:
        UsageError: torch is missing, or `out` holds an unfinished run with other settings.
        DataError: the pairs cannot be read, or too few are usable.
    """
    pairs, images, out = Path(pairs), Path(images), Path(out)
    require_extra("train", "pretrain")
    import torch

    from triptych.training.learners.pretraining import build_learner, recall_of_pairs
    from triptych.training.loop import fit

    started = time.monotonic()
    device = runtime.torch_device()
    settings: dict[str, Any] = {"pairs": hash_file_or_fail(pairs), **asdict(options)}
    data = _load_pairs(pairs, images, options, runtime.threads)
    settings |= {"pictures": hashlib.sha256(data.pixels.data).hexdigest()}
    tokenizer, terms = train_tokenizer(data.captions), common_terms(data.captions)
    training, held_out = _hold_out(len(data.captions), options.seed)
    learner = build_learner(data, tokenizer, terms, training, options, device)
    full = [data.captions[row] for row in learner.pairs.ids[:, -1].nonzero()[:, 0]]
    reader = TextReader(tokenizer, learner.model.shape.length)
    tell_long(data.captions, reader.readings(full), f"{pairs}: captions", out.name, cut=True)
    with locked(out):
        run = fit(learner, learner.loop, out, settings, callbacks_of(log))
        result = PretrainResult(
            pairs=len(data.captions),
            skipped=data.skipped,
            parameters=sum(weight.numel() for weight in learner.model.parameters()),
            words=len(terms),
            held_out=len(held_out),
            held_out_recall=recall_of_pairs(learner, held_out),
            seconds=round(time.monotonic() - started, 1),
        )
        lexicon = Lexicon(terms, *learner.words.linear()) if terms else None
        note = made_by("pretrain", settings, torch=torch.__version__, **asdict(result))
        save_encoder(out, learner.model, tokenizer, lexicon, note)
        run.clean()
    return result


def _load_pairs(path: Path, images: Path, options: PretrainOptions, threads: int | None) -> CaptionedPictures:
    """Every usable pair; unusable pictures are counted and named, never silently lost."""
    rows = list(read_pairs(path))
    names = [image for image, _ in rows]
    size, limits = options.size, options.limits
    pixels, kept = read_bytes(
        images, names, lambda picture: square_pixels(picture, size), threads=threads, limits=limits
    )
    captions = [rows[row][1] for row in kept]
    if len(captions) < _LEAST:
        raise DataError(f"{path}: only {len(captions)} usable pairs; at least {_LEAST} are needed")
    numbers = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
    caption_of = np.array([numbers[caption] for caption in captions], np.int64)
    return CaptionedPictures(pixels, captions, caption_of, len(rows) - len(captions))


def _hold_out(count: int, seed: int) -> "tuple[Tensor, Tensor]":
    """Rows to learn from, and rows to measure on."""
    import torch

    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held_out = max(10, int(count * _HELD_OUT))
    return order[held_out:], order[:held_out]
