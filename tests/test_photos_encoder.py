"""The encoder of real photos in the package: what it is, what it distinguishes, and that graphs equal weights."""

import csv
import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych.core.errors import DataError
from triptych.core.images import open_picture
from triptych.core.onnx_weights import read_weights, round_to_8_bits
from triptych.encoders.native import NativeEncoder, load_model, save_balance, save_encoder
from triptych.encoders.networks.photo_encoder import PhotoEncoder, PhotoShape
from triptych.encoders.protocol import SLOT, AcceptsPseudoWords
from triptych.encoders.registry import PHOTOS, load_encoder
from triptych.exporting.encoders import export_encoder

CLOSET = Path(__file__).parent.parent / "examples" / "closet"
COLOURS = ("red", "blue", "black", "pink", "white", "green", "grey", "brown")
TEXTS = ["a red dress", "the same, but with long sleeves", "ein unbekanntes Wort 🧥", "", "a plain shirt " * 40]
FINGERPRINT = "0b61f228d399f22ed2fe1933aa824f5487695ebf8b7225a0879f82fa3ffc4702"


@pytest.fixture(scope="module")
def encoder() -> NativeEncoder:
    found = load_encoder("photos-1", threads=1)
    assert isinstance(found, NativeEncoder)
    return found


@pytest.fixture(scope="module")
def model(encoder: NativeEncoder) -> PhotoEncoder:
    found = load_model(encoder.folder)
    assert isinstance(found, PhotoEncoder)
    return found


@pytest.fixture(scope="module")
def annotated() -> list[dict[str, str]]:
    """A hundred photos of senders of whom the encoder has seen no photo."""
    with (CLOSET / "split.csv").open() as file:
        tested = {row["image"] for row in csv.DictReader(file) if row["split"] == "test"}
    with (CLOSET / "annotations.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["image"] in tested and row["colour"] in COLOURS]
    return [row for row in rows if row["kind"] != "other"][:100]


@pytest.fixture(scope="module")
def vectors(encoder: NativeEncoder, annotated: list[dict[str, str]]) -> np.ndarray:
    photos = [open_picture(CLOSET / "photos" / row["image"]) for row in annotated]
    return encoder.encode_pictures(np.stack([encoder.prepare(photo) for photo in photos]))


def test_its_names_and_its_fingerprint(encoder):
    assert PHOTOS == encoder.name == "photos-1"
    assert encoder.fingerprint == load_encoder("photos").fingerprint == FINGERPRINT
    assert isinstance(encoder, AcceptsPseudoWords)
    assert encoder.text_frame == (2, 3)


def test_it_runs_without_torch():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'onnx', 'transformers')))\n"
        "from PIL import Image; from triptych.encoders.registry import load_encoder\n"
        "encoder = load_encoder('photos-1', threads=1)\n"
        "pixels = encoder.prepare(Image.new('RGB', (60, 80), 'red'))[None]\n"
        "print(encoder.encode_pictures(pixels).shape, encoder.encode_texts(['in red']).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(1, 641) (1, 641)", done.stderr


def test_it_is_small_enough_to_be_built_in(encoder):
    files = sorted(encoder.folder.iterdir())
    assert {"config.json", "model.safetensors", "MODEL_CARD.md"} <= {file.name for file in files}
    assert sum(len(zlib.compress(file.read_bytes(), 6)) for file in files) < 23_000_000


def test_vectors_are_of_unit_length_and_texts_say_nothing_of_an_item(encoder, vectors):
    texts = encoder.encode_texts(TEXTS)
    for made in (vectors, texts):
        assert made.shape[1] == encoder.dim == 641
        np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)
    assert encoder.instance_dim == 385
    assert not texts[:, -encoder.instance_dim :].any()
    # The last is the constant, the same for every picture.
    np.testing.assert_allclose(vectors[:, -1], vectors[0, -1], atol=1e-6)


