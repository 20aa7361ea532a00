"""`adapt-encoder`: an encoder learns from unlabelled pictures alone to distinguish one item from another.

Captions teach a picture tower what pictures have in common. A second tower learns the rest by instance discrimination
as in SimCLR (Chen et al. 2020): two views of one picture get similar vectors, unlike those of all other pictures. One
of the views is recoloured, since people ask for the same item in another colour. So the tower must rely on cut, print,
texture and shape.
"""

import hashlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from triptych.core.environment import Runtime, require_extra, require_one_process
from triptych.core.errors import DataError, UsageError
from triptych.core.files import locked, made_by
from triptych.core.finding import find_pictures
from triptych.core.progress import say
from triptych.encoders.native import NativeEncoder, load_model, save_encoder, square_pixels
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder
from triptych.training.callbacks import callbacks_of
from triptych.training.data.pixels import read_bytes
from triptych.training.encoder_verdict import keep_statistics
from triptych.training.options import AdaptOptions, Log
from triptych.training.results import AdaptResult
from triptych.training.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

_MAX_PICTURES = 100_000  # bounds memory: 1.2 GB at 64 pixels; larger catalogs are sampled
_MIN_PICTURES = 20  # fewer make no useful batch of negatives; an estimate


def adapt_encoder(
    pictures: Path | str,
    out: Path | str,
    options: AdaptOptions = AdaptOptions(),
    *,
    root: Path | str | None = None,
    encoder: Encoder | str = "wardrobe",
    runtime: Runtime = Runtime(),
    log: Log = None,
) -> AdaptResult:
    """Train an encoder, from pictures alone, to distinguish one item from another.

    Writes an encoder folder, which every command accepts as `--encoder`. Its vectors are the old ones with as many
    additional components. Texts are placed as before. A run that was interrupted or killed goes on from its last
    checkpoint and ends with the same weights.

    Args:
        pictures: a folder, or a .txt list of pictures below `root`.
        out: the folder to write.
        options: how to train.
        root: the folder that the names of a list start from.
        encoder: an encoder that `pretrain` made, or its name.
        runtime: what to compute with.
        log: a file of JSON lines for the losses, or `LogOptions`.

    Returns:
        Counts, the loss and the duration.

    Raises:
        UsageError: the encoder was not made by `pretrain`, or lies in `out`; or torch is missing.
        DataError: the encoder's weights are missing, or there are too few pictures.
    """
    pictures, out = Path(pictures), Path(out)
    require_extra("train", "adapt-encoder")
    require_one_process("adapt-encoder")
    import torch

    from triptych.encoders.networks.dual_encoder import HALF, DualEncoder
    from triptych.training.learners.adapting import LENGTH, AdaptingLearner, with_second_tower
    from triptych.training.loop import fit

    started = time.monotonic()
    device = runtime.torch_device()
    known = _adaptable(encoder, out, runtime)
    base = load_model(known.folder)
    assert isinstance(base, DualEncoder)
    pixels, skipped = _read(pictures, Path(root) if root else None, base.shape.size, options, runtime.threads)
    pictures_hash = hashlib.sha256(pixels.numpy().data).hexdigest()
    settings = Settings(options, encoder=known.fingerprint, pictures=pictures_hash)

    torch.manual_seed(options.seed)
    model = with_second_tower(base)
    assert model.identity is not None
    learner = AdaptingLearner(model.identity, pixels, options, device)
    with locked(out):
        run = fit(learner, learner.loop, out, settings, callbacks_of(log))
        result = AdaptResult(len(pixels), skipped, round(run.losses[-1], 4), round(time.monotonic() - started, 1))
        note = made_by("adapt-encoder", settings, base=known.name, torch=torch.__version__, **asdict(result))
        lexicon = known.lexicon and known.lexicon.widened(base.shape.dim + LENGTH, HALF)
        save_encoder(out, model, known.tokenizer, lexicon, note)
        keep_statistics(NativeEncoder(out, str(out), runtime.threads), pixels.numpy(), np.arange(len(pixels)))
        run.clean()
    return result


def _adaptable(encoder: Encoder | str, out: Path, runtime: Runtime) -> NativeEncoder:
    """Check that an encoder can be adapted, and does not lie where the result is written.

    Raises:
        UsageError: it cannot, or does.
    """
    known = load_encoder(encoder, threads=runtime.threads, device=runtime.device)
    if not isinstance(known, NativeEncoder) or known.is_photo_encoder or known.instance_dim:
        raise UsageError(f"--encoder {known.name}: adapt-encoder takes an encoder that `triptych pretrain` made")
    if out.resolve() == known.folder.resolve():
        raise UsageError(f"--out {out}: holds the encoder to adapt; choose another")
    return known


def _read(
    pictures: Path, root: Path | None, size: int, options: AdaptOptions, threads: int | None
) -> "tuple[Tensor, int]":
    """Read every usable picture as bytes `(n, 3, size, size)`. The others are counted and named."""
    import torch

    found = find_pictures(pictures, root=root)
    names = found.names
    if left_out := found.counts():
        say(f"{pictures}: left out " + ", ".join(f"{kind} {count}" for kind, count in left_out.items()))
    if len(names) > _MAX_PICTURES:
        say(f"{pictures}: uses {_MAX_PICTURES} of {len(names)} pictures, drawn at random")
        chosen = np.random.default_rng(0).choice(len(names), _MAX_PICTURES, replace=False)
        names = [names[row] for row in np.sort(chosen)]
    pixels, kept = read_bytes(
        found.root, names, lambda picture: square_pixels(picture, size), threads=threads, limits=options.limits
    )
    if len(kept) < _MIN_PICTURES:
        raise DataError(f"{pictures}: holds {len(kept)} usable pictures; adapting needs at least {_MIN_PICTURES}")
    return torch.from_numpy(pixels), len(names) - len(kept)
