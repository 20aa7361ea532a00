"""Write an encoder as graphs that run without torch, in single precision or with 8-bit matrices."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from triptych.core.environment import require_extra
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import copy_own, made_by, write_json
from triptych.core.onnx_graph import export_graph, quantize_graph
from triptych.encoders.exported import FORMAT
from triptych.encoders.native import NativeEncoder
from triptych.encoders.protocol import Encoder
from triptych.encoders.registry import load_encoder
from triptych.encoders.training_statistics import statistics_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from triptych.encoders.huggingface import HuggingFaceEncoder

_FAITHFUL = 0.999  # lowest cosine to the vectors of the original encoder, which may compute in bfloat16
_PROBES = (
    "a red shirt",
    "the same, but with long sleeves and in BLUE",
    "Is shorter; has no collar, and isn't striped!",
    "a dog on a sofa beside two cats " * 20,
)


class Agreement(NamedTuple):
    """The lowest cosine between an exported encoder's vectors and the encoder's
    own, for made-up pictures and for texts."""

    pictures: float
    texts: float


def export_encoder(encoder: Encoder, out: Path, *, int8: bool = False) -> Agreement:
    """Write `encoder` into the folder `out`, which every command accepts as `--encoder`.

    Our own encoders are copied without the files that only training needs. A CLIP or SigLIP is exported and compared
    with the original on made-up pictures and texts. In single precision the folder stands for the encoder: its catalogs
    and composers remain valid. With `int8` the matrices have 8 bits, and the folder is a different encoder.

    Returns:
        The agreement with the original.

    Raises:
        UsageError: a required extra is not installed, or the encoder cannot be exported.
        FailureError: the exported vectors differ from the encoder's own.
    """
    if int8:
        require_extra("train", "--int8")
    (out / "config.json").unlink(missing_ok=True)  # comes last: a folder that has it is whole
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(encoder, NativeEncoder):
        for name in encoder.files:
            copy_own(encoder.folder, name, out / name)
        if encoder.lexicon:
            encoder.lexicon.save(out)
        if statistics := statistics_of(encoder):
            statistics.save(out)
        config = encoder.config
    elif encoder.name.startswith("hf:"):
        config = _export_towers(encoder, out)  # type: ignore[arg-type]
    else:
        raise UsageError(
            f"{encoder.name}: only hf: models and folders of `pretrain` can be exported; export the original encoder"
        )
    if int8:
        for name in ("picture.onnx", "text.onnx"):
            quantize_graph(out / name, out / name)
    config |= {"made_by": made_by("export-models", {"encoder": encoder.name, "int8": int8})}
    write_json(out / "config.json", config | ({"stands_for": None} if int8 and "stands_for" in config else {}))
    agreement = _agreement(encoder, load_encoder(str(out), threads=1))
    if not int8 and min(agreement) < _FAITHFUL:
        (out / "config.json").unlink()
        cosines = f"pictures {agreement.pictures:.4f}, texts {agreement.texts:.4f}"
        raise FailureError(f"{encoder.name}: the exported towers do not give its vectors (least cosine: {cosines})")
    return agreement


def _export_towers(encoder: "HuggingFaceEncoder", out: Path) -> dict[str, Any]:
    """Write the towers as graphs, the tokenizer, and the settings of `ExportedEncoder`.

    Raises:
        UsageError: the encoder has settings that cannot be exported.
    """
    require_extra("train", "export-models of a Hugging Face model")
    import torch

    pictures, texts = encoder.preprocessing()
    tokenizer = encoder.tokenizer.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(out / "tokenizer.json"))
    height, width = encoder.prepare(Image.new("RGB", (64, 48))).shape[1:]
    picture_tower, text_tower = encoder.towers()
    _export(picture_tower, [torch.zeros(2, 3, height, width)], out / "picture.onnx", free=1)
    ids = torch.full((2, texts["length"] if texts["padded"] else 7), texts["pad_id"], dtype=torch.int64)
    _export(text_tower, [ids], out / "text.onnx", free=1 if texts["padded"] else 2)
    return {
        "format": FORMAT,
        "stands_for": encoder.fingerprint,
        "encoder": encoder.name,
        "dim": encoder.dim,
        "logit_scale": encoder.logit_scale,
        "pictures": pictures,
        "texts": texts,
    }


def _export(tower: "nn.Module", inputs: "Sequence[Tensor]", path: Path, free: int) -> None:
    try:
        export_graph(tower.cpu(), inputs, path, half=True, free=free)
    except Exception as error:  # the exporter raises anything
        reason = str(error).strip().splitlines()[:1]
        raise FailureError(f"{path.name}: torch cannot export this tower ({' '.join(reason)})") from error


def _agreement(encoder: Encoder, exported: Encoder) -> Agreement:
    """The lowest cosine of two encoders' vectors for the same pictures, and for the same texts."""
    noise = np.random.default_rng(0)
    sizes = ((320, 200), (180, 400), (224, 224), (37, 51), (640, 479))
    pictures = [
        Image.fromarray(noise.integers(0, 256, (6, 5, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
        for size in sizes
    ]
    own, again = (
        engine.encode_pictures(np.stack([engine.prepare(picture) for picture in pictures]))
        for engine in (encoder, exported)
    )
    texts, texts_again = encoder.encode_texts(_PROBES), exported.encode_texts(_PROBES)
    return Agreement(
        round(float((own * again).sum(axis=1).min()), 6), round(float((texts * texts_again).sum(axis=1).min()), 6)
    )
