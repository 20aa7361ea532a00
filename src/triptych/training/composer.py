"""`train`: train a composer on triplets by a contrastive loss, with all pictures of the catalog as negatives."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.catalog.text_vectors import TextVectors
from triptych.composers.kept_sum import KeptSum
from triptych.composers.signed_texts import signed_vectors
from triptych.composers.trained import FORMAT, FORMAT_WITH_PATCHES
from triptych.composers.truth import TruthQueries
from triptych.core.environment import Runtime, require_extra
from triptych.core.errors import UsageError
from triptych.core.files import hash_file, made_by, write_bytes, write_json
from triptych.core.onnx_graph import export_graph
from triptych.core.progress import say
from triptych.core.vectors import Vectors
from triptych.encoders.native import NativeEncoder, load_model
from triptych.encoders.protocol import AcceptsPseudoWords, Encoder, HasTokenIds, Ids, short_name
from triptych.training.callbacks import callbacks_of
from triptych.training.data.pairs import hash_file_or_fail
from triptych.training.data.patches import PatchCache, no_patches
from triptych.training.data.soft_labels import SoftLabels
from triptych.training.data.triplets import TARGETS_PER_STEP, Encode, TripletDataset
from triptych.training.options import Log, TrainOptions
from triptych.training.results import TrainResult
from triptych.training.settings import Settings
from triptych.training.trust import weigh_evidence
from triptych.training.validation import BEST_BY, summarise_run
from triptych.training.verdict import Space, judge_saved, report_missing_verdict

# The most distinct texts to learn from. An encoder computes their vectors before training, at 4 ms a text, so this is
# about a minute. A text tower that is trained along needs no vectors and reads more.
_MAX_ENCODED_TEXTS = 16_000
_MAX_TOKENIZED_TEXTS = 300_000

if TYPE_CHECKING:
    import torch

    from triptych.composers.networks.combiner import QuerySide
    from triptych.encoders.networks.clip_text import ClipTextTower
    from triptych.encoders.networks.dual_encoder import DualEncoder
    from triptych.encoders.networks.photo_encoder import PhotoEncoder
    from triptych.training.learners.composer import ComposerLearner


def train(
    triplets: Path | str,
    catalog: Path | str,
    out: Path | str,
    options: TrainOptions = TrainOptions(),
    *,
    encoder: Encoder | str | None = None,
    truth: TruthQueries | None = None,
    runtime: Runtime = Runtime(),
    log: Log = None,
) -> TrainResult:
    """Train a composer on the accepted triplets of a file, over the vectors of a catalog.

    Each epoch is validated on triplets of held-out references. The best epoch is kept, and `learning-curve.png` is
    drawn. With `truth` the run prints and stores a verdict: whether the composer is better than the baselines. Without
    it, the run prints that this is unknown. A run that was killed goes on from its last epoch and ends with the same
    weights.

    Several processes, as `torchrun` starts them for the GPUs of one or more machines, train together. Each computes a
    part of every batch. The machines share the folders of the catalog and of `out`.

    Args:
        triplets: the file.
        catalog: the folder of the catalog with the triplets' pictures.
        out: the folder to write.
        options: which composer, and how to train it.
        encoder: the catalog's encoder, or its name; by default the one that the catalog names.
        truth: queries with known answers, by `truth_queries`. None of them is learnt from.
        runtime: what to compute with.
        log: a file of JSON lines for losses and recall, or `LogOptions`.

    Returns:
        Counts, recall on held-out triplets, the verdict, and the duration.

    Raises:
        DataError: the file cannot be read or holds too little, or a picture that must be read is gone.
        MismatchError: the encoder is not the catalog's.
        UsageError: the composer cannot be trained with this encoder, or torch is missing.
    """
    result = train_composer(
        Path(triplets), Path(catalog), Path(out), options, encoder=encoder, truth=truth, runtime=runtime, log=log
    )
    report_missing_verdict("train", result.verdict, truth)
    return result


def train_composer(
    triplets: Path,
    catalog: Path,
    out: Path,
    options: TrainOptions,
    *,
    encoder: Encoder | str | None,
    truth: TruthQueries | None = None,
    runtime: Runtime,
    log: Log = None,
) -> TrainResult:
    """Do what `train` does as a part of another run, without the line that the composer's benefit is unknown."""
    require_extra("train", "train")
    import torch

    from triptych.training.learners.composer import ComposerLearner, build_model
    from triptych.training.loop import fit, require_same_run
    from triptych.training.processes import first_ahead, is_first, joined, locked_once, of_first

    started = time.monotonic()
    device = runtime.torch_device()
    opened = Catalog(catalog)
    known = opened.encoder(encoder, threads=runtime.threads, device=runtime.device)
    own = _weights(known, options, device)
    with joined(device):
        with first_ahead():
            data = _read(triplets, opened, known, options, reads_tokens=own is not None)
        settings = _settings(triplets, opened, known, options)
        if own is not None and not isinstance(known, NativeEncoder):
            settings["text_tower"] = "lora"  # depends on the device, so a run must not go on without it
        model = build_model(opened.dim, data, known, own, options)
        with locked_once(out):
            require_same_run(out, settings)
            with first_ahead():
                cache = _patches(own, data, opened, known, out, runtime) if options.composer == "transformer" else None
            learner = ComposerLearner(model, data, opened.vectors, cache or no_patches, options, device)
            run = fit(learner, learner.loop, out, settings, callbacks_of(log, options.patience, BEST_BY))
            if not is_first():
                return of_first(None)
            facts = summarise_run(run.history, opened.vectors, data, out)
            kept = _kept_sum(learner, data, opened.vectors, options)
            seconds = round(time.monotonic() - started, 1)
            note = made_by("train", settings, torch=torch.__version__, **facts, seconds=seconds)
            _save(out, model, cache, data, known, kept, run.history, note)
            space = Space(known, opened.names, opened.vectors, opened.root, limits=opened.limits)
            verdict = judge_saved("train", out, truth, space, threads=runtime.threads)
            run.clean()
            return of_first(TrainResult(**facts, verdict=verdict, seconds=seconds))


