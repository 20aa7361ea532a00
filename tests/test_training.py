import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer

from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.composers.networks.combiner import Combiner, CombinerShape, QuerySide
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, FailureError, MismatchError, UsageError
from triptych.core.files import locked
from triptych.core.options import from_flat
from triptych.encoders.native import load_model
from triptych.encoders.registry import load_encoder
from triptych.encoders.tokenizer import token_ids
from triptych.training.composer import train
from triptych.training.data.patches import no_patches
from triptych.training.data.triplets import NO_CHANGE, TARGETS_PER_STEP, Batch, TripletDataset
from triptych.training.learners.composer import composer_loss
from triptych.training.losses import ContrastiveLoss
from triptych.training.options import FinetuneOptions, LossOptions, TrainOptions
from triptych.triplets.file import read_triplets, write_triplets

ONE_THREAD = Runtime(threads=1)


@pytest.fixture(scope="module")
def attached(tiny_composer: Path, tiny_encoder: Path) -> TrainedComposer:
    composer = TrainedComposer(tiny_composer, threads=1)
    composer.attach(load_encoder(str(tiny_encoder), threads=1))
    return composer


def test_it_finds_held_out_targets(tiny_training, tiny_catalog):
    _, result = tiny_training
    chance = 100 * 10 / len(Catalog(tiny_catalog).names)
    assert result.held_out >= 5
    assert result.held_out_recall["R@10"] > 5 * chance
    assert result.unusable == 0


def test_the_loss_falls(tiny_composer):
    history = json.loads((tiny_composer / "config.json").read_text())["history"]
    losses = [epoch["loss"] for epoch in history]
    assert len(losses) == 3
    assert losses == sorted(losses, reverse=True)


def test_the_folder_is_whole_and_says_what_made_it(tiny_training, tiny_catalog, tiny_triplets):
    out, result = tiny_training
    names = {path.name for path in out.iterdir()} - {".lock"}
    assert names == {"config.json", "model.safetensors", "query.onnx", "gallery.onnx", "learning-curve.png"}
    config = json.loads((out / "config.json").read_text())
    assert config["made_by"]["command"] == "train"
    assert config["made_by"]["settings"]["epochs"] == 3
    assert config["encoder"]["fingerprint"] == Catalog(tiny_catalog).fingerprint
    best = max(epoch["R@10"] for epoch in config["history"])
    assert config["history"][result.best_epoch - 1]["R@10"] == best == result.held_out_recall["R@10"]
    accepted = sum(triplet.accepted for triplet in read_triplets(tiny_triplets)[0])
    assert result.triplets + result.held_out == accepted


def test_the_learning_curve_is_a_picture(tiny_composer):
    with Image.open(tiny_composer / "learning-curve.png") as curve:
        assert curve.format == "PNG"
        curve.load()
        assert np.asarray(curve.convert("L")).std() > 5


def test_graphs_equal_the_torch_model(attached, tiny_composer, tiny_catalog, tiny_encoder):
    config = json.loads((tiny_composer / "config.json").read_text())
    tower = load_model(tiny_encoder)
    model = QuerySide(Combiner(CombinerShape(**config["architecture"])), tower.text)
    model.load_state_dict(load_file(tiny_composer / "model.safetensors"))
    model.eval()
    vectors = Catalog(tiny_catalog).vectors[:70].copy()
    words = [f"in {colour}" for colour in ("red", "blue", "green", "black", "white")] * 14
    ids = token_ids(Tokenizer.from_file(str(tiny_encoder / "tokenizer.json")), words, tower.shape.length)
    with torch.inference_mode():
        queries = model(torch.from_numpy(vectors), torch.from_numpy(ids)).numpy()
        gallery = model.combiner.gallery(torch.from_numpy(vectors)).numpy()
    learnt = attached.with_kept_sum(None)
    np.testing.assert_allclose(learnt.compose(vectors, words), queries, atol=1e-5)
    np.testing.assert_allclose(learnt.gallery(vectors), gallery, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, atol=1e-5)
    assert learnt.compose(vectors[:0], []).shape == (0, gallery.shape[1])
    assert attached.compose(vectors[:0], []).shape == (0, attached.dim)


