"""`convert_encoder`: convert an open_clip checkpoint to the Hugging Face layout, which every command reads.

A checkpoint has the files that open_clip writes for a model hub: open_clip_config.json, open_clip_model.safetensors and
a tokenizer. Two families are supported: SigLIP with timm's picture tower (Marqo-FashionSigLIP, Marqo-ecommerce), and
CLIP with open_clip's own towers (Marqo-FashionCLIP, LAION's, DataComp's). An unknown setting is refused, since the
vectors would differ. Neither open_clip nor timm nor torchvision is needed, and no code of a repository is run.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from triptych.core.environment import require_extra
from triptych.core.errors import DataError, UsageError
from triptych.core.files import locked, read_json
from triptych.encoders.huggingface_files import (
    OPEN_CLIP,
    OPEN_CLIP_WEIGHTS,
    TOKENIZER,
    blaming,
    fetch_model,
    quiet,
)
from triptych.encoders.tokenizer import read_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

_PUNCTUATION = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^`{|}~]"
_RESAMPLING = {"bicubic": 3, "bilinear": 2}
_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HEADS = {"so400m": 16, "giantopt": 16}  # heads of timm's towers; others have one head for 64 channels
_EXACT_GELU = re.compile(r"vit_(base_patch16|large_patch16_siglip_(256|384)|so400m_patch14)\w*")
"""timm's names of the SigLIP towers whose GELU is exact; in the others it is approximated by tanh."""

