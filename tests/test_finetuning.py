"""`finetune`: the encoder itself learns from the triplets."""

import json
import shutil
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from made_benchmarks import evaluate
from test_cli import run
from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, MismatchError, UsageError
from triptych.encoders.networks.dual_encoder import DualEncoder, EncoderShape
from triptych.encoders.registry import load_encoder
from triptych.retrieval.options import EngineOptions, SearchOptions
from triptych.retrieval.searching import search
from triptych.training.checkpoints import save_checkpoint
from triptych.training.finetuning import finetune
from triptych.training.grad_cache import backward
from triptych.training.learners import finetuning as learning
from triptych.training.options import FinetuneOptions
from triptych.training.results import FinetuneResult
from triptych.triplets.file import Change, Modification, Triplet, write_triplets

TINY = FinetuneOptions(epochs=1, batch_size=64)
ONE_THREAD = Runtime(threads=1)


@dataclass(frozen=True)
class Tuned:
    out: Path
    result: FinetuneResult


@pytest.fixture(scope="module")
def tuned(tiny_triplets, tiny_catalog, tmp_path_factory) -> Tuned:
    out = tmp_path_factory.mktemp("tuned") / "composer"
    return Tuned(out, finetune(tiny_triplets, tiny_catalog, out, TINY, runtime=ONE_THREAD))


# --- gradients


@pytest.fixture
def towers() -> DualEncoder:
    """Both towers with dropout on, statistics of batch norms as they are."""
    torch.manual_seed(0)
    model = DualEncoder(EncoderShape(size=32, width=8, vocabulary=50, text_width=32, dim=16)).train()
    model.picture.eval()
    return model


def gradients(model: DualEncoder, chunk: int | None) -> tuple[float, dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(1)
    pixels = torch.rand(10, 3, 32, 32, generator=random)
    ids = torch.randint(1, 50, (10, 7), generator=random)

    def loss_of(pictures: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        noisy = F.dropout(texts, 0.2)
        return F.cross_entropy(noisy @ pictures.T / 0.1, torch.arange(10))

    model.zero_grad(set_to_none=True)
    loss = backward([(model.picture, pixels), (model.text, ids)], loss_of, seed=7, chunk=chunk)
    return loss, {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("chunk", [1, 3, 10])
def test_cached_gradients_are_the_plain_ones(towers, chunk):
    towers.eval()  # with dropout each chunk would draw its own
    (plain_loss, plain), (loss, cached) = gradients(towers, None), gradients(towers, chunk)
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    assert cached.keys() == plain.keys()
    assert len(plain) > 30
    for name, wanted in plain.items():
        torch.testing.assert_close(cached[name], wanted, rtol=1e-3, atol=1e-6, msg=name)


def test_dropout_is_the_same_in_both_passes(towers):
    # One chunk of all has the seeds that a pass without chunks has; in a second pass with another dropout the gradients
    # would be those of other vectors.
    (plain_loss, plain), (loss, cached) = gradients(towers, None), gradients(towers, 10)
    other_loss, _ = gradients(towers.eval(), None)
    assert loss == plain_loss != other_loss
    for name, wanted in plain.items():
        torch.testing.assert_close(cached[name], wanted, rtol=1e-3, atol=1e-6, msg=name)


def test_accumulated_gradients_are_the_mean_of_the_batches(tiny_triplets, tiny_catalog, tmp_path, monkeypatch):
    steps: list[list[torch.Tensor]] = []

    def record(optimizer, closure=None) -> None:
        steps.append(
            [w.grad.clone() for group in optimizer.param_groups for w in group["params"] if w.grad is not None]
        )
        if len(steps) == 2:
            raise KeyboardInterrupt

    def gradients_with(accumulate: int) -> list[list[torch.Tensor]]:
        steps.clear()
        options = replace(TINY, batch_size=16, accumulate=accumulate)
        with pytest.raises(KeyboardInterrupt):
            finetune(tiny_triplets, tiny_catalog, tmp_path / str(accumulate), options, runtime=ONE_THREAD)
        return list(steps)

    # Weights stay as they are, so that the second batch has the gradients that it has within a step.
    monkeypatch.setattr(torch.optim.AdamW, "step", record)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.zeros(()))
    (first, second), (both, _) = gradients_with(1), gradients_with(2)
    assert any(not torch.allclose(one, other, atol=1e-4) for one, other in zip(first, second, strict=True))
    for one, other, mean in zip(first, second, both, strict=True):
        torch.testing.assert_close((one + other) / 2, mean, rtol=1e-3, atol=1e-6)


# --- our own encoder, trained whole


def test_both_towers_change_and_statistics_do_not(tuned, tiny_encoder):
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_encoder, tuned.out / "encoder"))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"picture.project.weight", "text.project.weight", "text.tokens.weight"} <= changed
    assert not [name for name in changed if "running" in name or "num_batches" in name or "log_scale" in name]
    assert 0.5 < tuned.result.kept < 1


