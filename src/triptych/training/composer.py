"""`train`: a composer from triplets, contrastively, with every unlabelled picture of the catalog as a negative."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from triptych.catalog.catalog import Catalog
from triptych.composers.trained import FORMAT, FORMAT_WITH_PATCHES
from triptych.core.environment import require_extra
from triptych.core.errors import UsageError
from triptych.core.files import atomic, hash_file, locked, made_by, write_json
from triptych.core.onnx_graph import export_graph
from triptych.core.progress import progress, say
from triptych.encoders.native import OwnEncoder, load_model
from triptych.encoders.protocol import Encoder
from triptych.training.data.patches import See, Sight, see_nothing
from triptych.training.data.triplets import ANSWERS, UNTOLD, Batch, Data
from triptych.training.validation import draw_learning_curve, held_out_recall, sum_recall

if TYPE_CHECKING:
    from torch import Tensor

    from triptych.composers.networks.combiner import QuerySide
    from triptych.training.losses import Loss

COMPOSERS = ("combiner", "transformer", "towers")
PARTS = ("answers", "concepts", "expectation", "strangers", "text-tower")
"""What a combiner or transformer can be trained without, to see what it brings."""

_PEAK_RATE = 1e-3
_TEXT_SHARE = 0.3  # of the rate, for the text tower, which knows its words already
_WEIGHT_DECAY = 0.05
_ASKED = 256  # held-out triplets asked at once
DISTILL = 5.0  # towers: what a picture's cosine to its vector before counts beside the contrastive loss


def train(
    triplets: Path | str,
    catalog: Path | str,
    out: Path | str,
    *,
    composer: str = "combiner",
    epochs: int = 3,
    batch: int = 256,
    temperature: float = 0.07,
    negatives: str = "bank",
    hard_alpha: float = 1.0,
    hard_beta: float = 0.0,
    both_directions: bool = False,
    margin: float | None = None,
    weighting: str = "confidence",
    without: Sequence[str] = (),
    seed: int = 0,
    threads: int | None = None,
    tune: str | None = None,
    accumulate: int = 1,
    chunk: int | None = None,
    distill: float = DISTILL,
) -> dict[str, Any]:
    """Train a composer on the accepted triplets of a file, over the vectors of `catalog`.

    `composer` is `combiner`, which reads the vectors of reference and text, or `transformer`, which reads the
    reference's picture position by position, and the text token by token; it is for encoders that `pretrain` made.

    Validates each epoch on the triplets of held-out references, keeps the best epoch, draws `learning-curve.png`, and
    says plainly if the weighted sum, which needs no training, does better. A run that was interrupted or killed goes
    on from its last epoch and ends with the same weights.

    From `temperature` to `weighting` it is about the loss: `triptych.training.losses.Loss` says what each means. Of
    these `towers` take the temperature alone.

    `without` leaves parts out, to see what they bring: `answers` (those beside a triplet's target), `concepts` (words
    read from pictures, and with them the expectation), `expectation` (of what is to be told of the target),
    `strangers` (among the words of a text), `text-tower` (it does not learn along).

    With `composer="towers"` the encoder itself is trained, from the catalog's pictures, and written inside `out`, to
    index with. `tune` says what of it may change: `full` (our own encoders), or `frozen`, `lora`, `last-N`, `full`
    (Hugging Face; `lora` unless said). `accumulate` batches make a step, each with negatives of its own; with `chunk`
    so many pictures or texts are in memory at a time, and the batch stays whole. `distill` holds pictures to their
    vectors of before: it weighs one minus their cosine.

    Returns what it measured: triplets, held-out recall of the composer and of the sum in percent, seconds.
    Raises DataError when the file cannot be read or holds too little, or a picture that is to be looked at is gone,
    MismatchError when catalog and encoder differ, UsageError without the extra `train` or for an unknown composer.
    """
    triplets, catalog, out = Path(triplets), Path(catalog), Path(out)
    if composer not in COMPOSERS:
        raise UsageError(f"--composer {composer}: there is no such composer; there are {', '.join(COMPOSERS)}")
    if epochs < 1 or batch < 2:
        raise UsageError("--epochs must be at least 1, --batch at least 2")
    require_extra("train", "train")
    from triptych.training.losses import Loss

    loss_by = Loss(temperature, negatives, hard_alpha, hard_beta, both_directions, margin, weighting)
    if composer == "towers":
        from triptych.training.finetuning import finetune

        if loss_by != Loss(temperature) or without:
            raise UsageError(
                "--composer towers has a loss of its own; it takes none of --negatives, --hard-alpha, --hard-beta, "
                "--both-directions, --margin, --weighting and --without"
            )
        return finetune(
            triplets,
            catalog,
            out,
            tune=tune,
            epochs=epochs,
            batch=batch,
            accumulate=accumulate,
            chunk=chunk,
            temperature=temperature,
            distill=distill,
            seed=seed,
            threads=threads,
        )
    if unknown := set(without) - set(PARTS):
        raise UsageError(f"--without {sorted(unknown)[0]}: there is no such part; there are {', '.join(PARTS)}")
    if tune or accumulate != 1 or chunk is not None or distill != DISTILL:
        raise UsageError("--tune, --accumulate, --chunk and --distill are for --composer towers")
    import torch

    from triptych.composers.networks.combiner import Architecture, Combiner, QuerySide
    from triptych.composers.networks.fusion import FusionTrunk
    from triptych.core.environment import best_device
    from triptych.training.checkpoints import load_checkpoint, save_checkpoint

    started = time.monotonic()
    if threads:
        torch.set_num_threads(threads)
    opened = Catalog(catalog)
    encoder = opened.encoder(threads=threads)
    own = load_model(encoder.folder) if isinstance(encoder, OwnEncoder) else None
    if composer == "transformer" and own is None:
        raise UsageError(f"{encoder.name}: --composer transformer is for encoders that `triptych pretrain` made")
    if composer == "transformer" and "text-tower" in without:
        raise UsageError("--without text-tower: a transformer reads the tower's tokens, so it needs one that learns")
    if own is None and (idle := {"strangers", "text-tower"} & set(without)):
        raise UsageError(f"--without {min(idle)}: the text tower of {encoder.name} does not learn in any case")
    tower = own.text if own and "text-tower" not in without else None
    data = Data.read(
        triplets,
        opened.row_of,
        encoder,
        encoder.token_ids if tower and isinstance(encoder, OwnEncoder) else encoder.encode_texts,
        answers=1 if "answers" in without else ANSWERS,
        strangers="strangers" not in without,
    )
    settings = {
        "triplets": hash_file(triplets),
        "encoder": encoder.fingerprint,
        "composer": composer,
        "epochs": epochs,
        "batch": batch,
    }
    settings |= {**asdict(loss_by), "without": sorted(without), "seed": seed, "catalog": opened.digest}

    device = best_device()
    torch.manual_seed(seed)
    spoken = () if "concepts" in without else data.spoken
    shape = Architecture(
        dim=opened.dim,
        out=opened.dim * 2,
        words=tuple(map(len, spoken)),
        expects=bool(spoken) and "expectation" not in without,
    )
    eyes = own.patches if own and composer == "transformer" else None
    combiner = Combiner(shape, FusionTrunk.between(eyes, own.shape, shape) if own and eyes else None)
    if combiner.concepts is not None:
        combiner.concepts.start_from(*map(torch.from_numpy, _known(encoder, spoken)))
    model = QuerySide(combiner, tower).to(device)
    groups: list[dict[str, Any]] = [{"params": list(combiner.parameters()), "share": 1.0}]
    if model.text is not None:
        groups.append({"params": list(model.text.parameters()), "share": _TEXT_SHARE})
    optimizer = torch.optim.AdamW(groups, lr=_PEAK_RATE, weight_decay=_WEIGHT_DECAY)
    pictures = torch.tensor(opened.vectors, device=device)
    texts = torch.from_numpy(data.words).to(device)
    batch = min(batch, len(data.training))
    steps_each = len(data.training) // batch
    steps = epochs * steps_each

    with locked(out):
        checkpoint, best = out / "checkpoint.safetensors", out / "best.safetensors"
        resumed = load_checkpoint(checkpoint, model, optimizer, settings=settings) or {"history": []}
        references = data.references[np.concatenate([data.training, data.held_out])]
        sight = Sight(eyes, opened, encoder, references, out, device, threads) if eyes else None
        see: See = sight or see_nothing
        history: list[dict[str, float]] = resumed["history"]
        first = len(history) * steps_each
        losses: list[float] = []
        for step in progress(range(first, steps), "train", total=steps, unit="step", done=first):
            random = np.random.default_rng([seed, step])
            torch.manual_seed(seed * 1_000_003 + step)
            for group in optimizer.param_groups:
                rate = min(1.0, 20 * (step + 1) / steps) * (1 - step / steps)
                group["lr"] = _PEAK_RATE * group["share"] * rate
            loss = _loss(model.train(), pictures, see, data.batch(step, batch, seed), random, loss_by)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            if (step + 1) % steps_each == 0:
                recall = _recall(model, pictures, texts, see, data)
                history.append({"loss": float(np.mean(losses)), **recall})
                losses.clear()
                if recall["R@10"] >= max(epoch["R@10"] for epoch in history):
                    save_checkpoint(best, model, optimizer, settings=settings)
                save_checkpoint(checkpoint, model, optimizer, settings=settings, history=history)

        load_checkpoint(best, model, optimizer, settings=settings)
        baseline = sum_recall(opened.vectors, data)
        # The last of equals, as it was saved.
        best_epoch = max(range(len(history)), key=lambda epoch: (history[epoch]["R@10"], epoch))
        facts: dict[str, Any] = {
            "triplets": len(data.training),
            "held_out": len(data.held_out),
            "unusable": data.unusable,
            "best_epoch": best_epoch + 1,
            "recall": history[best_epoch],
            "sum_recall": baseline,
            "seconds": round(time.monotonic() - started, 1),
        }
        draw_learning_curve(history, baseline["R@10"], out / "learning-curve.png")
        _save(
            out,
            model,
            sight,
            data.words.shape[1],
            encoder,
            history,
            made_by("train", settings, torch=torch.__version__, **facts),
        )
        checkpoint.unlink()
        best.unlink()
    if facts["recall"]["R@10"] <= baseline["R@10"]:
        say(
            f"train: on held-out triplets the weighted sum does no worse (R@10 {baseline['R@10']:.1f}) than this "
            f"composer ({facts['recall']['R@10']:.1f}); search without --composer, or mine more pictures"
        )
    return facts


def _known(encoder: Encoder, spoken: Sequence[Sequence[str]]) -> "tuple[NDArray[np.float32], NDArray[np.float32]]":
    """What the encoder can tell of each word, as a map from unit vectors to logits: by name, or by likeness."""
    parts = []
    for words in spoken:
        if encoder.lexicon and encoder.lexicon.knows_most(words):
            parts.append(encoder.lexicon.linear(words))
        else:
            parts.append((encoder.logit_scale * encoder.encode_texts(words), np.zeros(len(words), np.float32)))
    return np.concatenate([weight for weight, _ in parts]), np.concatenate([bias for _, bias in parts])


def _loss(
    model: "QuerySide",
    pictures: "Tensor",
    see: See,
    batch: Batch,
    random: np.random.Generator,
    loss: "Loss",
) -> "Tensor":
    import torch
    from torch.nn import functional as F

    from triptych.core.environment import mixed_precision

    wrong = loss.known(batch.wrong)
    bank_rows = loss.bank(len(pictures), batch.right, wrong, random)
    bank = pictures[torch.from_numpy(bank_rows)]
    places, known = (
        torch.from_numpy(np.searchsorted(bank_rows, rows)).to(bank.device) for rows in (batch.right, wrong)
    )
    likeness = pictures[torch.from_numpy(batch.right[:, 0])] @ bank.T
    # Answers that do not count in this step are no negatives either: as good as the target's duplicates.
    answers = np.isin(batch.targets, bank_rows)
    asked, rows = np.nonzero(answers)[0], np.searchsorted(bank_rows, batch.targets[answers])
    likeness[torch.from_numpy(asked), torch.from_numpy(rows)] = 1.0
    words = _cut(torch.from_numpy(batch.words).to(bank.device))
    with mixed_precision(bank.device):
        queries, read = model.read(pictures[torch.from_numpy(batch.references)], words, *see(batch.references))
        gallery = model.combiner.gallery(bank)
    weights = torch.from_numpy(batch.confidences).to(bank.device)
    found = loss(queries, gallery, places, known, likeness, weights)
    told = torch.from_numpy(batch.changes).to(bank.device)
    # What was not told at all would make a mean over nothing.
    if not read or bool((told == UNTOLD).all()):
        return found
    misread = [
        F.cross_entropy(group, new, ignore_index=UNTOLD) for group, new in zip(read, told.unbind(dim=1), strict=True)
    ]
    return found + torch.stack(misread).sum()


def _recall(model: "QuerySide", pictures: "Tensor", texts: "Tensor", see: See, data: Data) -> dict[str, float]:
    """Recall of held-out targets among the whole catalog, in percent."""
    import torch

    model.eval()
    queries = []
    with torch.inference_mode():
        for start in range(0, len(data.held_out), _ASKED):
            rows = data.held_out[start : start + _ASKED]
            words = _cut(texts[torch.tensor([data.wordings[row][0] for row in rows])])
            references = data.references[rows]
            queries.append(model(pictures[torch.from_numpy(references)], words, *see(references)).cpu().numpy())
        gallery = model.combiner.gallery(pictures).cpu().numpy()
    return held_out_recall(np.concatenate(queries), gallery, data)


def _cut(words: "Tensor") -> "Tensor":
    """Token ids without the columns that none of the texts reaches into; vectors as they are."""
    return words if words.is_floating_point() else words[:, : int((words != 0).sum(dim=1).max())]


def _save(
    out: Path,
    model: "QuerySide",
    sight: Sight | None,
    words_read: int,
    encoder: Encoder,
    history: Any,
    note: dict[str, Any],
) -> None:
    import torch
    from safetensors.torch import save_file

    from triptych.composers.networks.combiner import GallerySide
    from triptych.composers.networks.fusion import FusionTrunk

    model = model.cpu().eval()
    # Over an older composer too: a kill must not leave its configuration with half of the new files.
    for name in ("config.json", "patches.onnx"):
        (out / name).unlink(missing_ok=True)
    with atomic(out / "model.safetensors") as temporary:
        save_file(model.state_dict(), temporary)
    combiner = model.combiner
    example = torch.nn.functional.normalize(torch.ones(2, combiner.shape.dim), dim=-1)
    # Another tensor for the words: the exporter would take one tensor given twice for one input.
    words = example.clone() if model.text is None else torch.ones(2, words_read, dtype=torch.int64)
    inputs, shape = [example, words], asdict(combiner.shape)
    if sight:
        assert isinstance(combiner.trunk, FusionTrunk)
        fusion = combiner.trunk.shape
        inputs.append(torch.zeros(2, fusion.positions, fusion.channels, dtype=torch.float16))
        shape |= {"fusion": asdict(fusion)}
    export_graph(model, inputs, out / "query.onnx")
    export_graph(GallerySide(combiner), [example], out / "gallery.onnx")
    if sight:
        sight.close(out / "patches.onnx")
    write_json(
        out / "config.json",
        {
            "format": FORMAT_WITH_PATCHES if sight else FORMAT,
            "composer": note["settings"]["composer"],
            "architecture": shape,
            "text_tower": model.text is not None,
            "encoder": {"name": encoder.name, "fingerprint": encoder.fingerprint},
            "history": history,
            "made_by": note,
        },
    )