_ANY = object()
_TOKENS = dict.fromkeys(("hf_tokenizer_name", "tokenizer_kwargs"), _ANY)
_SIZES = dict.fromkeys(("context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "norm_kwargs"), _ANY)
_MODEL = dict.fromkeys(("embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text"), _ANY)
_KNOWN: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "siglip": (
        _MODEL | {"init_logit_bias": _ANY, "init_logit_scale": _ANY},
        {"image_size": _ANY, "timm_model_name": _ANY, "timm_model_pretrained": _ANY}
        | {"timm_pool": "map", "timm_proj": "none"},
        _SIZES | _TOKENS | {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "act_kwargs": _ANY},
    ),
    "clip": (
        _MODEL | {"init_logit_scale": _ANY},
        {"pool_type": "tok"}
        | dict.fromkeys(("image_size", "layers", "width", "patch_size", "head_width"), _ANY)
        | {"mlp_ratio": _ANY},
        _SIZES | _TOKENS | {"pool_type": "argmax"},
    ),
}
"""For each family the allowed settings of model, picture tower and text tower, each with any value or with one."""

_BLOCK = re.compile(
    r"(visual\.trunk\.blocks|visual\.transformer\.resblocks|transformer\.resblocks)\.(\d+)\.(.+)\.(weight|bias)"
)
_PARTS = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.proj": "self_attn.out_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
"""The names of a block's parts in timm and open_clip, and in transformers."""
_NAMES = {
    "logit_scale": "logit_scale",
    "logit_bias": "logit_bias",
    "token_embedding.": "text_model.embeddings.token_embedding.",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.": "text_model.final_layer_norm.",
    "text_projection.": "text_model.head.",  # SigLIP's, with a bias
    "text_projection": "text_projection.weight",  # CLIP's, transposed
    "visual.trunk.patch_embed.proj.": "vision_model.embeddings.patch_embedding.",
    "visual.trunk.pos_embed": "vision_model.embeddings.position_embedding.weight",
    "visual.trunk.norm.": "vision_model.post_layernorm.",
    "visual.trunk.attn_pool.latent": "vision_model.head.probe",
    "visual.trunk.attn_pool.proj.": "vision_model.head.attention.out_proj.",
    "visual.trunk.attn_pool.norm.": "vision_model.head.layernorm.",
    "visual.trunk.attn_pool.mlp.": "vision_model.head.mlp.",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.": "vision_model.embeddings.patch_embedding.",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.": "vision_model.pre_layrnorm.",
    "visual.ln_post.": "vision_model.post_layernorm.",
    "visual.proj": "visual_projection.weight",
}
"""Names of weights in open_clip, without `text.`, and in transformers. A name with a dot at the end is a prefix."""


@dataclass(frozen=True)
class ConvertEncoderResult:
    """The result of `convert_encoder`."""

    encoder: str
    """The name for `--encoder` of every command."""
    family: str
    """`siglip` or `clip`."""
    dim: int
    """The dimension of its vectors."""
    bytes: int
    """The size of all files."""


def convert_encoder(source: Path | str, out: Path | str) -> ConvertEncoderResult:
    """Convert an open_clip checkpoint to a model in the Hugging Face layout.

    Args:
        source: its folder, or `hf:HUB_ID`, with or without `@REVISION`.
        out: the folder to write. Use it with `--encoder hf:OUT`.

    Raises:
        UsageError: the model is not supported, or the extra `hf` is missing.
        FailureError: a hub id cannot be fetched.
        DataError: a file is missing, damaged, or does not fit the configuration.
    """
    require_extra("hf", "convert-encoder")
    name, out = str(source), Path(out)
    folder = Path(name.removeprefix("hf:"))
    if not folder.is_dir():
        folder = fetch_model(name.removeprefix("hf:"), download=True, open_clip=True)
    if out.resolve() == folder.resolve():
        raise UsageError(f"{out}: cannot be converted into itself; give another folder")
    _require_files(folder, name)
    content = read_json(folder / OPEN_CLIP, "open_clip configuration")
    model_config, prepared = _sections(content, name)
    family = _family(model_config, name)
    with locked(out), TemporaryDirectory(dir=out, prefix=".converting-") as place, quiet(), blaming(name):
        made = Path(place)
        (out / "config.json").unlink(missing_ok=True)  # written last: it marks a complete folder
        _write_model(folder, made, family, model_config, name)
        _write_processor(made, family, model_config["vision_cfg"], prepared, name)
        _write_tokenizer(folder, made, model_config["text_cfg"], name)
        for path in sorted(made.iterdir(), key=lambda path: path.name == "config.json"):
            path.replace(out / path.name)
    from triptych.encoders.huggingface import HuggingFaceEncoder

    loaded = HuggingFaceEncoder(f"hf:{out}", download=False)
    size = sum(path.stat().st_size for path in out.iterdir() if path.is_file())
    return ConvertEncoderResult(f"hf:{out}", family, loaded.dim, size)


def _require_files(folder: Path, name: str) -> None:
    if not (folder / OPEN_CLIP).is_file():
        hint = "; in the Hugging Face layout it needs no conversion" if (folder / "config.json").is_file() else ""
        raise UsageError(f"{name}: has no {OPEN_CLIP}, so it is not an open_clip checkpoint{hint}")
    if not (folder / OPEN_CLIP_WEIGHTS).is_file():
        pickled = folder / "open_clip_pytorch_model.bin"
        why = f"{pickled.name} is pickled and not read; " if pickled.is_file() else ""
        raise DataError(f"{name}: {OPEN_CLIP_WEIGHTS} is missing; {why}save the model as safetensors")
    for needed in TOKENIZER:
        if not (folder / needed).is_file():
            raise DataError(f"{name}: {needed} is missing; save the model's fast tokenizer there")


def _sections(content: Any, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's configuration and that of its preprocessing."""
    model = content.get("model_cfg") if isinstance(content, dict) else None
    prepared = content.get("preprocess_cfg", {}) if isinstance(content, dict) else None
    parts = [model, prepared, *((model.get("vision_cfg"), model.get("text_cfg")) if isinstance(model, dict) else ())]
    if not all(isinstance(part, dict) for part in parts):
        raise DataError(f"{name}: {OPEN_CLIP} has no model_cfg with vision_cfg and text_cfg; copy the model again")
    return parts[0], parts[1]


def _family(config: Mapping[str, Any], name: str) -> str:
    """The family, after a check of all settings.

    Raises:
        UsageError: a setting is unknown, or its value is not supported.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    tower = vision.get("timm_model_name")
    family = "siglip" if tower else "clip"
    if tower and "_siglip_" not in str(tower):
        raise UsageError(f"{name}: the picture tower {tower} of timm is not supported, only SigLIP's and CLIP's")
    places = ("model_cfg", "vision_cfg", "text_cfg")
    for place, settings, known in zip(places, (config, vision, text), _KNOWN[family], strict=True):
        for key, value in settings.items():
            if value and known.get(key, value is None) not in (_ANY, value):
                raise UsageError(f"{name}: {place} says {key}: {value}, which is not supported for a {family}")
    if family == "siglip" and not (text.get("no_causal_mask") and text.get("pool_type") == "last"):
        raise UsageError(f"{name}: the text tower is not SigLIP's, which is not supported")
    return family


def _write_model(folder: Path, made: Path, family: str, config: Mapping[str, Any], name: str) -> None:
    """Write configuration and weights."""
    import torch
    import transformers
    from safetensors.torch import load_file

    state = dict(_converted(load_file(folder / OPEN_CLIP_WEIGHTS), name))
    try:
        settings = (_siglip_settings if family == "siglip" else _clip_settings)(config, state)
    except KeyError as error:
        raise DataError(f"{name}: {OPEN_CLIP} or the weights lack {error.args[0]}; copy the model again") from None
    kinds = {"siglip": ("SiglipModel", "SiglipConfig"), "clip": ("CLIPModel", "CLIPConfig")}
    model_class, config_class = (getattr(transformers, kind) for kind in kinds[family])
    with torch.device("meta"):
        model = model_class(config_class(**settings, converted_from=f"{name} (open_clip)"))
    report = model.load_state_dict(state, strict=False, assign=True)
    if wrong := [*report.missing_keys, *report.unexpected_keys]:
        raise DataError(f"{name}: the weights and {OPEN_CLIP} do not fit together, at {wrong[0]}; copy the model again")
    model.save_pretrained(made)


def _converted(state: "Mapping[str, Tensor]", name: str) -> "Iterator[tuple[str, Tensor]]":
    """Convert weights to the names and shapes of transformers."""
    import torch

    pooled: dict[str, dict[str, Tensor]] = {}
    for given, tensor in state.items():
        # Names of open_clip's attention have no dot before the last word.
        plain = given.removeprefix("text.").replace("in_proj_", "in_proj.")
        if plain.endswith("attn_mask"):
            continue
        if block := _BLOCK.fullmatch(plain):
            tower, number, part, kind = block.groups()
            yield from _block(f"{_stem(tower)}.{number}", part, kind, tensor, name)
        elif plain.startswith("visual.trunk.attn_pool.") and plain.split(".")[3] in ("q", "kv"):
            pooled.setdefault(plain.rsplit(".", 1)[1], {})[plain.split(".")[3]] = tensor
        else:
            yield _single(plain, tensor, name)
    for kind, parts in pooled.items():
        yield f"vision_model.head.attention.in_proj_{kind}", torch.cat([parts["q"], parts["kv"]])


def _block(stem: str, part: str, kind: str, tensor: "Tensor", name: str) -> "Iterator[tuple[str, Tensor]]":
    """Convert one part of a block. open_clip and timm store queries, keys and values in one weight."""
    if part in ("attn.qkv", "attn.in_proj"):
        for which, share in zip("qkv", tensor.chunk(3), strict=True):
            yield f"{stem}.self_attn.{which}_proj.{kind}", share.contiguous()
    elif part in _PARTS:
        yield f"{stem}.{_PARTS[part]}.{kind}", tensor
    else:
        raise UsageError(f"{name}: has weights {part}.{kind} in a block, which is not supported")


def _stem(tower: str) -> str:
    return f"{'vision' if tower.startswith('visual') else 'text'}_model.encoder.layers"


def _single(plain: str, tensor: "Tensor", name: str) -> "tuple[str, Tensor]":
    """Convert a weight outside of blocks."""
    fits = (each for each in _NAMES if plain == each or (each.endswith(".") and plain.startswith(each)))
    known = next(fits, None)
    if known is None:
        raise UsageError(f"{name}: has a weight {plain}, which is not supported")
    new = _NAMES[known]
    if plain == "visual.trunk.pos_embed":
        tensor = tensor[0]
    elif plain in ("visual.proj", "text_projection"):
        tensor = tensor.T.contiguous()
    return (new + plain[len(known) :] if known.endswith(".") else new), tensor


def _text_settings(config: Mapping[str, Any], state: "Mapping[str, Tensor]") -> dict[str, Any]:
    text = config["text_cfg"]
    vocabulary = text["vocab_size"]
    return {
        "vocab_size": vocabulary,
        "hidden_size": text["width"],
        "intermediate_size": state["text_model.encoder.layers.0.mlp.fc1.bias"].shape[0],
        "num_hidden_layers": text["layers"],
        "num_attention_heads": text["heads"],
        "max_position_embeddings": text["context_length"],
        # The last two tokens of the vocabulary; a text's vector is that of the end token.
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
    }


def _siglip_settings(config: Mapping[str, Any], state: "dict[str, Tensor]") -> dict[str, Any]:
    """The configuration of a SiglipModel. The number of heads and the GELU follow from timm's name."""
    tower = config["vision_cfg"]["timm_model_name"]
    approximate = config["text_cfg"].get("act_kwargs", {}).get("approximate") == "tanh"
    width = state["vision_model.embeddings.position_embedding.weight"].shape[1]
    heads = next((count for size, count in _HEADS.items() if size in tower), width // 64)
    layers = {name.split(".")[3] for name in state if name.startswith("vision_model.encoder.layers.")}
    for name in ("logit_scale", "logit_bias"):
        state[name] = state[name].reshape(1)
    same = {"layer_norm_eps": 1e-6}
    return {
        "text_config": _text_settings(config, state)
        | same
        | {
            "projection_size": config["embed_dim"],
            "hidden_act": "gelu_pytorch_tanh" if approximate else "gelu",
            "pad_token_id": 1,
        },
        "vision_config": same
        | {
            "hidden_size": width,
            "intermediate_size": state["vision_model.encoder.layers.0.mlp.fc1.bias"].shape[0],
            "num_hidden_layers": len(layers),
            "num_attention_heads": heads,
            "image_size": config["vision_cfg"]["image_size"],
            "patch_size": state["vision_model.embeddings.patch_embedding.weight"].shape[-1],
            "hidden_act": "gelu" if _EXACT_GELU.fullmatch(tower) else "gelu_pytorch_tanh",
        },
    }


def _clip_settings(config: Mapping[str, Any], state: "dict[str, Tensor]") -> dict[str, Any]:
    """The configuration of a CLIPModel."""
    vision = config["vision_cfg"]
    same = {"hidden_act": "quick_gelu" if config.get("quick_gelu") else "gelu", "projection_dim": config["embed_dim"]}
    state["logit_scale"] = state["logit_scale"].reshape(())
    return {
        "text_config": _text_settings(config, state) | same,
        "vision_config": same
        | {
            "hidden_size": vision["width"],
            "intermediate_size": state["vision_model.encoder.layers.0.mlp.fc1.bias"].shape[0],
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // vision.get("head_width", 64),
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
        },
        "projection_dim": config["embed_dim"],
    }


def _write_processor(
    made: Path, family: str, vision: Mapping[str, Any], prepared: Mapping[str, Any], name: str
) -> None:
    """Write the configuration of the picture preprocessing.

    Raises:
        UsageError: the preprocessing is not supported.
    """
    import transformers

    side, mode = vision.get("image_size", 224), prepared.get("resize_mode", "shortest")
    method = prepared.get("interpolation", "bicubic")
    if mode not in ("shortest", "squash") or method not in _RESAMPLING:
        raise UsageError(f"{name}: pictures are resized by {mode} and {method}, which is not supported")
    high, wide = side if isinstance(side, list) else (side, side)
    square = {"height": high, "width": wide}
    if mode == "shortest" and high != wide:
        raise UsageError(f"{name}: pictures of {high} x {wide} are cut out, which is not supported")
    sizes: dict[str, Any] = {"size": square, "do_center_crop": False}
    if mode == "shortest":
        sizes = {"size": {"shortest_edge": high}, "do_center_crop": True, "crop_size": square}
    kind = transformers.SiglipImageProcessorPil if family == "siglip" else transformers.CLIPImageProcessorPil
    kind(
        **sizes,
        resample=_RESAMPLING[method],
        image_mean=list(prepared.get("mean", _CLIP_MEAN)),
        image_std=list(prepared.get("std", _CLIP_STD)),
    ).save_pretrained(made)


def _write_tokenizer(folder: Path, made: Path, text: Mapping[str, Any], name: str) -> None:
    """Write the tokenizer, with open_clip's cleaning of texts before its own normalizer.

    Raises:
        UsageError: the cleaning is not supported.
    """
    from tokenizers import Regex, normalizers

    for path in (folder / "tokenizer_config.json", folder / "special_tokens_map.json"):
        if path.is_file():
            shutil.copyfile(path, made / path.name)
    clean = text.get("tokenizer_kwargs", {}).get("clean", "whitespace")
    if clean not in ("canonicalize", "lower", "whitespace"):
        raise UsageError(f"{name}: texts are cleaned by {clean}, which is not supported")
    tokenizer = read_tokenizer(folder)
    steps: list[Any] = []
    if clean == "canonicalize":
        steps = [normalizers.Replace("_", " "), normalizers.Replace(Regex(_PUNCTUATION), "")]
    if clean != "whitespace":
        steps.append(normalizers.Lowercase())
    steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    if tokenizer.normalizer is not None:
        steps.append(tokenizer.normalizer)
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.save(str(made / "tokenizer.json"))