def test_a_text_is_read_64_tokens_at_a_time(encoder):
    words = ["red"] * 61 + ["shirt", "blue"]
    ids = encoder.token_ids([" ".join(words[:62]), " ".join(words)])
    assert ids.shape == (2, 64)
    assert ids[0, 0] == ids[1, 0] == encoder.text_frame[0]
    # As token ids, what is too long is cut, and closed as it would be.
    np.testing.assert_array_equal(ids[0], ids[1])
    assert ids[1, -1] == encoder.text_frame[1]
    long, cut, shorter = encoder.encode_texts([" ".join(words), " ".join(words[:62]), " ".join(words[:61])])
    assert np.abs(cut - shorter).max() > 1e-3
    assert np.abs(long - cut).max() > 1e-3  # its end is read, too
    np.testing.assert_allclose(np.linalg.norm(long), 1, atol=1e-5)


def test_a_text_does_not_depend_on_its_company(encoder):
    together = encoder.encode_texts(TEXTS)
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_photos_are_nearer_to_what_they_show(encoder, annotated, vectors):
    """Right are 93 of 100 colours, and 82 of 100 kinds, each against one other word."""
    kinds = sorted({row["kind"] for row in annotated})

    def share(group: str, words: tuple[str, ...]) -> float:
        right, wrong = [], []
        for row in annotated:
            other = words[(words.index(row[group]) + 1) % len(words)]
            right.append(f"a {row['colour']} {row['kind']}".replace("-", " "))
            wrong.append("a {colour} {kind}".format(**row | {group: other}).replace("-", " "))
        difference = encoder.encode_texts(right) - encoder.encode_texts(wrong)
        return float(((vectors * difference).sum(axis=1) > 0).mean())

    assert len(annotated) == 100
    assert share("colour", COLOURS) >= 0.85
    assert share("kind", tuple(kinds)) >= 0.7


def test_a_red_shirt_is_nearer_to_a_red_shirt_than_to_a_blue_one(encoder, annotated, vectors):
    for colour, other in (("red", "blue"), ("blue", "red")):
        said = encoder.encode_texts([f"a {colour} shirt", f"a {other} shirt"])
        shown = vectors[[row["colour"] == colour for row in annotated]] @ said.T
        assert (shown[:, 0] > shown[:, 1]).mean() > 0.8


def test_words_are_named_in_photos(encoder, annotated, vectors):
    assert encoder.lexicon is not None
    odds = encoder.lexicon.log_odds(vectors, COLOURS)
    # 66 of 100, where the commonest of the eight would be right for fewer than a third.
    assert (odds.argmax(axis=1) == [COLOURS.index(row["colour"]) for row in annotated]).mean() > 0.5


def test_graphs_equal_the_torch_modules(encoder, model, annotated):
    photos = [open_picture(CLOSET / "photos" / row["image"]) for row in annotated[:6]]
    pixels = np.stack([encoder.prepare(photo) for photo in photos])
    with torch.inference_mode():
        pictures = model.picture(torch.from_numpy(pixels)).numpy()
        ids = encoder.token_ids(TEXTS)
        texts = model.text(torch.from_numpy(ids)).numpy()
    assert (encoder.encode_pictures(pixels) * pictures).sum(axis=1).min() > 0.9999
    assert (encoder._encode_ids(ids) * texts).sum(axis=1).min() > 0.9999
    assert (encoder.encode_texts(TEXTS) * texts).sum(axis=1)[:4].min() > 0.9999  # the last is read in parts
    assert encoder.logit_scale == pytest.approx(model.scale.item(), rel=1e-4)


def test_a_pseudo_word_stands_in_a_text(encoder, model):
    word = encoder.token_ids(["red"])[0, 1]
    plain = torch.from_numpy(encoder.token_ids(["a red shirt"]))
    slotted = torch.where(plain == word, SLOT, plain)
    with torch.inference_mode():
        embedding = model.text.sentence.tokens.weight[word][None]
        torch.testing.assert_close(model.text(slotted, embedding), model.text(plain))
        # What stands behind the closing token does not matter.
        behind = torch.where(plain == 0, encoder.text_frame[1], plain)
        torch.testing.assert_close(model.text(behind), model.text(plain))
    assert embedding.shape[1] == encoder.word_width