def test_it_reads_what_changes(tiny_composer, tiny_catalog, tiny_encoder, tiny_triplets):
    config = json.loads((tiny_composer / "config.json").read_text())
    model = QuerySide(Combiner(CombinerShape(**config["architecture"])), load_model(tiny_encoder).text)
    model.load_state_dict(load_file(tiny_composer / "model.safetensors"))
    encoder, opened = load_encoder(str(tiny_encoder), threads=1), Catalog(tiny_catalog)
    data = TripletDataset.read(tiny_triplets, opened.row_of, encoder, encoder.token_ids)
    held_out = data.held_out
    words = torch.from_numpy(data.words[[data.wordings[row][0] for row in held_out]])
    with torch.inference_mode():
        _, read = model.eval().read(torch.from_numpy(opened.vectors[data.references[held_out]]), words)
    assert [group.shape[1] for group in read] == [1 + len(group) for group in data.concept_words]
    right, by_chance, stays_of_changed, stays_of_others = [], [], [], []
    for group, new in zip(read, data.changes[held_out].T, strict=True):
        changed, stays = new > 0, group.softmax(dim=1)[:, 0].numpy()
        right += (group[:, 1:].argmax(dim=1).numpy() + 1 == new)[changed].tolist()
        by_chance += [1 / (group.shape[1] - 1)] * int(changed.sum())
        stays_of_changed += stays[changed].tolist()
        stays_of_others += stays[~changed].tolist()
    assert np.mean(right) > 2 * np.mean(by_chance)
    assert np.mean(stays_of_changed) < np.mean(stays_of_others) - 0.2


@pytest.mark.slow
def test_a_composer_without_expectation_is_as_those_of_before(tiny_triplets, tiny_catalog, tmp_path):
    out = tmp_path / "without"
    options = TrainOptions(without=("target-concepts",), epochs=1, batch_size=64)
    train(tiny_triplets, tiny_catalog, out, options, runtime=ONE_THREAD)
    architecture = json.loads((out / "config.json").read_text())["architecture"]
    assert not architecture.pop("expects")
    assert CombinerShape(**architecture) == CombinerShape(**architecture, expects=False)
    names = set(load_file(out / "model.safetensors"))
    assert any("concepts" in name for name in names)
    assert not any("expect" in name for name in names)


def test_changes_and_words_are_as_the_agent_said_them(tiny_triplets, tiny_catalog, tiny_encoder, tmp_path):
    encoder, opened = load_encoder(str(tiny_encoder), threads=1), Catalog(tiny_catalog)
    stored, _ = read_triplets(tiny_triplets)
    free = set(range(0, len(stored), 7))
    changed = [replace(triplet, changes=()) if row in free else triplet for row, triplet in enumerate(stored)]
    spoken = sorted(
        {change.new for triplet in changed for change in triplet.changes if change.attribute == "colour" and change.new}
    )
    write_triplets(tmp_path / "t.parquet", changed, {"phrases": {"colour": {spoken[0]: "as it is asked"}}})
    data = TripletDataset.read(tmp_path / "t.parquet", opened.row_of, encoder, encoder.encode_texts)
    usable = [(row, triplet) for row, triplet in enumerate(changed) if triplet.accepted]
    groups = sorted({change.attribute for triplet in changed for change in triplet.changes})
    assert "as it is asked" in data.concept_words[groups.index("colour")]
    assert spoken[0] not in data.concept_words[groups.index("colour")]
    for changes, (row, triplet) in zip(data.changes, usable, strict=True):
        if row in free:
            assert (changes == NO_CHANGE).all()
            continue
        new = {change.attribute: change.new for change in triplet.changes}
        for group, number, words in zip(groups, changes.tolist(), data.concept_words, strict=True):
            # An exclusion leads to any other word.
            assert (number != 0, number == NO_CHANGE) == (group in new, group in new and new[group] is None)
            if number > 0:
                assert words[number - 1] == new[group].replace(spoken[0], "as it is asked")