def _settings(triplets: Path, catalog: Catalog, encoder: Encoder, options: TrainOptions) -> Settings:
    settings = Settings(
        options,
        triplets=hash_file(triplets),
        encoder=encoder.fingerprint,
        catalog=catalog.digest,
        without=sorted(options.without),
    )
    if options.soft.labels is not None:
        settings["soft"]["labels"] = hash_file_or_fail(options.soft.labels)
    return settings


def _kept_sum(
    learner: "ComposerLearner", data: TripletDataset, pictures: Vectors, options: TrainOptions
) -> KeptSum | None:
    """Decide the weight of the learnt vectors beside the weighted sum, and print it in one line."""
    if "kept-sum" in options.without:
        return None
    kept, evidence = weigh_evidence(data, pictures, learner.queries, learner.gallery())
    say(f"train: {evidence}")
    return kept


def _weights(
    encoder: Encoder, options: TrainOptions, device: "torch.device"
) -> "DualEncoder | PhotoEncoder | ClipTextTower | None":
    """The weights to train a text tower from: of one of our own encoders, or a CLIP's text tower; None if the text
    tower stays as it is.

    Raises:
        UsageError: an option needs such weights, and the encoder is another one.
    """
    from triptych.encoders.networks.dual_encoder import DualEncoder

    left_out = "text-tower" in options.without
    is_clip = getattr(encoder, "has_clip_text_tower", False)
    own: DualEncoder | PhotoEncoder | ClipTextTower | None = None
    if isinstance(encoder, NativeEncoder):
        if options.tune_text or not encoder.is_photo_encoder:
            own = load_model(encoder.folder)
    elif is_clip:
        own = None if left_out else _clip_text_tower(encoder, options, device)
    elif options.tune_text:
        raise UsageError(f"--tune-text: the text tower of {encoder.name} cannot be trained")
    if options.composer == "transformer" and not isinstance(own, DualEncoder):
        raise UsageError(
            f"{encoder.name}: --composer transformer needs an encoder of `triptych pretrain --from scratch`"
        )
    if left_out and own is None and not is_clip:
        raise UsageError(f"--without text-tower: the text tower of {encoder.name} is not trained")
    return None if left_out else own


def _clip_text_tower(encoder: Encoder, options: TrainOptions, device: "torch.device") -> "ClipTextTower | None":
    """A copy of a CLIP's text tower if it is trained along; prints in one line whether it is."""
    from triptych.encoders.networks.clip_text import ClipTextTower

    name = short_name(encoder)
    if device.type != "cuda" and not options.tune_text:
        say(f"train: the text tower of {name} is not trained on a CPU; --tune-text trains it by LoRA")
        return None
    assert isinstance(encoder, AcceptsPseudoWords)
    tower = encoder.text_tower()
    assert isinstance(tower, ClipTextTower)
    say(f"train: the text tower of {name} is trained along by LoRA")
    return tower


