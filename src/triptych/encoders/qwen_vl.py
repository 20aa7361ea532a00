"""Qwen3-VL-Embedding in the Hugging Face layout: it maps a picture, a text, or both together to one vector.

Li et al., *Qwen3-VL-Embedding and Qwen3-VL-Reranker* (2026; Apache-2.0). The input is one turn of a chat, with an
instruction as system message. The vector is the normalised last hidden state of the last token. The model is
transformers' Qwen3VLModel. No code from the weights' repository is run.

Every picture is padded to a square of one size, since all pixels have the same shape here. The authors' code keeps each
picture's shape, so vectors are close to theirs, but not equal.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from triptych.core.environment import Runtime, require_extra
from triptych.core.errors import DataError, UsageError
from triptych.core.images import pad_square
from triptych.core.vectors import Vectors, unit
from triptych.encoders.huggingface_files import (
    blaming,
    fingerprint_of,
    locate_model,
    quiet,
    setting_files,
    weight_files,
)
from triptych.encoders.protocol import Pixels
from triptych.encoders.tokenizer import check_tokenizer

INSTRUCTION = "Represent the user's input."
"""The default instruction of the authors' code."""
QUERY_INSTRUCTION = "Retrieve the picture that is like the given one but for what the text says."
"""The instruction for a picture and a text together. The authors recommend an instruction for each task."""

_SIDE = 448  # pixels a side, which makes 196 tokens; not tuned
_BATCH = 8
_MOST_TOKENS = 1024  # tokens of a text; bounds the memory of a batch
_OPENING, _CLOSING, _PICTURE = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"


def plain_text(text: str) -> str:
    """A user's text, changed so that nothing in it is parsed as a special token."""
    return text.replace("<|", "< |")


