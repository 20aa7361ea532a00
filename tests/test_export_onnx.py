"""Encoders and composers exported as graphs: the same answers in single precision, nearly the same in 8 bits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import triptych
from made_benchmarks import evaluate
from test_huggingface import build_siglip, clip, photos  # noqa: F401
from test_without_torch import BLOCKED
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, MismatchError, UsageError
from triptych.core.onnx_graph import Graph, quantize_graph
from triptych.encoders.registry import load_encoder
from triptych.retrieval.options import EngineOptions, SearchOptions

TEXTS = ["red dress", "", "with LONG sleeves", "shorter", "red " * 40]


@pytest.fixture(scope="module")
def exported(tiny_composer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder and composer, in single precision."""
    out = tmp_path_factory.mktemp("exported") / "models"
    triptych.export_models(out, composer=tiny_composer)
    return out


@pytest.fixture(scope="module")
def rounded(tiny_composer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in 8 bits."""
    out = tmp_path_factory.mktemp("rounded") / "models"
    triptych.export_models(out, composer=tiny_composer, int8=True)
    return out


def test_single_precision_is_the_same_encoder(exported: Path, tiny_catalog: Path, tiny_composer: Path) -> None:
    name = Catalog(tiny_catalog).names[3]
    options = SearchOptions(like=name, k=20)
    own, exports = EngineOptions(composer=tiny_composer), EngineOptions(exported / "encoder", exported / "composer")
    expected, found = (
        triptych.search(tiny_catalog, text="in red", options=options, engine=engine, runtime=Runtime(threads=1))
        for engine in (own, exports)
    )
    assert found == expected
    assert not list(exported.rglob("model.safetensors"))


def test_eight_bits_are_another_encoder(
    rounded: Path, exported: Path, tiny_encoder: Path, tiny_catalog: Path, tiny_composer: Path
) -> None:
    plain, eight = load_encoder(str(tiny_encoder)), load_encoder(str(rounded / "encoder"))
    assert eight.fingerprint != plain.fingerprint
    cosines = (plain.encode_texts(TEXTS) * eight.encode_texts(TEXTS)).sum(axis=1)
    assert 0.99 < cosines.min() < 1 - 1e-7
    size = (rounded / "composer" / "query.onnx").stat().st_size
    assert size < 0.4 * (exported / "composer" / "query.onnx").stat().st_size
    options = SearchOptions(like=Catalog(tiny_catalog).names[0])
    for engine in (EngineOptions(encoder=rounded / "encoder"), EngineOptions(composer=rounded / "composer")):
        with pytest.raises(MismatchError):
            triptych.search(tiny_catalog, text="red", options=options, engine=engine)
    with pytest.raises(MismatchError):
        triptych.export_models(rounded.parent / "mixed", encoder=str(rounded / "encoder"), composer=tiny_composer)


def test_a_rows_result_does_not_depend_on_the_others(rounded: Path) -> None:
    eight = load_encoder(str(rounded / "encoder"), threads=1)
    alone = np.concatenate([eight.encode_texts([text]) for text in TEXTS])
    np.testing.assert_array_equal(eight.encode_texts(TEXTS), alone)


def test_the_loss_is_measured_by_eval(wardrobe_world: Path, tiny_composer: Path, rounded: Path) -> None:
    of = {"root": wardrobe_world, "weight": 0.5, "gap": False, "threads": 1}
    plain = evaluate("wardrobe", composers=[tiny_composer], **of).rows[0].metrics  # type: ignore[arg-type]
    eight = evaluate("wardrobe", composers=[rounded / "composer"], **of).rows[0].metrics  # type: ignore[arg-type]
    assert abs(plain["R@10"] - eight["R@10"]) < 5


def test_convolutions_stay_as_they_are(tiny_encoder: Path, rounded: Path, tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 32, 32), np.float32)
    whole = Graph(tiny_encoder / "picture.onnx")(pixels)
    np.testing.assert_array_equal(Graph(rounded / "encoder" / "picture.onnx")(pixels), whole)
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(DataError):
        quantize_graph(tmp_path / "no.onnx", tmp_path / "out.onnx")


@pytest.mark.slow
def test_siglip_without_transformers(tmp_path: Path) -> None:
    source = load_encoder(f"hf:{build_siglip(tmp_path / 'model', version=2)}")
    result = triptych.export_models(tmp_path / "out", encoder=source.name)
    assert min(result.picture_cosine, result.text_cosine) > 0.999
    check(tmp_path / "out" / "encoder", source, 0.999)


@pytest.mark.slow
def test_siglip_in_eight_bits(tmp_path: Path) -> None:
    source = load_encoder(f"hf:{build_siglip(tmp_path / 'model')}")
    triptych.export_models(tmp_path / "eight", encoder=source.name, int8=True)
    eight = load_encoder(str(tmp_path / "eight" / "encoder"))
    assert eight.fingerprint != source.fingerprint
    assert (eight.encode_texts(TEXTS) * source.encode_texts(TEXTS)).sum(axis=1).min() > 0.98
    with pytest.raises(UsageError):
        triptych.export_models(tmp_path / "again", encoder=str(tmp_path / "eight" / "encoder"))


@pytest.mark.slow
def test_clips_tokens_and_pictures(clip: Path, tmp_path: Path) -> None:  # noqa: F811
    import transformers

    config = transformers.CLIPConfig.from_pretrained(clip)
    config.vision_config.num_hidden_layers = config.text_config.num_hidden_layers = 1
    small = tmp_path / "clip"
    transformers.CLIPModel(config).save_pretrained(small)
    for file in clip.iterdir():
        if not (small / file.name).exists():
            (small / file.name).symlink_to(file)
    source = load_encoder(f"hf:{small}")
    triptych.export_models(tmp_path / "out", encoder=source.name)
    check(tmp_path / "out" / "encoder", source, 0.999)
    # Short texts alone, which are then padded to no more than their length.
    again = load_encoder(str(tmp_path / "out" / "encoder"))
    assert (again.encode_texts(["red"]) * source.encode_texts(["red"])).sum() > 0.999


def check(folder: Path, source: triptych.encoders.protocol.Encoder, least: float) -> None:
    """The folder's encoder does what `source` does, in a process without torch and transformers."""
    exported = load_encoder(str(folder))
    assert (exported.fingerprint, exported.dim) == (source.fingerprint, source.dim)
    assert exported.logit_scale == pytest.approx(source.logit_scale)
    for picture in photos():
        np.testing.assert_allclose(exported.prepare(picture), source.prepare(picture), atol=2e-6)
    pixels = np.stack([source.prepare(picture) for picture in photos()])
    assert (exported.encode_pictures(pixels) * source.encode_pictures(pixels)).sum(axis=1).min() > least
    expected = source.encode_texts(TEXTS)
    assert (exported.encode_texts(TEXTS) * expected).sum(axis=1).min() > least
    program = f"""{BLOCKED}
import json
from triptych.encoders.registry import load_encoder
from triptych.retrieval.options import EngineOptions, SearchOptions
print(json.dumps(load_encoder({str(folder)!r}, threads=1).encode_texts({TEXTS!r}).tolist()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(json.loads(done.stdout), exported.encode_texts(TEXTS), atol=1e-5)


def test_what_is_exported_is_never_written_over(tiny_encoder: Path, tiny_composer: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "encoder")
    shutil.copytree(tiny_composer, tmp_path / "composer")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for given in ({"encoder": str(tmp_path / "encoder")}, {"composer": tmp_path / "composer"}):
        with pytest.raises(UsageError, match="another folder"):
            triptych.export_models(tmp_path, **given)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_bad_requests(tmp_path: Path, tiny_encoder: Path) -> None:
    from test_cli import run

    assert run("export-models", "--int8").returncode == 2
    assert run("export-models", "--out", tmp_path, "--to", "faiss").returncode == 2
    assert run("export-models", "--out", tmp_path).returncode == 2
    (tmp_path / "encoder").mkdir()
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / "encoder" / name).write_bytes((tiny_encoder / name).read_bytes())
    with pytest.raises(DataError):
        load_encoder(str(tmp_path / "encoder"))
