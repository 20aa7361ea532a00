"""`finetune`: train the encoder itself on triplets, from pixels.

A query is a mixture of the reference's and the words' vectors. The same picture tower encodes targets and negatives,
and both towers are trained, as in Tu et al. The result is a composer that contains its encoder.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.composers.trained import FORMAT, INSIDE
from triptych.composers.truth import TruthQueries
from triptych.core.environment import Runtime, require_extra
from triptych.core.errors import DataError, UsageError
from triptych.core.files import hash_file, made_by, write_bytes, write_json
from triptych.core.onnx_graph import export_graph
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder
from triptych.training.callbacks import callbacks_of
from triptych.training.data.pixels import Bytes, read_bytes
from triptych.training.data.triplets import TripletDataset
from triptych.training.options import FinetuneOptions, Log
from triptych.training.results import FinetuneResult
from triptych.training.settings import Settings
from triptych.training.trainable import TrainableEncoder, trainable_encoder
from triptych.training.validation import BEST_BY, summarise_run
from triptych.training.verdict import Space, judge_saved, report_missing_verdict
from triptych.triplets.file import read_triplets

if TYPE_CHECKING:
    from triptych.composers.networks.mixture import Mixture

_MEMORY = 2 << 30  # bytes of pixels held in memory; if all do not fit, pictures of no triplet are sampled


def finetune(
    triplets: Path | str,
    catalog: Path | str,
    out: Path | str,
    options: FinetuneOptions = FinetuneOptions(),
    *,
    encoder: Encoder | str | None = None,
    truth: TruthQueries | None = None,
    runtime: Runtime = Runtime(),
    log: Log = None,
) -> FinetuneResult:
    """Train the encoder of a catalog on triplets, from its pictures, and write it inside a composer.

    Pictures are held in memory as bytes. Those that cannot be read are named and left out, with their triplets. With
    `truth` the run prints and stores a verdict: whether the composer is better than the baselines, also those with the
    original encoder. Several processes of `torchrun` train together, as in `train`; each holds all pictures.

    Args:
        triplets: the file.
        catalog: the folder of the catalog with the triplets' pictures.
        out: the folder to write. Index pictures with the encoder in its folder `encoder`.
        options: what is trained, and how.
        encoder: the catalog's encoder, or its name; by default the one that the catalog names.
        truth: queries with known answers, by `truth_queries`. None of them is learnt from.
        runtime: what to compute with.
        log: a file of JSON lines for losses and recall, or `LogOptions`.

    Returns:
        Counts, recall on held-out triplets, the verdict, and the duration.

    Raises:
        DataError: the file cannot be read or holds too little, or no picture can be read.
        MismatchError: the encoder is not the catalog's.
        UsageError: the encoder cannot be fine-tuned, or lies in `out`; or torch is missing.
    """
    triplets, catalog, out = Path(triplets), Path(catalog), Path(out)
    require_extra("train", "finetune")
    import torch

    from triptych.training.learners.finetuning import FinetuningLearner
    from triptych.training.loop import fit
    from triptych.training.processes import is_first, joined, locked_once, of_first

    started = time.monotonic()
    device = runtime.torch_device()
    opened = Catalog(catalog)
    known = opened.encoder(encoder, threads=runtime.threads, device=runtime.device)
    towers = _towers(known, out, options)
    pictures = _read(triplets, opened, towers, options.seed, runtime.threads)
    data = TripletDataset.read(triplets, pictures.row_of, known, np.array)
    settings = Settings(
        options,
        triplets=hash_file(triplets),
        encoder=known.fingerprint,
        catalog=opened.digest,
        pictures=hashlib.sha256(pictures.pixels.data).hexdigest(),
        tune=towers.tune,
    )
    with joined(device), locked_once(out):
        learner = FinetuningLearner(towers, data, pictures.pixels, pictures.vectors, options, device)
        run = fit(learner, learner.loop, out, settings, callbacks_of(log, options.patience, BEST_BY))
        if not is_first():
            return of_first(None)
        after = learner.vectors()
        facts = summarise_run(run.history, pictures.vectors, data, out) | pictures.facts(after)
        facts |= {"trained_weights": learner.trained_weights}
        seconds = round(time.monotonic() - started, 1)
        note = made_by("finetune", settings, torch=torch.__version__, **facts, seconds=seconds)
        (out / "config.json").unlink(missing_ok=True)
        towers.save(out / "encoder", pictures.vectors, after, note)
        made = load_encoder(f"{towers.kind}{out / 'encoder'}", threads=runtime.threads, device=runtime.device)
        _save(out, towers.kind, made, learner.head, run.history, note)
        before = Space(
            known, pictures.names, pictures.vectors, opened.root, " with the encoder of before", opened.limits
        )
        now = replace(before, encoder=made, vectors=after, label="")
        verdict = judge_saved("finetune", out, truth, now, before=before, threads=runtime.threads)
        run.clean()
        result = of_first(FinetuneResult(**facts, verdict=verdict, seconds=seconds))
    report_missing_verdict("finetune", verdict, truth)
    say(f"finetune: to search with it: triptych index PICTURES --catalog NEW --encoder {towers.kind}{out / 'encoder'}")
    return result


@dataclass(frozen=True)
class _Pictures:
    names: list[str]
    pixels: Bytes
    vectors: Vectors
    """The catalog's vectors `(n, d)`, by the original encoder."""
    skipped: int

    @property
    def row_of(self) -> dict[str, int]:
        """The row of each picture."""
        return {name: row for row, name in enumerate(self.names)}

    def facts(self, after: Vectors) -> dict[str, Any]:
        """The figures to report about the pictures, given their new vectors `(n, d)`."""
        kept = round(float((self.vectors * after).sum(axis=1).mean()), 4)
        return {"pictures": len(self.names), "skipped": self.skipped, "kept": kept}