@pytest.mark.slow
def test_frozen_towers_stay_as_they_are(tiny_triplets, tiny_catalog, tiny_encoder, tmp_path):
    options = replace(TINY, tune="frozen")
    result = finetune(tiny_triplets, tiny_catalog, tmp_path / "out", options, runtime=ONE_THREAD)
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_encoder, tmp_path / "out" / "encoder"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert result.kept > 0.999


def test_words_are_named_as_before(tuned, tiny_encoder, tiny_catalog, wardrobe_world):
    before, after = load_encoder(str(tiny_encoder), threads=1), load_encoder(str(tuned.out / "encoder"), threads=1)
    images = wardrobe_world / "images"
    index(
        wardrobe_world / "val.txt",
        tuned.out.parent / "val",
        encoder=after.name,
        root=images,
        runtime=Runtime(threads=1),
    )
    new = Catalog(tuned.out.parent / "val")
    index(
        wardrobe_world / "val.txt",
        tuned.out.parent / "old",
        encoder=before.name,
        root=images,
        runtime=Runtime(threads=1),
    )
    words = ["red", "blue", "dress", "striped"]
    odds = before.lexicon.log_odds(Catalog(tuned.out.parent / "old").vectors, words)
    kept = after.lexicon.log_odds(new.vectors, words)
    for column, word in enumerate(words):
        assert np.corrcoef(odds[:, column], kept[:, column])[0, 1] > 0.8, word


def test_the_folder_is_whole_and_says_what_made_it(tuned):
    names = {path.name for path in tuned.out.iterdir()} - {".lock"}
    assert names == {"config.json", "model.safetensors", "query.onnx", "gallery.onnx", "learning-curve.png", "encoder"}
    config = json.loads((tuned.out / "config.json").read_text())
    assert config["encoder"]["name"] == "{composer}/encoder"
    assert config["encoder"]["fingerprint"] == load_encoder(str(tuned.out / "encoder"), threads=1).fingerprint
    assert config["made_by"]["settings"]["tune"] == "full"
    assert config["history"][tuned.result.best_epoch - 1]["R@10"] == tuned.result.held_out_recall["R@10"]


def test_a_moved_composer_is_measured_and_searched_with(tuned, tiny_catalog, wardrobe_world, vocabulary_file, tmp_path):
    moved = shutil.copytree(tuned.out, tmp_path / "moved")
    result = evaluate(
        "wardrobe", root=wardrobe_world, composers=[moved], vocabulary=vocabulary_file, gap=False, threads=1
    )
    assert result.rows[0].method == "finetuned"
    assert result.rows[0].encoder == str(moved.resolve() / "encoder")
    with pytest.raises(MismatchError) as raised:
        search(
            tiny_catalog,
            text="in red",
            options=SearchOptions(like=Catalog(tiny_catalog).names[0]),
            engine=EngineOptions(composer=moved),
            runtime=Runtime(threads=1),
        )
    assert f"triptych index PICTURES --catalog NEW --encoder {moved.resolve() / 'encoder'}" in str(raised.value)
    assert "\n" not in str(raised.value)
    images = wardrobe_world / "images"
    index(
        wardrobe_world / "test.txt",
        tmp_path / "new",
        encoder=str(moved / "encoder"),
        root=images,
        runtime=Runtime(threads=1),
    )
    names = Catalog(tmp_path / "new").names
    assert (
        len(
            search(
                tmp_path / "new",
                text="in red",
                options=SearchOptions(like=names[0], k=5),
                engine=EngineOptions(composer=moved),
                runtime=Runtime(threads=1),
            )
        )
        == 5
    )