def _patches(
    own: "DualEncoder | PhotoEncoder | ClipTextTower | None",
    data: TripletDataset,
    catalog: Catalog,
    encoder: Encoder,
    out: Path,
    runtime: Runtime,
) -> PatchCache:
    """What a transformer reads of the references' pictures."""
    from triptych.encoders.networks.dual_encoder import DualEncoder

    assert isinstance(own, DualEncoder), "a transformer is for encoders that pretrain made"
    reads = data.references[np.concatenate([data.training, data.held_out])]
    if data.soft is not None:
        reads = np.concatenate([reads, data.soft.references])
    return PatchCache(own.patches, catalog, encoder, reads, out, runtime.torch_device(), runtime.threads)


def _read(
    triplets: Path, catalog: Catalog, encoder: Encoder, options: TrainOptions, *, reads_tokens: bool
) -> TripletDataset:
    """Read the triplets: with token ids if a text tower is trained, else with vectors of their texts."""
    texts = TextVectors(catalog.folder, encoder)
    signed = partial(signed_vectors, encode=texts)
    encode: Encode = signed
    most = _MAX_ENCODED_TEXTS
    if reads_tokens:
        assert isinstance(encoder, HasTokenIds)
        encode, most = partial(_token_ids, encoder), _MAX_TOKENIZED_TEXTS
    data = TripletDataset.read(
        triplets,
        catalog.row_of,
        encoder,
        encode,
        signed,
        targets_per_step=1 if "other-targets" in options.without else TARGETS_PER_STEP,
        most_texts=most,
    )
    if options.soft.labels is not None:
        data = replace(data, soft=SoftLabels.read(options.soft.labels, catalog.names, encode))
    texts.save()
    return data


def _token_ids(encoder: HasTokenIds, texts: Sequence[str]) -> Ids:
    """Token ids of texts, without columns that only pad them with the end token."""
    ids = encoder.token_ids(texts)
    closing = encoder.text_frame[1]
    if closing == 0 or not len(ids):
        return ids
    lengths = (ids == closing).argmax(axis=1) + 1
    return ids[:, : int(lengths.max())]


def _save(
    out: Path,
    model: "QuerySide",
    cache: PatchCache | None,
    data: TripletDataset,
    encoder: Encoder,
    kept: KeptSum | None,
    history: list[dict[str, float]],
    note: dict[str, Any],
) -> None:
    """Write the composer. `config.json` is written last, so a folder that has it is complete."""
    import torch
    from safetensors.torch import save

    from triptych.composers.networks.combiner import GallerySide
    from triptych.composers.networks.fusion import FusionTrunk
    from triptych.encoders.networks.lora import merge_lora

    model = model.cpu().eval()
    merge_lora(model)
    # If `out` holds an older composer, its config.json goes first: a killed process must not leave the old
    # configuration beside new files.
    for name in ("config.json", "patches.onnx"):
        (out / name).unlink(missing_ok=True)
    write_bytes(out / "model.safetensors", save(model.state_dict()))
    combiner = model.combiner
    example = torch.nn.functional.normalize(torch.ones(2, combiner.shape.dim), dim=-1)
    # The words get a tensor of their own: the exporter treats one tensor passed twice as one input.
    words = example.clone()
    if model.text is not None:
        assert isinstance(encoder, HasTokenIds)
        words = torch.from_numpy(encoder.token_ids(["", ""]))
    inputs, shape = [example, words], asdict(combiner.shape)
    if cache:
        assert isinstance(combiner.trunk, FusionTrunk)
        fusion = combiner.trunk.shape
        inputs.append(torch.zeros(2, fusion.positions, fusion.channels, dtype=torch.float16))
        shape |= {"fusion": asdict(fusion)}
    export_graph(model, inputs, out / "query.onnx", traced=model.text is None and cache is None)
    export_graph(GallerySide(combiner), [example], out / "gallery.onnx", traced=True)
    if cache:
        cache.close(out / "patches.onnx")
    write_json(
        out / "config.json",
        {
            "format": FORMAT_WITH_PATCHES if cache else FORMAT,
            "composer": note["settings"]["composer"],
            "architecture": shape,
            "text_tower": model.text is not None,
            "signed_texts": True,
            "words": list(data.learnt) if model.text is not None else [],
            "encoder": {"name": encoder.name, "fingerprint": encoder.fingerprint},
            **({"kept_sum": kept.as_json()} if kept else {}),
            "history": history,
            "made_by": note,
        },
    )