@pytest.mark.slow
def test_parts_can_be_left_out(tiny_triplets, tiny_catalog, tiny_encoder, tmp_path):
    out, parts = tmp_path / "bare", ("text-tower", "concepts", "other-targets")
    options = TrainOptions(without=parts, epochs=1, batch_size=64)
    result = train(tiny_triplets, tiny_catalog, out, options, runtime=ONE_THREAD)
    config = json.loads((out / "config.json").read_text())
    assert (config["text_tower"], config["architecture"]["words"]) == (False, [])
    assert config["made_by"]["settings"]["without"] == sorted(parts)
    assert result.held_out_recall["R@10"] > 0
    composer = TrainedComposer(out, threads=1)
    composer.attach(load_encoder(str(tiny_encoder), threads=1))
    vectors = Catalog(tiny_catalog).vectors[:2]
    assert composer.compose(vectors, ["in red", "in blue"]).shape == composer.gallery(vectors).shape


def test_a_step_counts_some_of_a_triplets_targets_and_in_time_all(tiny_triplets, tiny_catalog, tiny_encoder):
    encoder, opened = load_encoder(str(tiny_encoder), threads=1), Catalog(tiny_catalog)
    data = TripletDataset.read(tiny_triplets, opened.row_of, encoder, encoder.encode_texts)
    whole = len(data.training)
    counted: dict[int, set[int]] = {}
    for epoch in range(60):
        order = np.random.default_rng([0, epoch, 1]).permutation(data.training)
        batch = data.batch(epoch, whole, seed=0)
        assert (batch.targets == data.targets[order]).all()  # towers take none of them for a negative
        assert batch.positives.shape == (whole, TARGETS_PER_STEP)
        for row, drawn in zip(order.tolist(), batch.positives.tolist(), strict=True):
            counted.setdefault(row, set()).update(drawn)
            assert set(drawn) <= set(data.targets[row].tolist())
    assert max(len(set(rows)) for rows in data.targets.tolist()) > TARGETS_PER_STEP
    assert all(counted[row] == set(data.targets[row].tolist()) for row in data.training.tolist())


def test_the_own_target_counts_alone_where_others_are_left_out(tiny_triplets, tiny_catalog, tiny_encoder):
    encoder, opened = load_encoder(str(tiny_encoder), threads=1), Catalog(tiny_catalog)
    data = TripletDataset.read(tiny_triplets, opened.row_of, encoder, encoder.encode_texts, targets_per_step=1)
    order = np.random.default_rng([0, 0, 1]).permutation(data.training)
    assert (data.batch(0, len(order), seed=0).positives == data.targets[order, :1]).all()


@pytest.mark.parametrize("counted", [1, TARGETS_PER_STEP])
def test_targets_that_do_not_count_are_no_negatives(tiny_triplets, tiny_catalog, tiny_encoder, counted):
    encoder, opened = load_encoder(str(tiny_encoder), threads=1), Catalog(tiny_catalog)
    data = TripletDataset.read(tiny_triplets, opened.row_of, encoder, encoder.encode_texts, targets_per_step=counted)
    batch = data.batch(0, 64, seed=0)
    model = QuerySide(Combiner(CombinerShape(dim=opened.dim, out=opened.dim)), None).eval()

    def loss(chosen: Batch) -> float:
        pictures, random = torch.tensor(opened.vectors), np.random.default_rng(0)
        return composer_loss(model, pictures, no_patches, chosen, random, ContrastiveLoss(LossOptions())).item()

    only = replace(batch, targets=batch.positives)
    assert any(set(known) - set(some) for known, some in zip(batch.targets, only.targets, strict=True))
    assert loss(batch) < loss(only)  # by the other targets, which are missing below the fraction line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"without": ("critic",)}, "--without critic: choose one of concepts, kept-sum"),
        ({"without": ("text-tower",), "composer": "transformer"}, "a transformer reads"),
    ],
)
def test_parts_that_cannot_be_left_out(options, said):
    with pytest.raises(UsageError, match=said):
        TrainOptions(**options)
    assert not hasattr(FinetuneOptions(), "without")  # it has a loss of its own