class QwenVL:
    """A Qwen3-VL in the Hugging Face layout, with its tokenizer. Pictures are padded to squares of one size.

    Raises:
        UsageError: the extra `hf` is not installed.
        FailureError: a hub id cannot be fetched.
        DataError: a file is missing or damaged.
    """

    kind = "Qwen3VLModel"
    """The class of transformers."""
    instructions = ""
    """The instructions that affect the results, as a part of the fingerprint."""

    def __init__(
        self,
        name: str,
        threads: int | None = None,
        *,
        device: str | None = None,
        download: bool = True,
        side: int | None = None,
    ) -> None:
        require_extra("hf", name)
        import torch
        import transformers

        side = side or _SIDE
        self.name, self.folder = locate_model(name, download=download)
        folder = self.folder
        files = [*setting_files(folder, self.name), *weight_files(folder, self.name)]
        self.fingerprint = fingerprint_of(files, "float32", f"qwen3-vl {side} {self.instructions}")
        if threads is not None:
            torch.set_num_threads(threads)
        check_tokenizer(folder / "tokenizer.json")
        kind: Any = getattr(transformers, self.kind)
        with quiet(), blaming(self.name):
            model, report = kind.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
            self._processor = transformers.Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
            self.tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        if missing := sorted(report["missing_keys"]):
            raise DataError(f"{self.name}: the weights lack {missing[0]}; copy the model again")
        if self.tokenizer.convert_tokens_to_ids(_PICTURE) != model.config.image_token_id:
            raise DataError(f"{self.name}: the tokenizer lacks {_PICTURE}; take all files from the same model")
        cell = self._processor.patch_size * self._processor.merge_size
        if side % cell:
            raise UsageError(f"{self.name}: {side} pixels a side is not a multiple of the model's {cell}")
        self.square_side = side
        self._cells = (side // cell) ** 2
        self._device = Runtime(device=device).torch_device()
        self.model = model.eval().to(self._device)

    def prepare(self, picture: Image.Image) -> Pixels:
        """Pixels `(3, side, side)` of the picture, padded to a square and normalised for the model."""
        square = pad_square(picture, self.square_side)
        pixels = np.asarray(square, np.float32).transpose(2, 0, 1) * np.float32(self._processor.rescale_factor)
        mean, spread = (np.array(each, np.float32)[:, None, None] for each in self._normalising)
        return np.asarray((pixels - mean) / spread, np.float32)

    @property
    def picture_marks(self) -> str:
        """The special tokens that stand for a picture in a text."""
        return f"{_OPENING}{_PICTURE * self._cells}{_CLOSING}"

    @property
    def _normalising(self) -> tuple[Sequence[float], Sequence[float]]:
        return self._processor.image_mean, self._processor.image_std

    def batch(self, rows: Sequence[Sequence[int]], pixels: Iterable[Pixels] = ()) -> dict[str, Any]:
        """Make the model's input: token ids, padded at the end, and the patches of all pictures, in order."""
        import torch

        longest = max(map(len, rows))
        ids = np.zeros((len(rows), longest), np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for row, numbers in enumerate(rows):
            ids[row, : len(numbers)] = numbers
            mask[row, : len(numbers)] = 1
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        settings = self._processor
        sizes = settings.patch_size, settings.merge_size, settings.temporal_patch_size
        cut = [settings.patchify(each, *sizes) for each in pixels]
        if cut:
            inputs["pixel_values"] = torch.from_numpy(np.concatenate([patches for patches, _, _ in cut]))
            inputs["image_grid_thw"] = torch.tensor([[1, high, wide] for _, high, wide in cut])
            kinds = (ids == self.model.config.image_token_id) & (mask == 1)
            inputs["mm_token_type_ids"] = torch.from_numpy(kinds.astype(np.int32))
        return {name: tensor.to(self._device) for name, tensor in inputs.items()}

    def ids(self, text: str, *, plain: bool = False) -> list[int]:
        """The tokens of a text. In `plain` text, such as a user's, nothing is parsed as a special token."""
        return list(self.tokenizer(plain_text(text) if plain else text, add_special_tokens=False)["input_ids"])


class QwenVLEncoder(QwenVL):
    """The encoder `hf:FOLDER` or `hf:HUB_ID` of a Qwen3-VL-Embedding. Arguments and errors are those of `QwenVL`."""

    instructions = f"{INSTRUCTION} {QUERY_INSTRUCTION}"

    def __init__(self, name: str, threads: int | None = None, **how: Any) -> None:
        super().__init__(name, threads, **how)
        self.dim: int = self.model.config.text_config.hidden_size
        self.instance_dim, self.logit_scale, self.lexicon = 0, 20.0, None

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        """Vectors `(n, d)` of pixels `(n, 3, side, side)`."""
        return self._encode(pixels, [""] * len(pixels), INSTRUCTION)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors `(n, d)` of texts, truncated to 1024 tokens."""
        return self._encode(None, texts, INSTRUCTION)

    def encode_queries(self, pixels: Pixels, texts: Sequence[str]) -> Vectors:
        """See `EncodesQueries.encode_queries`: vectors `(n, d)` of pictures and texts, each pair read together."""
        return self._encode(pixels, texts, QUERY_INSTRUCTION)

    def _encode(self, pixels: Pixels | None, texts: Sequence[str], instruction: str) -> Vectors:
        import torch

        parts = []
        for start in range(0, len(texts), _BATCH):
            shown = None if pixels is None else pixels[start : start + _BATCH]
            inputs = self._inputs(shown, texts[start : start + _BATCH], instruction)
            with torch.inference_mode():
                hidden = self.model(**inputs, use_cache=False).last_hidden_state
                last = inputs["attention_mask"].sum(dim=1) - 1
                parts.append(hidden[torch.arange(len(last)), last].float().cpu().numpy())
        return unit(np.concatenate(parts)) if parts else np.empty((0, self.dim), np.float32)

    def _inputs(self, pixels: Pixels | None, texts: Sequence[str], instruction: str) -> dict[str, Any]:
        """Make the model's input: the chat of each item, with its picture if there are pictures."""
        picture = "" if pixels is None else self.picture_marks
        opened = self.ids(f"<|im_start|>system\n{instruction}<|im_end|>\n<|im_start|>user\n{picture}")
        closed = self.ids("<|im_end|>\n<|im_start|>assistant\n")
        rows = [[*opened, *self.ids(text, plain=True)[:_MOST_TOKENS], *closed] for text in texts]
        return self.batch(rows, () if pixels is None else pixels)
