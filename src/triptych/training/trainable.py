"""An encoder's two towers as one torch module that can be trained further and saved as an encoder again.

`tune` says which weights may change: `full`, `frozen` and, for the Hugging Face layout, `lora`
(`encoders.networks.lora`) or `last-N`, the last N layers of each tower with the projection of their outputs.
"""

import copy
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from triptych.core.errors import UsageError
from triptych.core.vectors import Vectors
from triptych.encoders.native import NativeEncoder, load_model, save_encoder, square_pixels
from triptych.encoders.protocol import Encoder, Ids
from triptych.training.data.pixels import Bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from triptych.encoders.huggingface import HuggingFaceEncoder

_LAST = re.compile(r"last-([1-9][0-9]{0,2})")
_RIDGE = 1e-3  # regularisation as a share of the mean variance, for directions in which pictures hardly vary; not tuned


class TrainableEncoder(Protocol):
    """Both towers of an encoder. Inputs must be on the device of `model`."""

    @property
    def model(self) -> "nn.Module":
        """The module to train. Only weights that may change have `requires_grad`."""
        ...

    tune: str
    """Which weights may change."""

    kind: str
    """The prefix of the folder in the name of such an encoder."""

    rate: float
    """A suitable peak learning rate."""

    def prepare(self, picture: Image.Image) -> Bytes:
        """Bytes `(3, h, w)` of an upright RGB picture."""
        ...

    def token_ids(self, texts: Sequence[str]) -> Ids:
        """The token ids of texts `(n, l)`, padded to the longest text."""
        ...

    def pictures(self, pixels: "Tensor") -> "Tensor":
        """Unit vectors `(n, d)` of bytes `(n, 3, h, w)`."""
        ...

    def texts(self, ids: "Tensor") -> "Tensor":
        """Unit vectors `(n, d)` of token ids `(n, l)`."""
        ...

    def save(self, folder: Path, before: Vectors, after: Vectors, note: dict[str, Any]) -> None:
        """Write an encoder folder; `before` and `after` are the vectors `(n, d)` of some pictures."""
        ...


def trainable_encoder(encoder: Encoder, tune: str | None = None) -> TrainableEncoder:
    """A trainable copy of an encoder's towers. `tune` defaults to `full` for our own encoders, else to `lora`.

    Raises:
        UsageError: `tune` is not possible for this encoder, or the encoder has no weights to train.
    """
    if isinstance(encoder, NativeEncoder):
        return _Native(encoder, tune or "full")
    if not encoder.name.startswith("hf:"):
        raise UsageError(
            f"{encoder.name}: an exported encoder cannot be trained; use the encoder that it was exported from"
        )
    return _HuggingFace(encoder, tune or "lora")  # type: ignore[arg-type]


class _Native:
    """An encoder that `pretrain` or `adapt-encoder` made."""

    kind = ""
    rate = 1e-4

    def __init__(self, encoder: NativeEncoder, tune: str) -> None:
        if tune not in ("full", "frozen"):
            raise UsageError(f"--tune {tune}: for encoders of `triptych pretrain`, give full or frozen")
        if not (encoder.folder / "model.safetensors").is_file():
            raise UsageError(f"{encoder.name}: has no weights to train on; use the encoder that it was exported from")
        self.tune = tune
        self.model = load_model(encoder.folder).requires_grad_(tune == "full")
        self.model.log_scale.requires_grad_(False)
        self._encoder = encoder

    def prepare(self, picture: Image.Image) -> Bytes:
        return square_pixels(picture, self.model.shape.size)

    def token_ids(self, texts: Sequence[str]) -> Ids:
        ids = self._encoder.token_ids(texts)
        return ids[:, : int((ids != 0).sum(axis=1).max())]

    def pictures(self, pixels: "Tensor") -> "Tensor":
        vectors: Tensor = self.model.full_picture(pixels.float() / 127.5 - 1.0)
        return vectors

    def texts(self, ids: "Tensor") -> "Tensor":
        vectors: Tensor = self.model.text(ids)
        return vectors

    def save(self, folder: Path, before: Vectors, after: Vectors, note: dict[str, Any]) -> None:
        lexicon = self._encoder.lexicon
        if lexicon:
            lexicon = lexicon.moved(*linear_map(after, before))
        save_encoder(folder, self.model, self._encoder.tokenizer, lexicon, note)


