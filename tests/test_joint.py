"""Encoders that read a picture and words at once, of tiny models in the published layouts; and what is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from made_benchmarks import evaluate, write_cirr
from tiny_clip import WORDS, build_clip, build_tokenizer
from triptych.core.errors import DataError, UsageError
from triptych.core.vectors import unit
from triptych.encoders.protocol import EncodesQueries
from triptych.encoders.registry import load_encoder

transformers = pytest.importorskip("transformers", reason="needs the extra hf")
torch = pytest.importorskip("torch")

TEXTS = ["red dress", "a photo of that , is blue"]
MARKS = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pictures(count: int = 2) -> list[Image.Image]:
    noise = np.random.default_rng(0)
    return [Image.fromarray(noise.integers(0, 256, (50, 60, 3), dtype=np.uint8)) for _ in range(count)]


def build_metaclip(folder: Path) -> Path:
    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": 1, "eos_token_id": len(WORDS) - 1, "pad_token_id": 0}
    config = transformers.MetaClip2Config(
        text_config=tower | ends | {"vocab_size": len(WORDS), "max_position_embeddings": 12},
        vision_config=tower | {"image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    transformers.MetaClip2Model(config).save_pretrained(folder)
    build_tokenizer(folder)
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    transformers.CLIPImageProcessorPil(**sizes).save_pretrained(folder)
    return folder


def build_bge(folder: Path, **vision: int) -> Path:
    """As BAAI/BGE-VL-base is laid out: a CLIP that names code of its authors beside the weights."""
    build_clip(folder, **vision)
    edit(folder / "config.json", auto_map={"AutoModel": "modeling_MMRet_CLIP.CLIPModel"}, architectures=["CLIPModel"])
    (folder / "modeling_MMRet_CLIP.py").write_text("raise SystemExit('remote code was run')\n")
    return folder


def build_bge_large(folder: Path) -> Path:
    """BAAI/BGE-VL-large, whose towers have different widths, as those of CLIP ViT-L/14."""
    return build_bge(folder, hidden_size=48, num_attention_heads=3, num_hidden_layers=3)


@pytest.mark.parametrize(
    ("build", "kind"),
    [(build_bge, "CLIPModel"), (build_bge_large, "CLIPModel"), (build_metaclip, "MetaClip2Model")],
)
def test_a_query_of_a_clip_is_the_sum_of_its_unscaled_features(build, kind, tmp_path):
    encoder: Any = load_encoder(f"hf:{build(tmp_path)}", threads=1)
    pixels = np.stack([encoder.prepare(picture) for picture in pictures()])
    model = getattr(transformers, kind).from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.inference_mode():
        shown = model.get_image_features(torch.from_numpy(pixels)).pooler_output.numpy()
        said = np.concatenate(
            [model.get_text_features(**encoder.tokens([text])).pooler_output.numpy() for text in TEXTS]
        )
    assert not np.allclose(np.linalg.norm(shown, axis=1), np.linalg.norm(said, axis=1))
    np.testing.assert_allclose(encoder.encode_queries(pixels, TEXTS), unit(shown + said), atol=1e-5)
    # Pictures and words alone are read in half precision where the processor does that.
    np.testing.assert_allclose(encoder.encode_pictures(pixels), unit(shown), atol=2e-2)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), unit(said), atol=2e-2)
    assert encoder.encode_queries(pixels[:0], []).shape == (0, 24)


def build_qwen(folder: Path, words: Sequence[str] = ()) -> Path:
    """A Qwen3-VL-Embedding as it is published: Qwen3VLForConditionalGeneration, its tokenizer and its processor."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    words = [
        *words,
        "<unk>",
        "<pad>",
        *WORDS[3:-1],
        "system",
        "user",
        "assistant",
        "Represent",
        "the",
        "input",
        ".",
        "'",
        "s",
        "\n",
    ]
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>", "unk_token": "<unk>"}))
    ids = {mark: tokenizer.token_to_id(mark) for mark in MARKS}
    shared = {"hidden_size": 32, "intermediate_size": 48}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    text = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    looks = {"depth": 2, "num_heads": 2, "out_hidden_size": 32, "deepstack_visual_indexes": [0]}
    config = transformers.Qwen3VLConfig(
        text_config=shared | text | {"vocab_size": tokenizer.get_vocab_size(), "rope_parameters": rope},
        vision_config=shared | looks | {"num_position_embeddings": 16},
        image_token_id=ids["<|image_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        video_token_id=ids["<|im_end|>"],
    )
    transformers.Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    settings = {
        "patch_size": 16,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    transformers.Qwen2VLImageProcessorPil(**settings).save_pretrained(folder)
    # The files of sentence-transformers lie beside them; they change nothing.
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "Transformer"}]))
    return folder


