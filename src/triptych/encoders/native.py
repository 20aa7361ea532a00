"""Encoders of this package: their folders, and their graphs on ONNX Runtime, so that searches do not load torch.

A folder holds `config.json`, `model.safetensors` (weights for training), `tokenizer.json`, `picture.onnx` and
`text.onnx` (graphs to run), and `words.safetensors` (the lexicon). `save_encoder` makes the graphs from the weights.

Format 1 is the small dual encoder that `pretrain` trains from scratch. Its graphs include their weights, and a copy by
`export-models` has no others. Format 2 is the photo encoder. Its graphs read their weights from `model.safetensors`.
`balance.safetensors` has the scales of the parts of its vectors, which can be changed without changing the weights.
Folders of older versions lack this file.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from triptych.core.errors import DataError
from triptych.core.files import atomic, hash_file, read_json, write_bytes, write_json
from triptych.core.images import pad_square
from triptych.core.onnx_graph import Graph, export_graph
from triptych.core.onnx_weights import read_weights, round_to_8_bits, share_weights
from triptych.core.vectors import Vectors
from triptych.encoders.lexicon import FILE as WORDS
from triptych.encoders.lexicon import Lexicon
from triptych.encoders.protocol import Ids, Pixels, TextReading
from triptych.encoders.reading import TextReader
from triptych.encoders.tokenizer import read_tokenizer, token_ids
from triptych.encoders.training_statistics import FILE as STATISTICS

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import nn

    from triptych.encoders.networks.dual_encoder import DualEncoder
    from triptych.encoders.networks.photo_encoder import PhotoEncoder

FORMAT = "triptych-dual-encoder-1"
PHOTO_FORMAT = "triptych-dual-encoder-2"
_WEIGHTS = "model.safetensors"
_BALANCE = "balance.safetensors"
_BALANCED = ("picture.parts", "picture.item_mean", "picture.item_scale")
_GRAPHS = ("picture.onnx", "text.onnx", "tokenizer.json")
_MATRIX = 4096  # values of a text matrix from which it is stored in 8 bits; smaller ones save nothing


class NativeEncoder:
    """An encoder folder that ships with the package or that `pretrain` or `adapt-encoder` made.

    Raises:
        DataError: a file is missing or has another format.
    """

    def __init__(self, folder: Path, name: str, threads: int | None = None) -> None:
        self.folder = folder
        self._threads = threads
        config = read_json(folder / "config.json", "encoder configuration")
        form = config.get("format") if isinstance(config, dict) else None
        if form not in (FORMAT, PHOTO_FORMAT):
            raise DataError(f"{folder}: not an encoder that `triptych pretrain` made (format is not {FORMAT})")
        shape = config["architecture"]
        self.is_photo_encoder: bool = form == PHOTO_FORMAT
        self.files: tuple[str, ...] = (*_GRAPHS, _WEIGHTS) if self.is_photo_encoder else _GRAPHS
        for needed in self.files:
            if not (folder / needed).is_file():
                raise DataError(f"{folder}: {needed} is missing; copy the folder again or rerun `triptych pretrain`")
        if self.is_photo_encoder and (folder / _BALANCE).is_file():
            self.files = (*self.files, _BALANCE)
        self.name = name
        self.config: dict[str, Any] = config
        if self.is_photo_encoder:
            self.constant_dim = 1
            self.instance_dim: int = shape["item_dim"] + self.constant_dim
            self.word_width: int = shape["rank"]
            self.text_frame = tuple(config["text_frame"])
        else:
            self.constant_dim = 0
            self.instance_dim = shape.get("identity", 0)
            self.word_width = shape["text_width"]
            self.text_frame = (0, 0)
        self.dim: int = shape["dim"] + self.instance_dim
        self.logit_scale: float = config["logit_scale"]
        self.size: int = shape["size"]
        self.square_side = self.size
        self._length: int = shape["length"]
        parts = [hash_file(folder / part) for part in self.files]
        content = [form, json.dumps(shape, sort_keys=True), *parts]
        self.fingerprint = hashlib.sha256("\n".join(content).encode()).hexdigest()

    def prepare(self, picture: Image.Image) -> Pixels:
        """Pixels `(3, size, size)` in [-1, 1] of a picture, padded to a square instead of cropped."""
        return normalise(square_pixels(picture, self.size))

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        """Vectors `(n, d)` of pixels `(n, 3, size, size)`."""
        return self._picture_graph(pixels)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors `(n, d)` of texts. Each distinct text is encoded once. A too long text is encoded in parts."""
        distinct = sorted(set(texts))
        ids = self.token_ids(distinct)
        full = np.flatnonzero(ids[:, -1]).tolist()
        vectors = self._text_reader.replace_long(
            self._encode_ids(ids), distinct, full, lambda parts: self._encode_ids(self.token_ids(parts))
        )
        row = {text: index for index, text in enumerate(distinct)}
        return vectors[[row[text] for text in texts]]

    def _encode_ids(self, ids: Ids) -> Vectors:
        return self._by_length(ids) if self.is_photo_encoder else self._text_graph(ids)

    def _by_length(self, ids: Ids) -> Vectors:
        """Vectors of texts, in groups of equal length without padding, so that short texts are cheap."""
        vectors = np.empty((len(ids), self.dim), np.float32)
        lengths = (ids != 0).sum(axis=1)
        for length in np.unique(lengths):
            rows = np.flatnonzero(lengths == length)
            vectors[rows] = self._text_graph(ids[rows, :length])
        return vectors

    def token_ids(self, texts: Sequence[str]) -> Ids:
        """Token ids `(n, length)`, for composers with a text tower of their own."""
        return token_ids(self.tokenizer, texts, self._length, closing=self.text_frame[1])

    def readings(self, texts: Sequence[str], *, reserved: int = 0, learnt: Collection[str] = ()) -> list[TextReading]:
        """`ReportsReading.readings`."""
        return self._text_reader.readings(texts, reserved=reserved, learnt=learnt)

    @cached_property
    def _text_reader(self) -> TextReader:
        frame = 2 if self.text_frame[1] else 0
        return TextReader(self.tokenizer, self._length - frame, lexicon=self.lexicon)

    @cached_property
    def lexicon(self) -> Lexicon | None:
        """The words that the encoder can name; None for folders of older versions."""
        return Lexicon.load(self.folder)

    def text_tower(self) -> "nn.Module":
        """The text tower as a torch module that also accepts pseudo-words."""
        return load_model(self.folder).text

    @cached_property
    def _picture_graph(self) -> Graph:
        return Graph(self.folder / "picture.onnx", self._threads)

    @cached_property
    def _text_graph(self) -> Graph:
        return Graph(self.folder / "text.onnx", self._threads)

    @cached_property
    def tokenizer(self) -> "Tokenizer":
        """The tokenizer."""
        return read_tokenizer(self.folder)