def _read(triplets: Path, catalog: Catalog, towers: TrainableEncoder, seed: int, threads: int | None) -> _Pictures:
    """Read the pictures to train on.

    Raises:
        DataError: no picture can be read.
    """
    names = _wanted(triplets, catalog, towers, seed)
    pixels, kept = read_bytes(catalog.root, names, towers.prepare, threads=threads, opened=catalog.open_picture)
    if not kept:
        raise DataError(
            f"{catalog.root}: no picture of {catalog.folder} can be read there; index the folder where they are now"
        )
    usable = [names[row] for row in kept]
    vectors = catalog.vectors[[catalog.row_of[name] for name in usable]]
    return _Pictures(usable, pixels, vectors, len(names) - len(usable))


def _towers(encoder: Encoder, out: Path, options: FinetuneOptions) -> TrainableEncoder:
    """A copy of the encoder to train.

    Raises:
        UsageError: the encoder lies where the new one is written.
    """
    import torch

    folder: Path | None = getattr(encoder, "folder", None)
    if folder and (out / "encoder").resolve() == folder.resolve():
        raise UsageError(f"{out}: holds the encoder that the catalog was indexed with; choose another --out")
    torch.manual_seed(options.seed)
    return trainable_encoder(encoder, options.tune)


def _wanted(triplets: Path, catalog: Catalog, towers: TrainableEncoder, seed: int) -> Sequence[str]:
    """Choose the pictures to read: all, or, if these do not fit in memory, those of triplets and a sample of others."""
    from PIL import Image

    names = catalog.names
    room = _MEMORY // towers.prepare(Image.new("RGB", (64, 64))).nbytes
    if len(names) <= room:
        return names
    accepted = [triplet for triplet in read_triplets(triplets)[0] if triplet.accepted]
    named = {name for triplet in accepted for name in (triplet.reference, triplet.target, *triplet.other_targets)}
    others = [name for name in names if name not in named]
    count = min(len(others), max(0, room - len(named)))
    sampled = np.random.default_rng([seed, 4]).choice(len(others), count, replace=False)
    return sorted((named & catalog.row_of.keys()) | {others[row] for row in sampled})


def _save(
    out: Path, kind: str, encoder: Encoder, head: "Mixture", history: list[dict[str, float]], note: dict[str, Any]
) -> None:
    """Write the composer beside its encoder. `config.json` is written last, so a folder that has it is complete."""
    import torch
    from safetensors.torch import save

    from triptych.composers.networks.mixture import SameSpace

    head = head.cpu().eval()
    write_bytes(out / "model.safetensors", save(head.state_dict()))
    vectors, words = (torch.nn.functional.normalize(torch.ones(2, head.dim), dim=-1) for _ in range(2))
    export_graph(head, [vectors, words], out / "query.onnx")
    export_graph(SameSpace(), [vectors], out / "gallery.onnx")
    write_json(
        out / "config.json",
        {
            "format": FORMAT,
            "composer": "finetuned",
            "architecture": {"dim": head.dim, "hidden": head.hidden},
            "text_tower": False,
            "encoder": {"name": f"{kind}{INSIDE}/encoder", "fingerprint": encoder.fingerprint},
            "history": history,
            "made_by": note,
        },
    )
