"""open_clip checkpoints in their published layout become models that give the vectors of open_clip's architecture.

The towers are computed here a second time from the checkpoint's own weights, as timm and open_clip define them.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import triptych
from triptych.core.errors import DataError, UsageError
from triptych.core.vectors import unit
from triptych.encoders.huggingface import HuggingFaceEncoder
from triptych.encoders.registry import load_encoder

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="needs the extra hf")
from torch.nn import functional as F  # noqa: E402

WIDTH, HEADS, LAYERS, SIDE, PATCH, DIM, LENGTH = 128, 2, 2, 32, 16, 128, 10
WORDS = ["<pad>", "</s>", "<unk>", "a", "red", "dress", "with", "long", "sleeves", "isnt", "blue", "<s>", "<e>"]
TEXTS = ["A red dress", "isn't BLUE, with_long sleeves!"]
CLEANED = ["a red dress", "isnt blue with long sleeves"]
State = dict[str, "torch.Tensor"]


def block(state: State, stem: str, names: dict[str, str]) -> None:
    shapes = {"norm1": (WIDTH,), "norm2": (WIDTH,), "out": (WIDTH, WIDTH), "in": (3 * WIDTH, WIDTH)}
    shapes |= {"fc1": (2 * WIDTH, WIDTH), "fc2": (WIDTH, 2 * WIDTH)}
    for part, shape in shapes.items():
        for kind, size in (("weight", shape), ("bias", shape[:1])):
            joint = "" if names[part].endswith("in_proj_") else "."
            state[f"{stem}.{names[part]}{joint}{kind}"] = torch.randn(size) * 0.1 + (len(size) == 1)


TIMM = {"norm1": "norm1", "norm2": "norm2", "out": "attn.proj", "in": "attn.qkv", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
OWN = {"norm1": "ln_1", "norm2": "ln_2", "out": "attn.out_proj", "in": "attn.in_proj_"}
OWN |= {"fc1": "mlp.c_fc", "fc2": "mlp.c_proj"}


def made(state: State, **shapes: tuple[int, ...]) -> State:
    return state | {name.replace("__", "."): torch.randn(shape) * 0.1 for name, shape in shapes.items()}


def siglip_state() -> State:
    """The names and shapes of open_clip's CustomTextCLIP with timm's vit_*_siglip_*."""
    torch.manual_seed(0)
    trunk, pool, square = "visual__trunk__", "visual__trunk__attn_pool__", (WIDTH, WIDTH)
    shapes: dict[str, tuple[int, ...]] = {"logit_scale": (), "logit_bias": ()}
    shapes |= {
        f"{trunk}patch_embed__proj__weight": (WIDTH, 3, PATCH, PATCH),
        f"{trunk}patch_embed__proj__bias": (WIDTH,),
    }
    shapes |= {f"{trunk}pos_embed": (1, (SIDE // PATCH) ** 2, WIDTH), f"{pool}latent": (1, 1, WIDTH)}
    sizes = {f"{trunk}norm": (WIDTH,), f"{pool}q": square, f"{pool}kv": (2 * WIDTH, WIDTH), f"{pool}proj": square}
    sizes |= {f"{pool}norm": (WIDTH,), f"{pool}mlp__fc1": (2 * WIDTH, WIDTH), f"{pool}mlp__fc2": (WIDTH, 2 * WIDTH)}
    sizes |= {"text__ln_final": (WIDTH,), "text__text_projection": (DIM, WIDTH)}
    for name, size in sizes.items():
        shapes |= {f"{name}__weight": size, f"{name}__bias": size[:1]}
    shapes |= {"text__positional_embedding": (LENGTH, WIDTH), "text__token_embedding__weight": (len(WORDS), WIDTH)}
    state = made({}, **shapes)
    for number in range(LAYERS):
        block(state, f"visual.trunk.blocks.{number}", TIMM)
        block(state, f"text.transformer.resblocks.{number}", OWN)
    return state


def clip_state() -> State:
    """The names and shapes of open_clip's CLIP."""
    torch.manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "logit_scale": (),
        "text_projection": (WIDTH, DIM),
        "visual__proj": (WIDTH, DIM),
    }
    shapes |= {"positional_embedding": (LENGTH, WIDTH), "token_embedding__weight": (len(WORDS), WIDTH)}
    shapes |= {"visual__class_embedding": (WIDTH,), "visual__positional_embedding": (5, WIDTH)}
    shapes |= {"visual__conv1__weight": (WIDTH, 3, PATCH, PATCH)}
    for name in ("ln_final", "visual__ln_pre", "visual__ln_post"):
        shapes |= {f"{name}__weight": (WIDTH,), f"{name}__bias": (WIDTH,)}
    state = made({}, **shapes)
    for number in range(LAYERS):
        block(state, f"visual.transformer.resblocks.{number}", OWN)
        block(state, f"transformer.resblocks.{number}", OWN)
    return state