@pytest.mark.slow
def test_what_is_saved_is_what_was_trained(encoder, tmp_path):
    torch.manual_seed(0)
    small = PhotoEncoder(PhotoShape(size=64, item_dim=16, dim=32, text_layers=1))
    save_encoder(tmp_path / "saved", small, encoder.tokenizer, None, {})
    saved = NativeEncoder(tmp_path / "saved", "saved", threads=1)
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32)
    with torch.inference_mode():
        pictures = small.picture(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(saved.encode_pictures(pixels), pictures, atol=1e-4)
    assert saved.lexicon is None
    # The weights lie once: the graphs hold next to nothing.
    sizes = {file.name: file.stat().st_size for file in saved.folder.iterdir()}
    assert sizes["picture.onnx"] + sizes["text.onnx"] < 0.05 * sizes["model.safetensors"]


@pytest.mark.slow
def test_parts_are_balanced_anew_beside_the_same_weights(encoder, tmp_path):
    torch.manual_seed(0)
    small = PhotoEncoder(PhotoShape(size=64, item_dim=16, dim=32, text_layers=1))
    torch.nn.init.normal_(small.picture.item_directions)
    save_encoder(tmp_path, small, encoder.tokenizer, None, {})
    weights = (tmp_path / "model.safetensors").read_bytes()
    before = NativeEncoder(tmp_path, "before", threads=1)
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32)
    old = before.encode_pictures(pixels)
    small.picture.parts.copy_(torch.tensor([0.5, 0.25, 0.25]).sqrt())
    small.picture.item_mean.fill_(0.02)
    small.picture.item_scale.copy_(torch.linspace(0.5, 2, 16))
    save_balance(tmp_path, small)
    assert (tmp_path / "model.safetensors").read_bytes() == weights
    after = NativeEncoder(tmp_path, "after", threads=1)
    assert after.fingerprint != before.fingerprint
    new = after.encode_pictures(pixels)
    plain = old[:, 32:48] / np.linalg.norm(old[:, 32:48], axis=1, keepdims=True)
    expected = (plain - 0.02) / np.linspace(0.5, 2, 16, dtype=np.float32)
    expected *= 0.5 / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(new[:, 32:48], expected, atol=1e-4)
    read = load_model(tmp_path)
    with torch.inference_mode():
        np.testing.assert_allclose(read.picture(torch.from_numpy(pixels)).numpy(), new, atol=1e-4)
    # A folder of an older version has its parts among the weights, and no scale.
    (tmp_path / "balance.safetensors").unlink()
    assert torch.equal(load_model(tmp_path).picture.item_scale, torch.ones(16))


def test_matrices_of_8_bits_are_near(tmp_path):
    from safetensors.numpy import save_file

    matrix = np.random.default_rng(0).normal(size=(7, 30)).astype(np.float32) * np.arange(7)[:, None].astype(np.float32)
    save_file(round_to_8_bits("m", matrix), tmp_path / "w.safetensors")
    (read,) = read_weights(tmp_path / "w.safetensors").values()
    assert (np.abs(read - matrix).max(axis=1) <= np.abs(matrix).max(axis=1) / 254 + 1e-7).all()


def test_the_fingerprint_is_of_the_weights_too_and_a_missing_file_is_named(encoder, tmp_path):
    folder = Path(shutil.copytree(encoder.folder, tmp_path / "copied"))
    assert NativeEncoder(folder, "copied").fingerprint == encoder.fingerprint
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b" ")
    assert NativeEncoder(folder, "copied").fingerprint != encoder.fingerprint
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"model\.safetensors is missing"):
        NativeEncoder(folder, "copied")


def test_its_export_goes_on_alone(encoder, tmp_path):
    agreement = export_encoder(encoder, tmp_path / "exported")
    assert min(agreement) > 0.9999
    config = json.loads((tmp_path / "exported" / "config.json").read_text())
    assert config["format"] == "triptych-dual-encoder-2"
