import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import nn

from triptych.core.errors import DataError, UsageError
from triptych.core.images import open_picture
from triptych.core.onnx_graph import Graph, export_graph
from triptych.core.vectors import unit
from triptych.encoders.native import NativeEncoder, load_model
from triptych.encoders.registry import load_encoder
from triptych.encoders.tokenizer import token_ids

TEXTS = ["a red dress", "new in: short blue floral skirt", "ein ganz unbekanntes Wort 🧥", "x " * 100]


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> NativeEncoder:
    return NativeEncoder(tiny_encoder, "tiny", threads=1)


@pytest.fixture(scope="module")
def pixels(encoder: NativeEncoder, wardrobe_world: Path) -> np.ndarray:
    pictures = sorted((wardrobe_world / "images").iterdir())[:70]
    return np.stack([encoder.prepare(open_picture(picture)) for picture in pictures])


@pytest.fixture
def copied(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "copied"))


def test_vectors_are_of_unit_length(encoder, pixels):
    assert pixels.dtype == np.float32
    assert pixels.shape == (70, 3, 32, 32)
    for vectors, count in [(encoder.encode_pictures(pixels), 70), (encoder.encode_texts(TEXTS), len(TEXTS))]:
        assert vectors.dtype == np.float32
        assert vectors.shape == (count, encoder.dim)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_picture_is_prepared_whole_on_white(encoder):
    prepared = encoder.prepare(Image.new("RGB", (40, 80), (0, 0, 0)))
    assert prepared.shape == (3, 32, 32)
    np.testing.assert_array_equal(prepared[:, :, :8], 1)
    np.testing.assert_array_equal(prepared[:, :, 8:24], -1)
    np.testing.assert_array_equal(prepared[:, :, 24:], 1)


def test_graphs_equal_the_torch_model(encoder, pixels, tiny_encoder, tmp_path):
    model = load_model(tiny_encoder)
    tokenizer = Tokenizer.from_file(str(tiny_encoder / "tokenizer.json"))
    ids = token_ids(tokenizer, TEXTS, model.shape.length)
    with torch.inference_mode():
        pictures = model.picture(torch.from_numpy(pixels)).numpy()
        texts = model.text(torch.from_numpy(ids)).numpy()
    export_graph(model.picture, [torch.from_numpy(pixels[:2])], tmp_path / "picture.onnx")
    export_graph(model.text, [torch.from_numpy(ids[:2])], tmp_path / "text.onnx")
    np.testing.assert_allclose(Graph(tmp_path / "picture.onnx")(pixels), pictures, atol=1e-5)
    np.testing.assert_allclose(Graph(tmp_path / "text.onnx")(ids), texts, atol=1e-5)
    # The encoder's own graphs keep their matrices in half precision, after the norms were folded into them.
    assert (encoder.encode_pictures(pixels) * pictures).sum(axis=1).min() > 1 - 1e-5
    assert (encoder._encode_ids(ids) * texts).sum(axis=1).min() > 1 - 1e-5
    assert (encoder.encode_texts(TEXTS) * texts).sum(axis=1)[:2].min() > 1 - 1e-5  # the others are read in parts
    assert encoder.logit_scale == pytest.approx(model.scale.item())


def test_graphs_alone_do_not_learn(copied):
    (copied / "model.safetensors").unlink()
    with pytest.raises(DataError, match="has only graphs"):
        load_model(copied)


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x08\0\0\0\0\0\0\0{}      "])
def test_damaged_weights_are_named_in_one_line(copied, content):
    (copied / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"model\.safetensors: does not fit this encoder") as caught:
        load_model(copied)
    assert "\n" not in str(caught.value)


def test_a_vector_does_not_depend_on_its_company(encoder, pixels):
    together = encoder.encode_texts([*TEXTS, TEXTS[0]])
    np.testing.assert_array_equal(together[0], together[-1])
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, together[:-1], atol=1e-6)
    np.testing.assert_allclose(
        encoder.encode_pictures(pixels)[66:67], encoder.encode_pictures(pixels[66:67]), atol=1e-6
    )


