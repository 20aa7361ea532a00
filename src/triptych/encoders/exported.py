"""A CLIP or SigLIP as two graphs in a folder, run without transformers and torch.

A folder holds `config.json`, `tokenizer.json`, `picture.onnx` (pixels to unit vectors) and `text.onnx` (token ids to
unit vectors, without padding if the model needs none).
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from triptych.core.errors import DataError
from triptych.core.files import hash_file, read_json
from triptych.core.onnx_graph import Graph
from triptych.core.vectors import Vectors
from triptych.encoders.pixel_table import PixelTable, prepared, table_of
from triptych.encoders.protocol import Ids, Pixels, TextReading
from triptych.encoders.reading import TextReader
from triptych.encoders.tokenizer import closed_ids, read_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMAT = "triptych-exported-encoder-1"
FILES = ("tokenizer.json", "picture.onnx", "text.onnx")
_TEXTS = 64  # texts encoded at once, padded to the longest


class ExportedEncoder:
    """An encoder folder that `export-models` made of a Hugging Face model.

    In single precision it has the fingerprint of the original encoder. In 8 bits it has a fingerprint of its own.

    Raises:
        DataError: a file is missing or damaged.
    """

    def __init__(self, folder: Path, name: str, threads: int | None = None) -> None:
        config = read_json(folder / "config.json", "encoder configuration")
        for needed in FILES:
            if not (folder / needed).is_file():
                raise DataError(f"{folder}: {needed} is missing; copy the folder again or export it again")
        self.folder = folder
        self.name = name
        self.dim: int = config["dim"]
        self.instance_dim = 0
        self.lexicon = None
        self.logit_scale: float = config["logit_scale"]
        self._pictures: dict[str, Any] = config["pictures"]
        self._texts: dict[str, Any] = config["texts"]
        self._threads = threads
        self.fingerprint: str = config["stands_for"] or self._own_fingerprint()

    def _own_fingerprint(self) -> str:
        settings = json.dumps([self._pictures, self._texts], sort_keys=True)
        parts = [hash_file(self.folder / part) for part in FILES]
        return hashlib.sha256("\n".join([FORMAT, settings, *parts]).encode()).hexdigest()

    def prepare(self, picture: Image.Image) -> Pixels:
        """Pixels `(3, h, w)` of a picture: resized, center-cropped if the model requires it, and normalised."""
        return prepared(picture, self._pictures, self._table)

    @cached_property
    def _table(self) -> PixelTable:
        return table_of(self._pictures)

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        """Vectors `(n, d)` of pixels `(n, 3, h, w)`."""
        return self._picture_graph(pixels)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors `(n, d)` of texts. Each distinct text is encoded once. A too long text is encoded in parts."""
        # Sorted by length, so that little of a batch is padding.
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        vectors = self._text_reader.encode_whole(distinct, self._encode)
        row = {text: index for index, text in enumerate(distinct)}
        return vectors[np.array([row[text] for text in texts], np.intp)]

    def _encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts, truncated to the length that the text tower reads."""
        starts = range(0, len(texts), _TEXTS)
        blocks = [self._text_graph(self._token_ids(texts[start : start + _TEXTS])) for start in starts]
        return np.concatenate(blocks) if blocks else np.empty((0, self.dim), np.float32)

    def readings(self, texts: Sequence[str], *, reserved: int = 0, learnt: Collection[str] = ()) -> list[TextReading]:
        """`ReportsReading.readings`."""
        return self._text_reader.readings(texts, reserved=reserved, learnt=learnt)

    @cached_property
    def _text_reader(self) -> TextReader:
        return TextReader.of(self.folder, self._texts["length"], lower=self._texts["lower"])

    @property
    def text_frame(self) -> tuple[int, int]:
        """The start and end token ids of a CLIP's texts."""
        opening, closing = self._tokenizer.encode("").ids
        return opening, closing

    def token_ids(self, texts: Sequence[str]) -> Ids:
        """Token ids `(n, length)` for a composer's copy of CLIP's text tower, padded with the end token."""
        encoded = self._tokenizer.encode_batch(list(texts))
        rows = [encoding.ids[: sum(encoding.attention_mask)] for encoding in encoded]  # without its padding
        return closed_ids(rows, self._texts["length"], self.text_frame[1])

    def _token_ids(self, texts: Sequence[str]) -> Ids:
        lowered = [text.lower() for text in texts] if self._texts["lower"] else list(texts)
        return np.array([encoding.ids for encoding in self._tokenizer.encode_batch(lowered)], np.int64)

    @cached_property
    def _picture_graph(self) -> Graph:
        return Graph(self.folder / "picture.onnx", self._threads)

    @cached_property
    def _text_graph(self) -> Graph:
        return Graph(self.folder / "text.onnx", self._threads)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        tokenizer, settings = read_tokenizer(self.folder), self._texts
        tokenizer.enable_truncation(settings["length"])
        padded_to = settings["length"] if settings["padded"] else None
        tokenizer.enable_padding(pad_id=settings["pad_id"], pad_token=settings["pad_token"], length=padded_to)
        return tokenizer