@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_weights(tuned, tiny_triplets, tiny_catalog, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(learning, "_CHECKPOINT_STEPS", 2)
    saved = 0

    def stop(*args, **options) -> None:
        nonlocal saved
        save_checkpoint(*args, **options)
        saved += 1
        if saved == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("triptych.training.loop.save_checkpoint", stop)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        finetune(tiny_triplets, tiny_catalog, out, TINY, runtime=ONE_THREAD)
    assert "the same command goes on" in capfd.readouterr().err
    assert not (out / "config.json").exists()
    with pytest.raises(UsageError, match="other settings"):
        finetune(tiny_triplets, tiny_catalog, out, replace(TINY, distill=1.0), runtime=ONE_THREAD)
    finetune(tiny_triplets, tiny_catalog, out, TINY, runtime=ONE_THREAD)
    assert "going on from step 2" in capfd.readouterr().err
    for name in ("model.safetensors", "encoder/model.safetensors", "encoder/words.safetensors"):
        assert (out / name).read_bytes() == (tuned.out / name).read_bytes(), name
    histories = [json.loads((folder / "config.json").read_text())["history"] for folder in (out, tuned.out)]
    assert histories[0] == histories[1]
    assert {path.name for path in out.iterdir()} == {path.name for path in tuned.out.iterdir()}


# --- what makes no sense


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["train", "--composer", "towers"], "--composer towers: choose one of combiner, transformer"),
        (["train", "--tune", "full"], "No such option: --tune"),
        (["finetune", "--tune", "lora"], "full or frozen"),
        (["finetune", "--chunk-size", "0"], "--chunk-size 0: must be at least 1"),
        (["finetune", "--temperature", "1.5"], "--temperature must be between 0 and 1"),
        (["finetune", "--negatives", "bank+group"], "No such option: --negatives"),
    ],
)
def test_what_makes_no_sense_is_said(tiny_triplets, tiny_catalog, tmp_path, options, said):
    command, *others = options
    shown = run(command, tiny_triplets, "--catalog", tiny_catalog, "--out", tmp_path / "out", *others)
    assert shown.returncode == 2
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    "setting", [{"epochs": 0}, {"batch_size": 1}, {"accumulate": 0}, {"chunk_size": 0}, {"distill": -1.0}]
)
def test_settings_that_make_no_sense(setting):
    with pytest.raises(UsageError):
        replace(TINY, **setting)


def test_an_encoder_is_not_trained_where_it_lies(tuned, tiny_triplets, wardrobe_world, tmp_path):
    out = shutil.copytree(tuned.out, tmp_path / "out")
    names, root = wardrobe_world / "val.txt", wardrobe_world / "images"
    index(names, tmp_path / "catalog", encoder=str(out / "encoder"), root=root, runtime=Runtime(threads=1))
    with pytest.raises(UsageError, match="choose another --out"):
        finetune(tiny_triplets, tmp_path / "catalog", out, TINY, runtime=ONE_THREAD)


def test_pictures_that_are_gone(tiny_triplets, tiny_catalog, tmp_path):
    catalog = shutil.copytree(tiny_catalog, tmp_path / "catalog")
    note = json.loads((catalog / "catalog.json").read_text())
    (catalog / "catalog.json").write_text(json.dumps(note | {"root": str(tmp_path / "nowhere")}))
    with pytest.raises(DataError, match="can be read there"):
        finetune(tiny_triplets, catalog, tmp_path / "out", TINY, runtime=ONE_THREAD)


# --- CLIP and SigLIP


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    pytest.importorskip("transformers", reason="needs the extra hf")
    from tiny_clip import build_clip

    return load_encoder(f"hf:{build_clip(tmp_path_factory.mktemp('clip'))}", threads=1)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    pytest.importorskip("transformers", reason="needs the extra hf")
    from test_huggingface import build_siglip

    return load_encoder(f"hf:{build_siglip(tmp_path_factory.mktemp('siglip'))}", threads=1)


