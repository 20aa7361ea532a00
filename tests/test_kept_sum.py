"""The weighted sum beside what is learnt: how it is mixed, and that wrong triplets do no harm."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.composers.baselines import TextOnly, WeightedSum
from triptych.composers.kept_sum import KeptSum
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime
from triptych.core.vectors import unit
from triptych.encoders.native import load_model, save_encoder
from triptych.encoders.networks.photo_encoder import PhotoEncoder, PhotoShape
from triptych.encoders.registry import load_encoder
from triptych.training.composer import train
from triptych.training.data.triplets import TripletDataset
from triptych.training.options import TrainOptions
from triptych.training.trust import LEAST, MOST, trust_by_truth, weigh_evidence
from triptych.triplets.file import Change, Modification, read_triplets, write_triplets

ONE_THREAD = Runtime(threads=1)
TEXTS = ["in red", "in blue", "with long sleeves", "as a skirt"] * 5


@pytest.fixture(scope="module")
def attached(tiny_composer: Path, tiny_encoder: Path) -> TrainedComposer:
    composer = TrainedComposer(tiny_composer, threads=1)
    composer.attach(load_encoder(str(tiny_encoder), threads=1))
    return composer


def test_one_inner_product_adds_up_both_scores(attached, tiny_catalog, tiny_encoder):
    encoder, vectors = load_encoder(str(tiny_encoder), threads=1), Catalog(tiny_catalog).vectors
    kept = KeptSum(trust=0.4, spread=(0.1, 0.3), dim=encoder.dim, weight=0.6)
    mixed, alone = attached.with_kept_sum(kept), attached.with_kept_sum(None)
    references, gallery = vectors[:20], vectors[20:60]
    sums = WeightedSum("sum", TextOnly(encoder), 0.6).compose(references, TEXTS)
    learnt = alone.compose(references, TEXTS) @ alone.gallery(gallery).T
    wanted = 0.6 / 0.1 * (sums @ gallery.T) + 0.4 / 0.3 * learnt
    queries, pictures = mixed.compose(references, TEXTS), mixed.gallery(gallery)
    found = queries @ pictures.T
    assert queries.shape[1] == pictures.shape[1] == mixed.dim == encoder.dim + alone.dim
    for vector in (queries, pictures):
        np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1, atol=1e-5)
    factors = (found * wanted).sum(axis=1) / (wanted * wanted).sum(axis=1)
    np.testing.assert_allclose(found, wanted * factors[:, None], atol=1e-5)
    assert mixed.gallery_fingerprint != alone.gallery_fingerprint


def test_without_trust_it_is_the_sum_and_with_all_of_it_what_is_learnt(attached, tiny_catalog, tiny_encoder):
    encoder, vectors = load_encoder(str(tiny_encoder), threads=1), Catalog(tiny_catalog).vectors
    kept = KeptSum(trust=0.0, spread=(0.1, 0.3), dim=encoder.dim)
    none, all_of_it, alone = (attached.with_kept_sum(one) for one in (kept, replace(kept, trust=1.0), None))
    sums = WeightedSum("sum", TextOnly(encoder)).compose(vectors[:20], TEXTS)
    np.testing.assert_allclose(none.compose(vectors[:20], TEXTS), sums, atol=1e-6)
    assert none.dim == encoder.dim
    assert none.gallery(vectors[:3]) is not None
    np.testing.assert_array_equal(none.gallery(vectors[:3]), vectors[:3])
    assert none.gallery_fingerprint == WeightedSum.gallery_fingerprint
    np.testing.assert_array_equal(all_of_it.compose(vectors[:20], TEXTS), alone.compose(vectors[:20], TEXTS))
    np.testing.assert_array_equal(all_of_it.gallery(vectors[:9]), alone.gallery(vectors[:9]))
    assert all_of_it.gallery_fingerprint == alone.gallery_fingerprint


def test_what_train_decided_is_in_the_folder(tiny_composer, tiny_training, attached):
    kept = json.loads((tiny_composer / "config.json").read_text())["kept_sum"]
    assert 0 < kept["trust"] <= MOST
    assert attached.kept_sum == KeptSum.from_json(kept)
    assert attached.kept_sum.as_json() == {**kept, "spread": tuple(kept["spread"])}


def test_true_answers_decide_and_a_tie_changes_nothing():
    random = np.random.default_rng(0)
    bad, good = random.random(60) < 0.2, random.random(60) < 0.9
    falling = {0.0: good, 0.3: good & (random.random(60) < 0.7), 0.7: bad, 1.0: bad}
    assert trust_by_truth({trust: each.astype(float) for trust, each in falling.items()}, before=0.7) == 0.0
    rising = {0.0: bad, 0.3: bad, 0.7: good & (random.random(60) < 0.7), 1.0: good}
    assert trust_by_truth({trust: each.astype(float) for trust, each in rising.items()}, before=0.3) == 1.0
    assert trust_by_truth({trust: good.astype(float) for trust in (0.0, 0.3, 0.7, 1.0)}, before=0.7) == 0.7


@pytest.fixture(scope="module")
def data(tiny_triplets: Path, tiny_catalog: Path, tiny_encoder: Path) -> TripletDataset:
    encoder = load_encoder(str(tiny_encoder), threads=1)
    return TripletDataset.read(tiny_triplets, Catalog(tiny_catalog).row_of, encoder, encoder.encode_texts)


def test_what_is_remembered_alone_is_not_trusted(data, tiny_catalog):
    pictures = Catalog(tiny_catalog).vectors
    targets = pictures[data.targets[:, 0]]
    noise = unit(np.random.default_rng(0).normal(size=targets.shape))
    training = np.isin(np.arange(len(targets)), data.training)

    def decide(queries: np.ndarray) -> float:
        return weigh_evidence(data, pictures, lambda rows, _: queries[rows], pictures)[1].trust

    assert decide(np.where(training[:, None], targets, noise)) == 0.0
    assert decide(noise) == 0.0
    most = np.where(np.random.default_rng(1).random(len(targets))[:, None] < 0.95, targets, noise)
    assert 0 < decide(np.where(training[:, None], targets, most)) < decide(targets) <= MOST
    assert decide(targets) > 0.8 * LEAST


def test_pictures_and_phrasings_are_held_out(data, tiny_triplets, tiny_catalog):
    accepted = [triplet for triplet in read_triplets(tiny_triplets)[0] if triplet.accepted]
    held = set(data.held_out.tolist())
    assert not set(data.references[data.held_out]) & set(data.references[data.training])
    for row, (triplet, numbers) in enumerate(zip(accepted, data.wordings, strict=True)):
        texts = [wording.text for wording in triplet.modifications]
        assert len(numbers) == len(texts) if row in held else 0 < len(numbers) <= len(texts)
    assert sum(len(numbers) for numbers in data.wordings) < sum(len(triplet.modifications) for triplet in accepted)


def test_a_phrasing_is_held_out_for_all_words(tiny_triplets, tiny_catalog, tiny_encoder, tmp_path):
    stored, note = read_triplets(tiny_triplets)
    frames = [f"make number {number} of these {{}}" for number in range(12)]
    words = ["red", "blue", "white", "green"]

    def worded(row: int):
        old, new = words[row % 4], words[(row + 1) % 4]
        texts = tuple(Modification("sentence", frame.format(new)) for frame in frames)
        return replace(stored[row], changes=(Change("colour", old, new),), modifications=texts, accepted=True)

    write_triplets(tmp_path / "t.parquet", map(worded, range(len(stored))), note)
    data = TripletDataset.read(
        tmp_path / "t.parquet",
        Catalog(tiny_catalog).row_of,
        load_encoder(str(tiny_encoder), threads=1),
        lambda texts: np.array(texts),
    )
    numbers = {tuple(sorted({data.words[n].split()[2] for n in data.wordings[row]})) for row in data.training}
    (learnt,) = numbers
    assert 0 < len(learnt) < 12
    assert all(data.words[data.wordings[row][0]].split()[2] not in learnt for row in data.held_out)


@pytest.mark.slow
def test_wrong_triplets_do_no_harm(tiny_triplets, tiny_catalog, tiny_encoder, tmp_path, capfd):
    stored, note = read_triplets(tiny_triplets)
    accepted = [triplet for triplet in stored if triplet.accepted]
    names = Catalog(tiny_catalog).names
    random = np.random.default_rng(0)
    wrong = [
        replace(triplet, target=names[row], other_targets=(), negatives=())
        for triplet, row in zip(accepted, random.integers(len(names), size=len(accepted)), strict=True)
        if names[row] != triplet.reference
    ]
    write_triplets(tmp_path / "wrong.parquet", wrong, note)
    options = TrainOptions(epochs=1, batch_size=64, without=("text-tower",))
    train(tmp_path / "wrong.parquet", tiny_catalog, tmp_path / "out", options, runtime=ONE_THREAD)
    assert "so the composer uses the weighted sum only" in capfd.readouterr().err
    composer = TrainedComposer(tmp_path / "out", threads=1)
    encoder = load_encoder(str(tiny_encoder), threads=1)
    composer.attach(encoder)
    vectors = Catalog(tiny_catalog).vectors[:20]
    sums = WeightedSum("sum", TextOnly(encoder)).compose(vectors, TEXTS)
    np.testing.assert_allclose(composer.compose(vectors, TEXTS), sums, atol=1e-6)


@pytest.mark.slow
def test_the_sum_can_be_left_out(tiny_triplets, tiny_catalog, tmp_path):
    options = TrainOptions(epochs=1, batch_size=64, without=("kept-sum", "text-tower"))
    train(tiny_triplets, tiny_catalog, tmp_path / "out", options, runtime=ONE_THREAD)
    assert "kept_sum" not in json.loads((tmp_path / "out" / "config.json").read_text())
    assert TrainedComposer(tmp_path / "out", threads=1).kept_sum is None


@pytest.mark.slow
def test_steps_have_an_end(tiny_triplets, tiny_catalog, tmp_path):
    options = TrainOptions(epochs=2, batch_size=64, max_steps=6, without=("text-tower",))
    log = tmp_path / "log.jsonl"
    train(tiny_triplets, tiny_catalog, tmp_path / "out", options, runtime=ONE_THREAD, log=log)
    assert max(json.loads(line)["step"] for line in log.read_text().splitlines()) == 6


@pytest.mark.slow
def test_the_end_of_a_photo_encoders_text_tower_learns(tiny_triplets, wardrobe_world, tmp_path):
    torch.manual_seed(0)
    tokenizer = load_encoder("photos-1", threads=1).tokenizer
    small = PhotoEncoder(PhotoShape(size=32, item_dim=16, dim=32, text_layers=2))
    small.picture.item_directions.normal_()
    save_encoder(tmp_path / "encoder", small, tokenizer, None, {})
    names, root = wardrobe_world / "unlabelled.txt", wardrobe_world / "images"
    index(names, tmp_path / "catalog", encoder=str(tmp_path / "encoder"), root=root, runtime=ONE_THREAD)
    options = TrainOptions(epochs=1, batch_size=64, max_steps=3, tune_text=True)
    train(tiny_triplets, tmp_path / "catalog", tmp_path / "out", options, runtime=ONE_THREAD)
    before, after = load_model(tmp_path / "encoder").text.state_dict(), load_file(tmp_path / "out/model.safetensors")
    learnt = {name for name, values in before.items() if not torch.equal(values, after[f"text.{name}"])}
    assert any("layers.1." in name for name in learnt)
    assert not any("layers.0." in name or "tokens" in name for name in learnt)
    composer = TrainedComposer(tmp_path / "out", threads=1)
    composer.attach(load_encoder(str(tmp_path / "encoder"), threads=1))
    vectors = Catalog(tmp_path / "catalog").vectors[:2]
    one, two = composer.with_kept_sum(None), composer.with_kept_sum(KeptSum(0.5, (0.1, 0.1), vectors.shape[1]))
    for asked in (one, two):
        assert asked.compose(vectors, ["in red", "in blue"]).shape == asked.gallery(vectors).shape