def square_pixels(picture: Image.Image, size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Bytes `(3, size, size)` of a picture padded to a square."""
    return np.asarray(pad_square(picture, size), np.uint8).transpose(2, 0, 1)


def normalise(pixels: np.ndarray[Any, Any]) -> Pixels:
    """Pixels in [-1, 1] from bytes."""
    return pixels.astype(np.float32) / 127.5 - 1.0


def save_encoder(
    folder: Path,
    model: "DualEncoder | PhotoEncoder",
    tokenizer: "Tokenizer",
    lexicon: Lexicon | None,
    made_by: dict[str, Any],
) -> None:
    """Write an encoder folder. `config.json` is written last, so a folder that has it is complete."""
    from triptych.encoders.networks.dual_encoder import DualEncoder

    model = model.eval().float().cpu()
    # If the folder holds an older encoder, its config.json goes first: a killed process must not leave the old
    # configuration beside new files.
    for stale in ("config.json", STATISTICS, _BALANCE):
        (folder / stale).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    config = _save_small(folder, model) if isinstance(model, DualEncoder) else _save_photo_encoder(folder, model)
    with atomic(folder / "tokenizer.json") as temporary:
        tokenizer.save(str(temporary))
    if lexicon:
        lexicon.save(folder)
    else:
        (folder / WORDS).unlink(missing_ok=True)
    write_json(folder / "config.json", config | {"made_by": made_by})


def _save_small(folder: Path, model: "DualEncoder") -> dict[str, Any]:
    """Write the weights and graphs of a small dual encoder. Returns its part of the configuration."""
    import torch
    from safetensors.torch import save

    from triptych.encoders.networks.dual_encoder import HALF

    shape = model.shape
    # Matrices in half precision halve the file; the graphs are made from the same rounded weights.
    weights = {
        name: (tensor.half() if tensor.ndim > 1 else tensor).contiguous() for name, tensor in model.state_dict().items()
    }
    write_bytes(folder / _WEIGHTS, save(weights))
    model.load_state_dict(weights)
    export_graph(model.full_picture, [torch.zeros(2, 3, shape.size, shape.size)], folder / "picture.onnx", half=True)
    export_graph(model.text, [torch.ones(2, shape.length, dtype=torch.int64)], folder / "text.onnx", half=True)
    # Cosines between texts and pictures are smaller if texts have no item part.
    scale = model.scale.item() / (HALF if shape.identity else 1)
    return {"format": FORMAT, "architecture": asdict(shape), "logit_scale": scale}


def _save_photo_encoder(folder: Path, model: "PhotoEncoder") -> dict[str, Any]:
    """Write the weights of a photo encoder, and graphs that read them. Returns its part of the configuration."""
    import torch
    from safetensors.numpy import save

    from triptych.encoders.networks.sentence import CLOSING, OPENING

    weights: dict[str, np.ndarray[Any, Any]] = {}
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        if name in _BALANCED:
            continue
        if name.startswith("text.") and values.ndim > 1 and values.size >= _MATRIX:
            weights |= round_to_8_bits(name, values)
        else:
            weights[name] = values.astype(np.float16) if values.ndim > 1 else values
    write_bytes(folder / _WEIGHTS, save({name: np.ascontiguousarray(values) for name, values in weights.items()}))
    rounded = read_weights(folder / _WEIGHTS)
    model.load_state_dict(model.state_dict() | {name: torch.from_numpy(values) for name, values in rounded.items()})
    save_balance(folder, model)
    example = torch.full((2, 9), CLOSING + 1, dtype=torch.int64)
    export_graph(model.text, [example], folder / "text.onnx", free=2)
    share_weights(folder / "text.onnx", folder / _WEIGHTS)
    return {
        "format": PHOTO_FORMAT,
        "architecture": asdict(model.shape),
        "text_frame": [OPENING, CLOSING],
        "logit_scale": round(model.scale.item(), 4),
    }


def save_balance(folder: Path, model: "PhotoEncoder") -> None:
    """Write the scales of the parts of picture vectors, and the matching graph, into the encoder's folder."""
    import torch
    from safetensors.torch import save

    balance = {name: model.state_dict()[name].contiguous() for name in _BALANCED}
    write_bytes(folder / _BALANCE, save(balance))
    size = model.shape.size
    export_graph(model.picture, [torch.zeros(2, 3, size, size)], folder / "picture.onnx", free=1)
    share_weights(folder / "picture.onnx", folder / _WEIGHTS)


def load_model(folder: Path) -> "DualEncoder | PhotoEncoder":
    """Load an encoder as a torch module, to train it further.

    Raises:
        DataError: its weights are missing or damaged.
    """
    import torch
    from safetensors import SafetensorError

    from triptych.encoders.networks.dual_encoder import DualEncoder, EncoderShape
    from triptych.encoders.networks.photo_encoder import PhotoEncoder, PhotoShape

    config = read_json(folder / "config.json", "encoder configuration")
    shape = config["architecture"]
    model: DualEncoder | PhotoEncoder
    if config["format"] == PHOTO_FORMAT:
        model = PhotoEncoder(PhotoShape(**shape))
    else:
        model = DualEncoder(EncoderShape(**shape | {"depths": tuple(shape["depths"])}))
    weights = folder / _WEIGHTS
    if not weights.is_file():
        raise DataError(f"{folder}: has only graphs, which cannot be trained; use the encoder that was exported")
    try:
        stored = read_weights(weights)
        if isinstance(model, PhotoEncoder):
            plain = {name: model.state_dict()[name].numpy() for name in _BALANCED}
            balance = read_weights(folder / _BALANCE) if (folder / _BALANCE).is_file() else {}
            stored = plain | stored | balance
        model.load_state_dict({name: torch.from_numpy(values) for name, values in stored.items()})
    except (SafetensorError, RuntimeError, ValueError, KeyError):
        raise DataError(f"{weights}: does not fit this encoder; copy its folder again") from None
    return model.eval()
