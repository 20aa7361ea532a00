"""CLIP and SigLIP through transformers: what they give is what transformers' own classes give."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from triptych.core.environment import best_device, fast_bfloat16
from triptych.core.errors import DataError, FailureError, TriptychError, UsageError
from triptych.core.vectors import unit
from triptych.encoders.huggingface import HuggingFaceEncoder
from triptych.encoders.registry import load_encoder

transformers = pytest.importorskip("transformers", reason="needs the extra hf")
torch = pytest.importorskip("torch")

from triptych.encoders.networks.rounded import RoundedPictureTower  # noqa: E402

ROOT = Path(__file__).parents[1]
CLIP = Path(os.environ.get("TRIPTYCH_DATA", ROOT / "../shared/data")) / "clip-vit-base-patch32-tokenizer"
TEXTS = [
    "a red dress with long sleeves",
    "Shorter",
    "is BLUE, and it's striped!",
    "Shorter",
    "",
    "word " * 200,
]


def photos() -> list[Image.Image]:
    """Smooth pictures, wide, tall and small, that differ from each other."""
    noise = np.random.default_rng(0)
    sizes = [(320, 200), (180, 400), (224, 224), (37, 51)]
    return [
        Image.fromarray(noise.integers(0, 256, (5, 4, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        for size in sizes
    ]


def stacked(encoder: HuggingFaceEncoder) -> np.ndarray:
    return np.stack([encoder.prepare(photo) for photo in photos()])


def copied(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def one_line(error: TriptychError, *parts: str) -> None:
    assert "\n" not in str(error)
    for part in parts:
        assert part in str(error)


# --- the real architecture, tokenizer and preprocessing of CLIP ViT-B/32, with random weights


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not CLIP.is_dir():
        pytest.skip(f"the files of CLIP ViT-B/32 are not at {CLIP}; set TRIPTYCH_DATA")
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    transformers.CLIPModel(transformers.CLIPConfig.from_pretrained(CLIP)).save_pretrained(folder)
    for path in CLIP.iterdir():
        shutil.copyfile(path, folder / path.name)
    return folder


@pytest.fixture(scope="session")
def exact(clip: Path) -> HuggingFaceEncoder:
    return HuggingFaceEncoder(f"hf:{clip}", precision="float32")


def test_clip_pictures_are_those_of_transformers(clip: Path, exact: HuggingFaceEncoder) -> None:
    processor = transformers.CLIPImageProcessorPil.from_pretrained(clip)
    reference = processor(photos(), return_tensors="pt")["pixel_values"]
    pixels = stacked(exact)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, reference.numpy())
    assert exact._table is not None  # so the processor itself was not asked
    model = transformers.CLIPModel.from_pretrained(clip, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = unit(model.get_image_features(reference).pooler_output.numpy())
    vectors = exact.encode_pictures(pixels)
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, exact.dim) == (4, 512)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_clip_texts_are_those_of_transformers(clip: Path, exact: HuggingFaceEncoder) -> None:
    model = transformers.CLIPModel.from_pretrained(clip, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(clip)
    tokens = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = unit(model.get_text_features(**tokens).pooler_output.numpy())
    vectors = exact.encode_texts(TEXTS)
    fits = [row for row, reading in enumerate(exact.readings(TEXTS)) if not reading.parts]
    np.testing.assert_allclose(vectors[fits], expected[fits], atol=1e-5)
    np.testing.assert_allclose(exact._encode(TEXTS), expected, atol=1e-5)  # a tower by itself cuts
    assert 1 < len(fits) < len(TEXTS)
    np.testing.assert_array_equal(vectors[1], vectors[3])
    assert exact.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))


@pytest.mark.skipif(not fast_bfloat16(best_device()), reason="bfloat16 is not fast here, so auto is float32")
def test_bfloat16_is_close_to_float32(clip: Path, exact: HuggingFaceEncoder) -> None:
    fast = HuggingFaceEncoder(f"hf:{clip}")
    pixels = stacked(exact)
    for vectors, reference in [
        (fast.encode_pictures(pixels), exact.encode_pictures(pixels)),
        (fast.encode_texts(TEXTS), exact.encode_texts(TEXTS)),
    ]:
        assert vectors.dtype == np.float32
        assert not np.array_equal(vectors, reference)
        assert np.sum(vectors * reference, axis=1).min() > 0.999
    assert fast.fingerprint != exact.fingerprint


# --- SigLIP 1 and 2, small


def build_tokenizer(folder: Path, lowercase: bool) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["<pad>", "<eos>", "<unk>", "a", "red", "dress", "with", "long", "sleeves", "shorter", "blue"]
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    kind = "SiglipTokenizer" if lowercase else "GemmaTokenizer"
    named = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>", "tokenizer_class": kind}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))


def build_siglip(folder: Path, *, version: int = 1, shards: str = "5GB") -> Path:
    """A tiny SigLIP; version 2 has the tokenizer that keeps the case, and bilinear pictures."""
    torch.manual_seed(version)
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = tower | {"vocab_size": 11, "max_position_embeddings": 16, "pad_token_id": 0}
    vision = tower | {"image_size": 32, "patch_size": 8}
    config = transformers.SiglipConfig(text_config=text, vision_config=vision)
    transformers.SiglipModel(config).save_pretrained(folder, max_shard_size=shards)
    size = {"height": 32, "width": 32}
    resample = Image.Resampling.BICUBIC if version == 1 else Image.Resampling.BILINEAR
    transformers.SiglipImageProcessorPil(size=size, resample=int(resample)).save_pretrained(folder)
    build_tokenizer(folder, lowercase=version == 1)
    return folder


@pytest.fixture(scope="session")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture
def changeable(siglip: Path, tmp_path: Path) -> Path:
    return copied(siglip, tmp_path / "model")


@pytest.mark.parametrize("version", [1, 2])
def test_siglip_is_that_of_transformers(tmp_path: Path, version: int) -> None:
    folder = build_siglip(tmp_path, version=version)
    encoder = HuggingFaceEncoder(f"hf:{folder}", precision="float32")
    model = transformers.SiglipModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = transformers.SiglipImageProcessorPil.from_pretrained(folder)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    pixels = processor(photos(), return_tensors="pt")["pixel_values"]
    lowered = [text.lower() for text in TEXTS]
    ids = tokenizer(lowered, padding="max_length", max_length=16, truncation=True, return_tensors="pt").input_ids
    with torch.inference_mode():
        pictures = unit(model.get_image_features(pixels).pooler_output.numpy())
        texts = unit(model.get_text_features(ids).pooler_output.numpy())
    np.testing.assert_array_equal(stacked(encoder), pixels.numpy())
    np.testing.assert_allclose(encoder.encode_pictures(pixels.numpy()), pictures, atol=1e-5)
    np.testing.assert_allclose(encoder._encode(TEXTS), texts, atol=1e-5)
    fits = [row for row, reading in enumerate(encoder.readings(TEXTS)) if not reading.parts]
    np.testing.assert_allclose(encoder.encode_texts(TEXTS)[fits], texts[fits], atol=1e-5)
    assert pictures.shape == (4, encoder.dim) == (4, 32)
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))
    np.testing.assert_allclose(np.linalg.norm(encoder.encode_texts(["red"]), axis=1), 1, atol=1e-5)


def test_matrices_that_were_rounded_once_follow_the_weights(siglip: Path) -> None:
    encoder = load_encoder(f"hf:{siglip}", threads=1)
    shown, rounded = torch.from_numpy(stacked(encoder)), RoundedPictureTower()

    def same() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            once, each = (
                model.get_image_features(pixel_values=shown).pooler_output.float()
                for model in (rounded.of(encoder.model), encoder.model)
            )
        torch.testing.assert_close(once, each, rtol=0.01, atol=0.01)

    same()
    assert rounded.of(encoder.model) is rounded.of(encoder.model)
    weights = encoder.model.vision_model.named_parameters()
    changed = next(weight for name, weight in weights if name.endswith("fc2.weight"))
    with torch.no_grad():
        changed.mul_(-9)
    same()
    assert changed.dtype == torch.float32


def test_batches_order_and_emptiness_do_not_matter(siglip: Path) -> None:
    encoder = HuggingFaceEncoder(f"hf:{siglip}", precision="float32")
    pixels = np.tile(stacked(encoder), (9, 1, 1, 1))
    vectors = encoder.encode_pictures(pixels)
    assert vectors.shape == (36, 32)
    np.testing.assert_allclose(vectors[32:], encoder.encode_pictures(pixels[:4]), atol=1e-5)
    texts = ["red " * (count % 13) + "a" * (count % 7) for count in range(150)]
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts[-5:]])
    np.testing.assert_allclose(encoder.encode_texts(texts)[-5:], alone, atol=1e-5)
    assert encoder.encode_pictures(pixels[:0]).shape == (0, 32)
    assert encoder.encode_texts([]).shape == (0, 32)


def test_preparing_in_threads_gives_the_same_pixels(siglip: Path) -> None:
    encoder = HuggingFaceEncoder(f"hf:{siglip}")
    pictures = photos() * 8
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(encoder.prepare, pictures))
    np.testing.assert_array_equal(np.stack(threaded), np.tile(stacked(encoder), (8, 1, 1, 1)))


def test_sharded_weights_are_read_and_fingerprinted(siglip: Path, tmp_path: Path) -> None:
    folder = build_siglip(tmp_path, shards="40KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    whole, sharded = HuggingFaceEncoder(f"hf:{siglip}"), HuggingFaceEncoder(f"hf:{folder}")
    np.testing.assert_array_equal(whole.encode_texts(TEXTS), sharded.encode_texts(TEXTS))
    perturb(shards[-1])
    assert HuggingFaceEncoder(f"hf:{folder}").fingerprint != sharded.fingerprint
    shards[-1].unlink()
    with pytest.raises(DataError) as raised:
        HuggingFaceEncoder(f"hf:{folder}")
    one_line(raised.value, shards[-1].name, "missing")


def test_a_folder_keeps_its_absolute_name(siglip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(siglip.parent)
    assert load_encoder(f"hf:{siglip.name}").name == f"hf:{siglip.resolve()}"


# --- fingerprints


def perturb(weights: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    first = min(tensors)
    tensors[first] = tensors[first] + 1e-3
    save_file(tensors, weights, metadata={"format": "pt"})


def drop_a_word(folder: Path) -> None:
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"sleeves"', '"cuffs"'))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: perturb(folder / "model.safetensors"),
        lambda folder: edit(folder / "preprocessor_config.json", image_mean=[0.4, 0.5, 0.5]),
        lambda folder: edit(folder / "tokenizer_config.json", pad_token="<eos>"),
        drop_a_word,
    ],
    ids=["weight", "preprocessor", "tokenizer configuration", "tokenizer"],
)
def test_fingerprint_follows_what_makes_a_vector(changeable: Path, change: Callable[[Path], None]) -> None:
    before = HuggingFaceEncoder(f"hf:{changeable}").fingerprint
    assert HuggingFaceEncoder(f"hf:{changeable}").fingerprint == before
    assert HuggingFaceEncoder(f"hf:{changeable}", precision="float32").fingerprint != before
    change(changeable)
    assert HuggingFaceEncoder(f"hf:{changeable}").fingerprint != before


def test_fingerprint_does_not_depend_on_the_place(siglip: Path, changeable: Path) -> None:
    here, there = HuggingFaceEncoder(f"hf:{siglip}"), HuggingFaceEncoder(f"hf:{changeable}")
    assert here.fingerprint == there.fingerprint


# --- what can go wrong


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
    ],
)
def test_a_missing_file_is_named(changeable: Path, name: str) -> None:
    (changeable / name).unlink()
    with pytest.raises(DataError) as raised:
        load_encoder(f"hf:{changeable}")
    one_line(raised.value, str(changeable), f"{name} is missing")


def test_pickled_weights_are_refused(changeable: Path) -> None:
    (changeable / "model.safetensors").unlink()
    torch.save({}, changeable / "pytorch_model.bin")
    with pytest.raises(DataError) as raised:
        load_encoder(f"hf:{changeable}")
    one_line(raised.value, "pickled", "safetensors")


def test_truncated_weights_are_reported(changeable: Path) -> None:
    weights = changeable / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(DataError) as raised:
        load_encoder(f"hf:{changeable}")
    one_line(raised.value, str(changeable), "cannot be loaded")


def test_a_weight_that_is_not_there_is_not_made_up(changeable: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(changeable / "model.safetensors")
    lost = max(tensors)
    del tensors[lost]
    save_file(tensors, changeable / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError) as raised:
        load_encoder(f"hf:{changeable}")
    one_line(raised.value, lost)


def test_pictures_of_another_size_are_reported(changeable: Path) -> None:
    edit(changeable / "preprocessor_config.json", size={"height": 48, "width": 48})
    with pytest.raises(DataError) as raised:
        load_encoder(f"hf:{changeable}")
    one_line(raised.value, "(48, 48)", "(32, 32)")


def test_a_tokenizer_that_cannot_pad_is_reported(changeable: Path) -> None:
    edit(changeable / "tokenizer_config.json", pad_token=None)
    with pytest.raises(DataError) as raised:
        load_encoder(f"hf:{changeable}")
    one_line(raised.value, "pad_token")


@pytest.mark.parametrize(("kind", "message"), [("bert", "use clip, siglip"), ("siglip2", "NaFlex")])
def test_other_models_are_refused(changeable: Path, kind: str, message: str) -> None:
    edit(changeable / "config.json", model_type=kind)
    with pytest.raises(UsageError) as raised:
        load_encoder(f"hf:{changeable}")
    one_line(raised.value, message)


def test_a_name_that_cannot_be_a_hub_id_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(FailureError) as raised:
        load_encoder(f"hf:{tmp_path / 'nowhere'}")
    one_line(raised.value, "nowhere", "not a hub id")


def test_without_transformers_the_remedy_is_told(siglip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError) as raised:
        load_encoder(f"hf:{siglip}")
    one_line(raised.value, "(the extra hf): pip install ", '"transformers>=')


def fresh(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run `code` in a new Python that is offline from the start, which huggingface_hub reads only then."""
    surroundings = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)