def run_blocks(state: State, stem: str, names: dict[str, str], x: Any, eps: float, causal: bool = False) -> Any:
    def of(part: str, kind: str, number: int) -> Any:
        return state[f"{stem}.{number}.{names[part]}{'' if names[part].endswith('in_proj_') else '.'}{kind}"]

    for number in range(LAYERS):
        both = {part: (of(part, "weight", number), of(part, "bias", number)) for part in names}
        read = F.linear(F.layer_norm(x, (WIDTH,), *both["norm1"], eps), *both["in"])
        q, k, v = (each.unflatten(-1, (HEADS, -1)).transpose(1, 2) for each in read.chunk(3, dim=-1))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2)
        x = x + F.linear(seen, *both["out"])
        x = x + F.linear(F.gelu(F.linear(F.layer_norm(x, (WIDTH,), *both["norm2"], eps), *both["fc1"])), *both["fc2"])
    return x


def expected_siglip(state: State, pixels: Any, ids: Any) -> tuple[Any, Any]:
    def pair(name: str) -> tuple[Any, Any]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    pool = "visual.trunk.attn_pool"
    x = F.conv2d(pixels, *pair("visual.trunk.patch_embed.proj"), stride=PATCH).flatten(2).transpose(1, 2)
    x = run_blocks(state, "visual.trunk.blocks", TIMM, x + state["visual.trunk.pos_embed"], 1e-6)
    x = F.layer_norm(x, (WIDTH,), *pair("visual.trunk.norm"), 1e-6)
    latent = state[f"{pool}.latent"].expand(len(x), -1, -1)
    keys, values = F.linear(x, *pair(f"{pool}.kv")).chunk(2, dim=-1)
    q, k, v = (
        e.unflatten(-1, (HEADS, -1)).transpose(1, 2) for e in (F.linear(latent, *pair(f"{pool}.q")), keys, values)
    )
    x = F.linear(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2), *pair(f"{pool}.proj"))
    inner = F.gelu(F.linear(F.layer_norm(x, (WIDTH,), *pair(f"{pool}.norm"), 1e-6), *pair(f"{pool}.mlp.fc1")))
    pictures = (x + F.linear(inner, *pair(f"{pool}.mlp.fc2")))[:, 0]
    y = state["text.token_embedding.weight"][ids] + state["text.positional_embedding"]
    y = F.layer_norm(
        run_blocks(state, "text.transformer.resblocks", OWN, y, 1e-6), (WIDTH,), *pair("text.ln_final"), 1e-6
    )
    return pictures, F.linear(y[:, -1], *pair("text.text_projection"))


def expected_clip(state: State, pixels: Any, ids: Any) -> tuple[Any, Any]:
    def normed(x: Any, name: str) -> Any:
        return F.layer_norm(x, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)

    x = F.conv2d(pixels, state["visual.conv1.weight"], stride=PATCH).flatten(2).transpose(1, 2)
    x = torch.cat([state["visual.class_embedding"].expand(len(x), 1, -1), x], 1) + state["visual.positional_embedding"]
    x = run_blocks(state, "visual.transformer.resblocks", OWN, normed(x, "visual.ln_pre"), 1e-5)
    pictures = normed(x[:, 0], "visual.ln_post") @ state["visual.proj"]
    y = state["token_embedding.weight"][ids] + state["positional_embedding"][: ids.shape[1]]
    y = normed(run_blocks(state, "transformer.resblocks", OWN, y, 1e-5, causal=True), "ln_final")
    return pictures, y[torch.arange(len(y)), ids.argmax(dim=-1)] @ state["text_projection"]


