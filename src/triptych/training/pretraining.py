"""`pretrain`: train an encoder on pairs of picture and title, from scratch or from a photo encoder.

From scratch: symmetric InfoNCE as in CLIP (Radford et al. 2021, figure 3), with two changes. Pictures with equal
captions are not negatives of each other. The picture tower also learns to predict the words of its caption.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from triptych.composers.truth import TruthQueries
from triptych.core.environment import Runtime, require_extra, require_one_process
from triptych.core.files import locked, made_by
from triptych.encoders.lexicon import Lexicon, common_terms
from triptych.encoders.native import NativeEncoder, save_encoder
from triptych.encoders.reading import TextReader, report_long_texts
from triptych.encoders.tokenizer import train_tokenizer
from triptych.training.callbacks import callbacks_of
from triptych.training.continuing import continue_pretraining
from triptych.training.data.pairs import hash_file_or_fail, load_pairs
from triptych.training.encoder_verdict import keep_statistics
from triptych.training.options import SCRATCH, Log, PretrainOptions
from triptych.training.results import PretrainResult
from triptych.training.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

_HELD_OUT = 0.02  # share of the pairs that is held out, to measure recall on pictures not trained on
_SIZE, _WIDTH, _EPOCHS = 64, 64, 50


def pretrain(
    pairs: Path | str,
    images: Path | str,
    out: Path | str,
    options: PretrainOptions = PretrainOptions(),
    *,
    truth: Callable[[Sequence[str]], TruthQueries] | None = None,
    runtime: Runtime = Runtime(),
    log: Log = None,
) -> PretrainResult:
    """Train an encoder on pairs of picture and caption.

    Writes an encoder folder, which every command accepts as `--encoder`. A run that was interrupted or killed goes on
    from its last checkpoint and ends with the same weights. Pictures are held in memory as bytes, `3 * size * size`
    each.

    An encoder that starts from another one is compared with it on pairs of products that it did not learn from: whether
    a title finds its picture and, with `truth`, whether picture and words together find the right answers. One line
    reports the verdict, and the folder stores it.

    Args:
        pairs: a CSV with the columns `image` (relative to `images`) and `caption`.
        images: the folder that image names start from.
        out: the folder to write.
        options: the starting point, the size, and how to train.
        truth: makes queries with known answers among some pictures, by their names; see `truth_of_pairs`.
        runtime: what to compute with.
        log: a file of JSON lines for the losses, or `LogOptions`.

    Returns:
        Counts, recall on held-out pairs, the verdicts, and the duration.

    Raises:
        UsageError: torch is missing, `options.start` is no photo encoder, `out` holds an unfinished run with other
            settings, or there are too few queries.
        DataError: the pairs cannot be read, or too few are usable.
    """
    pairs, images, out = Path(pairs), Path(images), Path(out)
    require_extra("train", "pretrain")
    require_one_process("pretrain")
    if options.start == SCRATCH:
        return _from_scratch(pairs, images, out, options, runtime, log)
    return continue_pretraining(pairs, images, out, options, truth=truth, runtime=runtime, log=log)


def _from_scratch(
    pairs: Path, images: Path, out: Path, options: PretrainOptions, runtime: Runtime, log: Log
) -> PretrainResult:
    import torch

    from triptych.training.learners.pretraining import build_learner, recall_of_pairs
    from triptych.training.loop import fit

    started = time.monotonic()
    device = runtime.torch_device()
    options = replace(
        options, size=options.size or _SIZE, width=options.width or _WIDTH, epochs=options.epochs or _EPOCHS
    )
    assert options.size
    settings = Settings(options, pairs=hash_file_or_fail(pairs))
    data = load_pairs(pairs, images, options.size, runtime.threads, options.limits)
    settings |= {"pictures": hashlib.sha256(data.pixels.data).hexdigest()}
    tokenizer, terms = train_tokenizer(data.captions), common_terms(data.captions)
    training, held_out = _hold_out(len(data.captions), options.seed)
    learner = build_learner(data, tokenizer, terms, training, options, device)
    full = [data.captions[row] for row in learner.pairs.ids[:, -1].nonzero()[:, 0]]
    reader = TextReader(tokenizer, learner.model.shape.length)
    report_long_texts(data.captions, reader.readings(full), f"{pairs}: captions", out.name, cut=True)
    with locked(out):
        run = fit(learner, learner.loop, out, settings, callbacks_of(log))
        result = PretrainResult(
            start=SCRATCH,
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
        keep_statistics(NativeEncoder(out, str(out), runtime.threads), data.pixels, training.numpy())
        run.clean()
    return result


def _hold_out(count: int, seed: int) -> "tuple[Tensor, Tensor]":
    """Split the rows into training rows and held-out rows."""
    import torch

    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    held_out = max(10, int(count * _HELD_OUT))
    return order[held_out:], order[:held_out]