@pytest.mark.parametrize("text", ["", "   ", "[pad]", "[pad][pad]"])
def test_a_text_without_words_still_has_a_vector(encoder, text):
    vectors = encoder.encode_texts([text, "a red dress"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert abs(float(vectors[0] @ vectors[1])) < 1


def test_nothing_gives_no_vectors(encoder):
    assert encoder.encode_texts([]).shape == (0, encoder.dim)
    assert encoder.encode_pictures(np.zeros((0, 3, 32, 32), np.float32)).shape == (0, encoder.dim)


def test_case_and_compatibility_forms_do_not_matter(encoder):
    vectors = encoder.encode_texts(["A RED dress", "a red dress", "a red dreſs"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_the_fingerprint_is_of_the_content(encoder, copied):
    assert NativeEncoder(copied, "elsewhere").fingerprint == encoder.fingerprint
    assert len(encoder.fingerprint) == 64
    for name in ("picture.onnx", "text.onnx", "tokenizer.json"):
        content = (copied / name).read_bytes()
        (copied / name).write_bytes(content + b"\n")
        assert NativeEncoder(copied, "elsewhere").fingerprint != encoder.fingerprint
        (copied / name).write_bytes(content)
    config = json.loads((copied / "config.json").read_text())
    config["architecture"]["length"] += 1
    (copied / "config.json").write_text(json.dumps(config))
    assert NativeEncoder(copied, "elsewhere").fingerprint != encoder.fingerprint


@pytest.mark.parametrize("name", ["config.json", "picture.onnx", "text.onnx", "tokenizer.json"])
def test_a_missing_file_is_named(copied, name):
    (copied / name).unlink()
    with pytest.raises(DataError, match=str(copied)):
        NativeEncoder(copied, "copied")


def test_another_format_is_refused(copied):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"format": "other"}))
    with pytest.raises(DataError, match="not an encoder"):
        NativeEncoder(copied, "copied")


@pytest.mark.parametrize("name", ["picture.onnx", "text.onnx", "tokenizer.json"])
def test_a_truncated_file_is_one_line(copied, pixels, name):
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: len(content) // 2])
    damaged = NativeEncoder(copied, "copied")

    def use():
        damaged.encode_pictures(pixels[:1])
        damaged.encode_texts(["red"])

    with pytest.raises(DataError) as raised:
        use()
    assert str(copied / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_encoder_is_found_by_its_folder(tiny_encoder, encoder):
    found = load_encoder(str(tiny_encoder), threads=1)
    assert found.fingerprint == encoder.fingerprint
    assert found.name == str(tiny_encoder.resolve())


def test_a_name_that_means_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such encoder; there are wardrobe, photos-1, photos, hf:NAME_OR_DIR, a"):
        load_encoder(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="no encoder configuration"):
        load_encoder(str(tmp_path))


def test_unit_leaves_a_zero_row_alone():
    np.testing.assert_allclose(unit(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0.0, 0.0]])


class Mixture(nn.Module):
    def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(one * 2 + other, dim=-1)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 64, 65, 200])
def test_a_graph_of_two_inputs_takes_any_number_of_rows(tmp_path_factory, rows, traced):
    path = tmp_path_factory.getbasetemp() / f"mixture-{traced}.onnx"
    if not path.exists():
        export_graph(Mixture(), [torch.ones(2, 5), torch.ones(2, 5)], path, traced=traced)
    assert Graph(path).width == 5
    one, other = np.random.default_rng(0).normal(size=(2, rows, 5)).astype(np.float32)
    np.testing.assert_allclose(Graph(path)(one, other), unit(one * 2 + other), atol=1e-6)


@pytest.mark.parametrize("traced", [False, True])
def test_an_export_leaves_one_file_and_says_nothing(tmp_path, capfd, traced):
    export_graph(Mixture(), [torch.ones(2, 5), torch.ones(2, 5)], tmp_path / "mixture.onnx", traced=traced)
    assert [path.name for path in tmp_path.iterdir()] == ["mixture.onnx"]
    assert capfd.readouterr() == ("", "")
    assert b"/triptych/" not in (tmp_path / "mixture.onnx").read_bytes()
    assert b"test_encoders" not in (tmp_path / "mixture.onnx").read_bytes()


def test_a_graph_names_no_source_file(tiny_encoder):
    for name in ("picture.onnx", "text.onnx"):
        content = (tiny_encoder / name).read_bytes()
        assert b"/triptych/" not in content
        assert b"site-packages" not in content
