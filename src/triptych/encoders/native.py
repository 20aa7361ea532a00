"""Our own encoder on disk, and how it is run: exported graphs on ONNX Runtime, so that a search never loads torch.

A folder holds `config.json`, `model.safetensors` (to train on), `tokenizer.json`, `picture.onnx` and `text.onnx`
(to run), and `words.safetensors` (the words it can name). The graphs are made from the weights by `save_encoder`; a
copy that `export-models` made has no weights.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from triptych.core.errors import DataError
from triptych.core.files import atomic, hash_file, read_json, write_json
from triptych.core.images import pad_square
from triptych.core.onnx_graph import Graph, export_graph
from triptych.core.vectors import Vectors
from triptych.encoders.lexicon import FILE as WORDS
from triptych.encoders.lexicon import Lexicon
from triptych.encoders.protocol import Pixels
from triptych.encoders.tokenizer import read_tokenizer, token_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from triptych.encoders.networks.dual_encoder import DualEncoder, TextTower

FORMAT = "triptych-dual-encoder-1"
"""The least id of a piece; those below are padding and what is unknown."""


class NativeEncoder:
    """An encoder folder made by `pretrain`. Raises DataError where a file is missing or of another kind."""

    def __init__(self, folder: Path, name: str, threads: int | None = None) -> None:
        self.folder = folder
        self._threads = threads
        config = read_json(folder / "config.json", "encoder configuration")
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise DataError(f"{folder}: not an encoder that `triptych pretrain` made (format is not {FORMAT})")
        for needed in ("picture.onnx", "text.onnx", "tokenizer.json"):
            if not (folder / needed).is_file():
                raise DataError(f"{folder}: {needed} is missing; copy the folder again or rerun `triptych pretrain`")
        self.name = name
        self.config: dict[str, Any] = config
        self.instance_dim: int = config["architecture"].get("identity", 0)
        self.dim: int = config["architecture"]["dim"] + self.instance_dim
        self.logit_scale: float = config["logit_scale"]
        self.word_width: int = config["architecture"]["text_width"]
        self.text_frame = (0, 0)
        self._size: int = config["architecture"]["size"]
        self._length: int = config["architecture"]["length"]
        parts = [hash_file(folder / part) for part in ("picture.onnx", "text.onnx", "tokenizer.json")]
        shape = json.dumps(config["architecture"], sort_keys=True)
        self.fingerprint = hashlib.sha256("\n".join([FORMAT, shape, *parts]).encode()).hexdigest()

    def prepare(self, picture: Image.Image) -> Pixels:
        """Pixels `(3, size, size)` in [-1, 1]: padded to a square, so that nothing of a picture is cut off."""
        return normalise(square_pixels(picture, self._size))

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        """Vectors `(n, d)` of pixels `(n, 3, size, size)`."""
        return self._picture_graph(pixels)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors `(n, d)`; each distinct text is encoded once."""
        distinct = sorted(set(texts))
        vectors = self._text_graph(self.token_ids(distinct))
        row = {text: index for index, text in enumerate(distinct)}
        return vectors[[row[text] for text in texts]]

    def token_ids(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """What the text tower reads `(n, length)`, for a composer that has a text tower of its own."""
        return token_ids(self.tokenizer, texts, self._length)

    @cached_property
    def lexicon(self) -> Lexicon | None:
        """The words it can name; None for a folder of an older version."""
        return Lexicon.load(self.folder)

    def text_tower(self) -> "TextTower":
        """The text tower as a torch module, which takes pseudo-words too."""
        return load_model(self.folder).text

    @cached_property
    def _picture_graph(self) -> Graph:
        return Graph(self.folder / "picture.onnx", self._threads)

    @cached_property
    def _text_graph(self) -> Graph:
        return Graph(self.folder / "text.onnx", self._threads)

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """What cuts texts into pieces."""
        return read_tokenizer(self.folder)


def square_pixels(picture: Image.Image, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Bytes `(3, size, size)` of a picture padded to a square."""
    return np.asarray(pad_square(picture, size), np.uint8).transpose(2, 0, 1)


def normalise(pixels: np.ndarray[Any, Any]) -> Pixels:
    """Bytes to [-1, 1]."""
    return pixels.astype(np.float32) / 127.5 - 1.0


def save_encoder(
    folder: Path, model: "DualEncoder", tokenizer: "Tokenizer", lexicon: Lexicon | None, made_by: dict[str, Any]
) -> None:
    """Write an encoder folder; `config.json` comes last, so a folder that has it is whole."""
    import torch
    from safetensors.torch import save_file

    from triptych.encoders.networks.dual_encoder import HALF

    shape = model.shape
    model = model.eval().float().cpu()
    # Over an older encoder too: a kill must not leave its configuration with half of the new files.
    (folder / "config.json").unlink(missing_ok=True)
    with atomic(folder / "model.safetensors") as temporary:
        # Matrices in half precision halve the file; the graphs are made from the same rounded weights.
        weights = {
            name: (tensor.half() if tensor.ndim > 1 else tensor).contiguous()
            for name, tensor in model.state_dict().items()
        }
        save_file(weights, temporary)
    model.load_state_dict(weights)
    with atomic(folder / "tokenizer.json") as temporary:
        tokenizer.save(str(temporary))
    if lexicon:
        lexicon.save(folder)
    else:
        (folder / WORDS).unlink(missing_ok=True)
    export_graph(model.full_picture, [torch.zeros(2, 3, shape.size, shape.size)], folder / "picture.onnx", half=True)
    export_graph(model.text, [torch.ones(2, shape.length, dtype=torch.int64)], folder / "text.onnx", half=True)
    write_json(
        folder / "config.json",
        {
            "format": FORMAT,
            "architecture": asdict(shape),
            # Cosines between texts and pictures are smaller where part of a vector is not shared.
            "logit_scale": model.scale.item() / (HALF if shape.identity else 1),
            "made_by": made_by,
        },
    )


def load_model(folder: Path) -> "DualEncoder":
    """The encoder as a torch module, to train further. Raises DataError where its weights are missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from triptych.encoders.networks.dual_encoder import DualEncoder, EncoderShape

    config = read_json(folder / "config.json", "encoder configuration")
    shape = config["architecture"] | {"depths": tuple(config["architecture"]["depths"])}
    model = DualEncoder(EncoderShape(**shape))
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise DataError(f"{folder}: holds graphs alone, which run but do not learn; use the encoder they were made of")
    try:
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError):
        raise DataError(f"{weights}: does not hold the weights of this encoder; copy its folder again") from None
    return model.eval()