def write_tokenizer(folder: Path, *, framed: bool) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("<s>", WORDS.index("<s>")), ("<e>", WORDS.index("<e>"))] if framed else [("</s>", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A <e>" if framed else "$A </s>", special_tokens=ends
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<e>" if framed else "</s>"}))


def write(folder: Path, family: str) -> State:
    """As Marqo/marqo-fashionSigLIP (and -ecommerce) or Marqo/marqo-fashionCLIP is laid out."""
    from safetensors.torch import save

    folder.mkdir(parents=True)
    state = siglip_state() if family == "siglip" else clip_state()
    text = {"context_length": LENGTH, "vocab_size": len(WORDS), "width": WIDTH, "heads": HEADS, "layers": LAYERS}
    vision: dict[str, Any] = {"image_size": SIDE}
    if family == "siglip":
        vision |= {"timm_model_name": "vit_base_patch16_siglip_224", "timm_model_pretrained": False}
        vision |= {"timm_pool": "map", "timm_proj": "none"}
        text |= {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}
        text |= {"hf_tokenizer_name": "Marqo/marqo-fashionSigLIP", "tokenizer_kwargs": {"clean": "canonicalize"}}
        model = {"embed_dim": DIM, "init_logit_bias": -10, "custom_text": True}
        prepared = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
        code = {"model_type": "siglip", "auto_map": {"AutoModel": "marqo_fashionSigLIP.MarqoFashionSigLIP"}}
        (folder / "config.json").write_text(json.dumps(code))
        (folder / "marqo_fashionSigLIP.py").write_text("raise SystemExit('remote code was run')\n")
    else:
        vision |= {"layers": LAYERS, "width": WIDTH, "patch_size": PATCH}
        model, prepared = {"embed_dim": DIM}, {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    content = {"model_cfg": model | {"vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": prepared}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    (folder / "open_clip_model.safetensors").write_bytes(save(state))
    write_tokenizer(folder, framed=family == "clip")
    return state


@pytest.fixture(scope="module", params=["siglip", "clip"])
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    state = write(folder / "published", request.param)
    result = triptych.convert_encoder(folder / "published", folder / "made")
    return request.param, state, result, folder


def test_the_vectors_are_those_of_open_clips_architecture(converted: Any) -> None:
    family, state, result, _ = converted
    assert (result.family, result.dim) == (family, DIM)
    encoder = HuggingFaceEncoder(result.encoder, precision="float32")
    noise = np.random.default_rng(0)
    shown = [Image.fromarray(noise.integers(0, 256, (50, 60, 3), dtype=np.uint8)) for _ in range(2)]
    pixels = np.stack([encoder.prepare(picture) for picture in shown])
    assert pixels.shape == (2, 3, SIDE, SIDE)
    if family == "siglip":  # squashed, not cut
        whole = np.asarray(shown[0].resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32) / 127.5 - 1
        np.testing.assert_allclose(pixels[0], whole.transpose(2, 0, 1), atol=1e-5)
        rows = [[WORDS.index(word) for word in text.split()] for text in CLEANED]
        ids = torch.tensor([row + [1] * (LENGTH - len(row)) for row in rows])
    else:
        ids = torch.tensor(
            [[WORDS.index(word) for word in ("<s>", *text.split(), "<e>")] for text in ("red a", "long with")]
        )
    texts = TEXTS if family == "siglip" else ["red a", "long with"]
    expected = (expected_siglip if family == "siglip" else expected_clip)(state, torch.from_numpy(pixels), ids)
    np.testing.assert_allclose(encoder.encode_pictures(pixels), unit(expected[0].numpy()), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(texts), unit(expected[1].numpy()), atol=1e-5)
    assert encoder.logit_scale == pytest.approx(float(state["logit_scale"].exp()))


def test_a_converted_folder_is_a_model_like_any_other(converted: Any) -> None:
    _, _, result, folder = converted
    files = {path.name for path in (folder / "made").iterdir()}
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"} <= files
    assert not any(name.startswith(".converting") or name.endswith(".py") for name in files)
    before = HuggingFaceEncoder(result.encoder).fingerprint
    again = triptych.convert_encoder(folder / "published", folder / "again")
    assert (HuggingFaceEncoder(again.encoder).fingerprint, again.bytes) == (before, result.bytes)
    with pytest.raises(UsageError, match=r"triptych convert-encoder \S+ --out DIR"):
        load_encoder(f"hf:{folder / 'published'}")
    assert not {"open_clip", "timm", "torchvision"} & sys.modules.keys()


def edited(folder: Path, to: Path, place: str, **changes: Any) -> Path:
    shutil.copytree(folder, to)
    content = json.loads((to / "open_clip_config.json").read_text())
    part = content["preprocess_cfg"] if place == "preprocess_cfg" else content["model_cfg"]
    (part if place in ("preprocess_cfg", "model_cfg") else part[place]).update(changes)
    (to / "open_clip_config.json").write_text(json.dumps(content))
    return to


@pytest.mark.parametrize(
    ("place", "changes", "message"),
    [
        (
            "vision_cfg",
            {"timm_model_name": "convnext_base"},
            "the picture tower convnext_base of timm is not supported",
        ),
        ("vision_cfg", {"timm_pool": "avg"}, "vision_cfg says timm_pool: avg"),
        ("text_cfg", {"hf_model_name": "roberta-base"}, "text_cfg says hf_model_name: roberta-base"),
        ("text_cfg", {"pool_type": "argmax"}, "text_cfg says pool_type: argmax"),
        ("model_cfg", {"multimodal_cfg": {"width": 8}}, "model_cfg says multimodal_cfg"),
        ("preprocess_cfg", {"resize_mode": "longest"}, "resized by longest"),
        ("text_cfg", {"tokenizer_kwargs": {"clean": "translate"}}, "cleaned by translate"),
    ],
)
def test_what_is_not_known_is_refused(converted: Any, tmp_path: Path, place: str, changes: Any, message: str) -> None:
    family, _, _, folder = converted
    if family == "clip" and (place, *changes) in (("text_cfg", "pool_type"),):
        pytest.skip("CLIP's own")
    source = edited(folder / "published", tmp_path / "source", place, **changes)
    with pytest.raises(UsageError, match=message):
        triptych.convert_encoder(source, tmp_path / "out")
    assert not (tmp_path / "out" / "config.json").exists()


def test_files_that_are_missing_or_do_not_fit_are_named(converted: Any, tmp_path: Path) -> None:
    _, _, _, folder = converted
    source = edited(folder / "published", tmp_path / "source", "text_cfg", layers=LAYERS + 1)
    with pytest.raises(DataError, match=r"do not fit together, at text_model\.encoder\.layers\.2"):
        triptych.convert_encoder(source, tmp_path / "out")
    (source / "open_clip_model.safetensors").rename(source / "open_clip_pytorch_model.bin")
    with pytest.raises(DataError, match="is pickled and not read; save the model as safetensors"):
        triptych.convert_encoder(source, tmp_path / "out")
    with pytest.raises(UsageError, match="in the Hugging Face layout it needs no conversion"):
        triptych.convert_encoder(folder / "made", tmp_path / "out")
    with pytest.raises(UsageError, match="cannot be converted into itself"):
        triptych.convert_encoder(source, source)


def test_a_model_that_lies_there_in_both_layouts_is_read_in_the_second(converted: Any, tmp_path: Path) -> None:
    """As laion/CLIP-ViT-H-14-laion2B-s32B-b79K is published."""
    _, _, result, folder = converted
    both = Path(shutil.copytree(folder / "made", tmp_path / "both"))
    shutil.copyfile(folder / "published" / "open_clip_config.json", both / "open_clip_config.json")
    assert load_encoder(f"hf:{both}", threads=1).dim == result.dim


def test_of_a_hub_id_no_weights_are_fetched_that_cannot_be_read(
    converted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, result, folder = converted
    asked: list[list[str]] = []

    def snapshot_download(hub_id: str, *, allow_patterns: list[str], local_files_only: bool = False, **_: Any) -> str:
        if local_files_only:
            raise OSError("not cached")
        asked.append(allow_patterns)
        return str(folder / "published")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises(UsageError, match="convert it once with `triptych convert-encoder hf:some/clothes --out DIR`"):
        load_encoder("hf:some/clothes")
    assert not any(name.endswith(".safetensors") for name in asked[0])
    assert len(asked) == 1
    done = triptych.convert_encoder("hf:some/clothes@main", tmp_path / "out")
    assert (done.family, done.dim) == (result.family, result.dim)
    assert [name for name in asked[-1] if name.endswith(".safetensors")] == ["open_clip_model.safetensors"]