class _HuggingFace:
    """A CLIP or SigLIP in the Hugging Face layout."""

    kind = "hf:"

    def __init__(self, encoder: "HuggingFaceEncoder", tune: str) -> None:
        self.tune = tune
        self.model: Any = copy.deepcopy(encoder.model).float()
        self.rate = 1e-4 if tune == "lora" else 1e-5
        self._encoder = encoder
        settings, _ = encoder.preprocessing()
        self._scale: float = settings["scale"]
        self._mean, self._std = (np.array(settings[name], np.float32)[:, None, None] for name in ("mean", "std"))
        self._choose()

    def _choose(self) -> None:
        """Set `requires_grad` for the weights that `tune` names, and for no others."""
        model = self.model.requires_grad_(False)
        if self.tune == "lora":
            from triptych.encoders.networks.lora import add_lora

            add_lora(model)
        elif self.tune == "full":
            model.requires_grad_(True)
            for name in ("logit_scale", "logit_bias"):  # not used in retrieval
                if hasattr(model, name):
                    getattr(model, name).requires_grad_(False)
        elif last := _LAST.fullmatch(self.tune):
            for tower in (model.text_model, model.vision_model):
                layers = tower.encoder.layers
                if int(last[1]) > len(layers):
                    raise UsageError(f"--tune {self.tune}: a tower of {self._encoder.name} has {len(layers)} layers")
                layers[-int(last[1]) :].requires_grad_(True)
                if hasattr(tower, "head"):  # the projections of a SigLIP
                    tower.head.requires_grad_(True)
            for name in ("visual_projection", "text_projection"):  # the projections of a CLIP
                if hasattr(model, name):
                    getattr(model, name).requires_grad_(True)
        elif self.tune != "frozen":
            raise UsageError(f"--tune {self.tune}: write frozen, lora, last-N (such as last-2) or full")

    def prepare(self, picture: Image.Image) -> Bytes:
        # The processor's output is turned back into bytes, which take a quarter of the memory of floats.
        pixels = (self._encoder.prepare(picture) * self._std + self._mean) / self._scale
        return np.asarray(pixels.round().clip(0, 255), np.uint8)

    def token_ids(self, texts: Sequence[str]) -> Ids:
        ids: Ids = self._encoder.tokens(texts)["input_ids"].numpy()
        return ids

    def pictures(self, pixels: "Tensor") -> "Tensor":
        import torch

        mean, std = (torch.from_numpy(values).to(pixels.device) for values in (self._mean, self._std))
        normalised = (pixels.float() * self._scale - mean) / std
        return _unit(self.model.get_image_features(pixel_values=normalised))

    def texts(self, ids: "Tensor") -> "Tensor":
        # There is no attention mask, as in HuggingFaceEncoder.towers.
        return _unit(self.model.get_text_features(input_ids=ids))

    def save(self, folder: Path, before: Vectors, after: Vectors, note: dict[str, Any]) -> None:
        from triptych.encoders.networks.lora import merge_lora

        merge_lora(self.model)
        shutil.rmtree(folder, ignore_errors=True)  # also removes shards of an earlier run
        self._encoder.save(self.model.eval().cpu(), folder)


def _unit(features: Any) -> "Tensor":
    from torch.nn import functional as F

    return F.normalize(features.pooler_output.float(), dim=-1)


def linear_map(source: Vectors, target: Vectors) -> tuple[Vectors, Vectors]:
    """The linear map `(d, d)` and offset `(d,)` from `source` `(n, d)` to `target` `(n, d)`, by ridge regression."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    inputs, outputs = (source - source_mean).astype(np.float64), (target - target_mean).astype(np.float64)
    squares = inputs.T @ inputs
    ridge = _RIDGE * np.trace(squares) / len(squares)
    weight = np.linalg.solve(squares + ridge * np.eye(len(squares)), inputs.T @ outputs).T
    return weight.astype(np.float32), (target_mean - weight @ source_mean).astype(np.float32)