def test_an_unknown_hub_id_offline_is_one_line(tmp_path: Path) -> None:
    code = """
from triptych.encoders.registry import load_encoder
from triptych.core.errors import FailureError
try:
    load_encoder("hf:nobody/nothing@v1")
except FailureError as error:
    print(error)
"""
    run = fresh(code, tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert len(run.stdout.splitlines()) == 1
    assert "hf:nobody/nothing@v1" in run.stdout
    assert "offline" in run.stdout


def test_a_cached_hub_id_works_offline_and_loads_in_silence(siglip: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "cache" / "hub" / "models--some--siglip"
    copied(siglip, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    code = """
from transformers.utils import logging
from triptych.encoders.registry import load_encoder
before = logging.get_verbosity(), logging.is_progress_bar_enabled()
encoder = load_encoder("hf:some/siglip", threads=1)
assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
print(encoder.name, encoder.encode_texts(["red"]).shape, encoder.fingerprint)
"""
    run = fresh(code, tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert run.stdout.split() == [
        "hf:some/siglip",
        "(1,",
        "32)",
        HuggingFaceEncoder(f"hf:{siglip}").fingerprint,
    ]


def test_a_file_never_makes_a_model_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog of somebody else may name any model of the hub, which would be asked with the user's token."""
    asked = []

    def snapshot_download(hub_id: str, *, local_files_only: bool = False, **_: object) -> str:
        asked.append(local_files_only)
        raise OSError("not cached")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(UsageError) as raised:
        load_encoder("hf:some/thing", from_file=True)
    one_line(raised.value, "--encoder hf:some/thing")
    assert asked == [True]
    with pytest.raises(FailureError):
        load_encoder("hf:some/thing")
    assert asked == [True, True, False]