def test_a_processor_of_the_older_form_prepares_the_same_pixels(tmp_path):
    """As in patrickjohncyh/fashion-clip, a CLIP: sizes are numbers, and the class is a feature extractor."""
    build_clip(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    known = json.loads(file.read_text())
    expected = load_encoder(f"hf:{tmp_path}", threads=1).prepare(pictures()[0])
    kept = {name: known[name] for name in ("image_mean", "image_std", "do_resize", "do_normalize", "do_center_crop")}
    side = known["crop_size"]["height"]
    older = {"feature_extractor_type": "CLIPFeatureExtractor", "crop_size": side, "size": side, "resample": 3}
    file.write_text(json.dumps(kept | older))
    np.testing.assert_array_equal(load_encoder(f"hf:{tmp_path}", threads=1).prepare(pictures()[0]), expected)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from triptych.encoders.qwen_vl import QwenVLEncoder

    folder = build_qwen(tmp_path_factory.mktemp("qwen"))
    return QwenVLEncoder(f"hf:{folder}", 1, side=64)


def test_a_joint_query_is_one_turn_read_to_its_last_token(qwen):
    pixels = np.stack([qwen.prepare(picture) for picture in pictures()])
    assert pixels.shape == (2, 3, 64, 64)
    found = qwen.encode_queries(pixels, TEXTS)
    assert found.shape == (2, qwen.dim) == (2, 32)
    inputs = qwen._inputs(pixels[:1], TEXTS[:1], "Represent the user's input.")
    read = qwen.tokenizer.decode(inputs["input_ids"][0]).replace(" ", "")
    assert read.count("<|image_pad|>") == 4  # 64 pixels are two cells of 32 each way
    assert read.startswith("<|im_start|>systemRepresenttheuser'sinput.<|im_end|>")
    assert read.endswith("<|vision_end|>reddress<|im_end|><|im_start|>assistant")
    # The published class on the same input, one query at a time: nothing of the padding is seen.
    whole = transformers.Qwen3VLForConditionalGeneration.from_pretrained(qwen.folder, dtype=torch.float32).eval()
    for row in range(2):
        from triptych.encoders.qwen_vl import QUERY_INSTRUCTION

        one = qwen._inputs(pixels[row : row + 1], TEXTS[row : row + 1], QUERY_INSTRUCTION)
        with torch.inference_mode():
            hidden = whole.model(**one).last_hidden_state[0, -1].numpy()
        np.testing.assert_allclose(found[row], unit(hidden[None])[0], atol=1e-5)


def test_pictures_texts_and_queries_are_of_one_space_and_differ(qwen):
    pixels = np.stack([qwen.prepare(picture) for picture in pictures()])
    shown, said = qwen.encode_pictures(pixels), qwen.encode_texts(TEXTS)
    asked = qwen.encode_queries(pixels, TEXTS)
    for vectors in (shown, said, asked):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert not np.allclose(asked, shown, atol=1e-3)
    assert not np.allclose(asked[::-1], qwen.encode_queries(pixels, TEXTS[::-1]), atol=1e-3)
    # Marks of the chat in a person's words are words.
    assert qwen.tokenizer.convert_tokens_to_ids("<|im_end|>") not in qwen.ids("<|im_end|> red", plain=True)


def test_a_joint_encoder_is_a_row_of_the_same_table(tmp_path):
    encoder = f"hf:{build_bge(tmp_path / 'bge')}" if (tmp_path / "bge").mkdir() is None else ""
    root = write_cirr(tmp_path / "cirr")
    rows = evaluate("cirr", root=root, split="val", methods=["sum", "joint"], encoder=encoder, threads=1).rows
    assert [row.method for row in rows] == ["sum", "joint"]
    assert set(rows[0].metrics) == set(rows[1].metrics)
    assert rows[0].queries_sha256 == rows[1].queries_sha256


def test_a_siglip_has_no_query_of_its_own(tmp_path):
    assert not isinstance(load_encoder("wardrobe", threads=1), EncodesQueries)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"open_clip_config.json": {}}, "an open_clip checkpoint; convert it once with `triptych convert-encoder"),
        ({"modules.json": []}, "of sentence-transformers: use the folder of its first module"),
        ({"adapter_config.json": {}}, "merge them into their base model first"),
        ({"config.json": {"model_type": "jina_clip", "auto_map": {"AutoModel": "x"}}}, "needs its authors' code"),
        ({"config.json": {"model_type": "bert"}}, "model_type bert is not supported; use clip, siglip"),
    ],
)
def test_a_wrong_layout_names_its_remedy(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises((UsageError, DataError), match=message):
        load_encoder(f"hf:{tmp_path}", threads=1)


def test_a_qwen_without_its_marks_is_refused(qwen, tmp_path):
    import shutil

    from triptych.encoders.qwen_vl import QwenVLEncoder

    folder = Path(shutil.copytree(qwen.folder, tmp_path / "other"))
    edit(folder / "config.json", image_token_id=3)
    with pytest.raises(DataError, match=r"the tokenizer lacks <\|image_pad\|>"):
        QwenVLEncoder(f"hf:{folder}", 1, side=64)
    with pytest.raises(UsageError, match="70 pixels a side is not a multiple of the model's 32"):
        QwenVLEncoder(f"hf:{qwen.folder}", 1, side=70)