ATTENTION = {f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")}


def may_change(name: str, tune: str) -> bool:
    """Whether a weight, by its name in transformers, is one that `tune` lets change."""
    if name.startswith("logit"):
        return False
    if tune == "lora":
        return name.endswith(".weight") and any(part in name for part in ATTENTION)
    projects = "_projection" in name or "_model.head" in name
    return tune == "full" or (tune == "last-1" and (projects or "layers.1." in name))


@pytest.mark.parametrize("family", ["clip", "siglip"])
@pytest.mark.parametrize("tune", ["frozen", "lora", "last-1", "full"])
def test_only_what_should_changes(family, tune, tmp_path, request):
    from triptych.training.trainable import trainable_encoder

    encoder = request.getfixturevalue(family)
    torch.manual_seed(0)
    towers = trainable_encoder(encoder, tune)
    learning = [weight for weight in towers.model.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD([*learning, torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    pixels = torch.randint(0, 256, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    ids = torch.from_numpy(towers.token_ids(["a red dress", "blue", "in red"]))
    for _ in range(2):  # the second step reaches what LoRA's zeros hide
        loss = (towers.pictures(pixels) * towers.texts(ids).roll(1, 0)).sum()
        if tune != "frozen":
            loss.backward()
        optimizer.step()
    tuned = towers.pictures(pixels).detach().numpy()
    towers.save(tmp_path / "encoder", tuned, tuned, {})
    again = load_encoder(f"hf:{tmp_path / 'encoder'}", threads=1)
    before, after = dict(encoder.model.named_parameters()), dict(again.model.named_parameters())
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name].float(), after[name].float())}
    assert not [name for name in changed if not may_change(name, tune)]
    assert len(changed) >= {"frozen": 0, "lora": 8, "last-1": 20, "full": 40}[tune]
    # What was saved gives what was trained, so LoRA merged is LoRA.
    seen = (pixels.float() * towers._scale - torch.from_numpy(towers._mean)) / torch.from_numpy(towers._std)
    np.testing.assert_allclose(again.encode_pictures(seen.numpy()), tuned, atol=2e-2)


def test_merged_is_unmerged(clip):
    import copy

    from triptych.encoders.networks.lora import Lora, add_lora, merge_lora

    torch.manual_seed(0)
    model = copy.deepcopy(clip.model).float()
    add_lora(model)
    corrections = [module for module in model.modules() if isinstance(module, Lora)]
    assert len(corrections) == 2 * 2 * 4
    pixels, ids = torch.rand(2, 3, 32, 32), torch.tensor([[1, 3, 7, 13], [1, 8, 9, 13]])

    @torch.no_grad()
    def vectors() -> torch.Tensor:
        seen = model.get_image_features(pixel_values=pixels).pooler_output
        return torch.cat([seen, model.get_text_features(input_ids=ids).pooler_output])

    start = vectors()
    for correction in corrections:
        torch.nn.init.normal_(correction.up.weight, std=0.3)
    unmerged = vectors()
    merge_lora(model)
    assert not [module for module in model.modules() if isinstance(module, Lora)]
    assert not torch.allclose(unmerged, start, atol=1e-2)
    torch.testing.assert_close(vectors(), unmerged, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("tune", "said"), [("last-3", "has 2 layers"), ("last", "write frozen, lora"), ("lora-4", "write")]
)
def test_what_a_clip_cannot_be_tuned_by(clip, tune, said):
    from triptych.training.trainable import trainable_encoder

    with pytest.raises(UsageError, match=said):
        trainable_encoder(clip, tune)


@pytest.mark.slow
def test_a_clip_is_trained_whole(clip, few_garments, tmp_path, capfd):
    pictures = shutil.copytree(few_garments / "images", tmp_path / "pictures")
    index(pictures, tmp_path / "catalog", encoder=clip.name, runtime=Runtime(threads=1))
    names = Catalog(tmp_path / "catalog").names
    triplets = [
        Triplet(
            reference=reference,
            target=target,
            modifications=(Modification("shorthand", "in red"), Modification("sentence", "is a blue dress")),
            changes=(Change("colour", "blue", "red"),),
            negatives=(),
            accepted=True,
            reason="",
            confidence=1.0,
            similarity=0.5,
            reasoner="tags",
        )
        for reference, target in pairwise(names)
    ]
    write_triplets(tmp_path / "triplets", triplets, {})
    (pictures / names[0]).unlink()
    out = tmp_path / "composer"
    options = replace(TINY, chunk_size=32)
    result = finetune(tmp_path / "triplets", tmp_path / "catalog", out, options, runtime=ONE_THREAD)
    assert (result.pictures, result.skipped, result.unusable) == (len(names) - 1, 1, 1)
    assert f"skipped {names[0]!r}" in capfd.readouterr().err
    config = json.loads((out / "config.json").read_text())
    assert config["encoder"]["name"] == "hf:{composer}/encoder"
    assert config["made_by"]["settings"]["tune"] == "lora"
    (pictures / "queries.jsonl").write_text(
        json.dumps({"reference": names[1], "modification": "in red", "targets": [names[2]]})
    )
    result = evaluate(str(pictures / "queries.jsonl"), gallery=pictures, composers=[out], gap=False, threads=1)
    assert result.rows[0].encoder == f"hf:{(out / 'encoder').resolve()}"