def test_words_and_picture_both_matter(attached, tiny_catalog):
    vectors = Catalog(tiny_catalog).vectors[:2]
    red, blue = attached.compose(vectors, ["red", "red"]), attached.compose(vectors, ["blue", "blue"])
    assert not np.allclose(red, blue, atol=1e-3)
    assert not np.allclose(red[0], red[1], atol=1e-3)


def test_another_encoder_is_refused(tiny_composer, tiny_encoder, tmp_path):
    other = shutil.copytree(tiny_encoder, tmp_path / "other")
    with (other / "tokenizer.json").open("a") as file:
        file.write("\n")
    with pytest.raises(MismatchError, match="use that encoder"):
        TrainedComposer(tiny_composer).attach(load_encoder(str(other)))


def test_a_damaged_composer_is_one_line(tiny_composer, tmp_path):
    copied = shutil.copytree(tiny_composer, tmp_path / "copied")
    content = (copied / "query.onnx").read_bytes()
    (copied / "query.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"query\.onnx") as raised:
        TrainedComposer(copied)
    assert "\n" not in str(raised.value)
    (copied / "query.onnx").unlink()
    with pytest.raises(DataError, match=r"query\.onnx"):
        TrainedComposer(copied)
    (copied / "config.json").write_text("{}")
    with pytest.raises(DataError, match="not a composer"):
        TrainedComposer(copied)
    with pytest.raises(DataError, match="triptych train"):
        TrainedComposer(tmp_path)


def test_too_few_triplets(tiny_triplets, tiny_catalog, tmp_path):
    stored, note = read_triplets(tiny_triplets)
    few = [triplet for triplet in stored if triplet.accepted][:19]
    write_triplets(tmp_path / "few", [*few, *(replace(triplet, accepted=False) for triplet in stored)], note)
    with pytest.raises(DataError, match="mine more pictures"):
        train(tmp_path / "few", tiny_catalog, tmp_path / "out")
    with pytest.raises(DataError, match="there is no triplet file here; make one with `triptych mine`"):
        train(tmp_path / "missing", tiny_catalog, tmp_path / "out")
    (tmp_path / "garbage").write_bytes(b"no triplets")
    with pytest.raises(DataError, match="not a readable triplet file"):
        train(tmp_path / "garbage", tiny_catalog, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_triplets_of_unknown_pictures_are_left_out(tiny_triplets, tiny_catalog, tmp_path, capfd):
    stored, note = read_triplets(tiny_triplets)
    accepted = [triplet for triplet in stored if triplet.accepted][:300]
    unknown = [replace(accepted[0], target="gone.jpg"), replace(accepted[1], reference="gone too.jpg")]
    write_triplets(tmp_path / "triplets", [*accepted, *unknown], note)
    result = train(
        tmp_path / "triplets", tiny_catalog, tmp_path / "out", TrainOptions(epochs=1, batch_size=64), runtime=ONE_THREAD
    )
    assert result.unusable == 2
    assert result.triplets + result.held_out == len(accepted)
    assert "left out 2 triplets, whose pictures are not in the catalog" in capfd.readouterr().err


def test_a_catalog_of_another_encoder_is_refused(tiny_triplets, tiny_encoder, wardrobe_world, tmp_path):
    other = shutil.copytree(tiny_encoder, tmp_path / "other")
    pictures, root = wardrobe_world / "val.txt", wardrobe_world / "images"
    index(pictures, tmp_path / "catalog", encoder=str(other), root=root, runtime=Runtime(threads=1))
    with (other / "tokenizer.json").open("a") as file:
        file.write("\n")
    with pytest.raises(MismatchError):
        train(tiny_triplets, tmp_path / "catalog", tmp_path / "out")


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"batch_size": 1}, {"temperature": 0.0}, {"negatives": "all"}])
def test_settings_that_make_no_sense(setting):
    with pytest.raises(UsageError, match=r"^--"):
        from_flat(TrainOptions, setting)


def test_one_run_at_a_time(tiny_triplets, tiny_catalog, tmp_path):
    with locked(tmp_path / "out"), pytest.raises(FailureError, match="another run"):
        train(tiny_triplets, tiny_catalog, tmp_path / "out", TrainOptions(epochs=1), runtime=ONE_THREAD)
