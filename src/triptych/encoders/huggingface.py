"""CLIP and SigLIP in the Hugging Face layout, run by transformers (extra `hf`).

Pictures go through the processors that need only Pillow. Weights are safetensors, and no remote code runs. In
transformers, a SigLIP 2 of fixed resolution is a SigLIP (`model_type` siglip) with another tokenizer.
"""

import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from triptych.core.environment import Runtime, fast_bfloat16, mixed_precision, require_extra
from triptych.core.errors import DataError, UsageError
from triptych.core.vectors import Vectors, unit
from triptych.encoders.huggingface_files import (
    CLIP_LIKE,
    FAMILIES,
    JOINT,
    PREPROCESSORS,
    Precision,
    blaming,
    family_of,
    fingerprint_of,
    locate_model,
    quiet,
    setting_files,
    weight_files,
)
from triptych.encoders.pixel_table import PixelTable, prepared, table_from
from triptych.encoders.protocol import Ids, Pixels, TextReading
from triptych.encoders.reading import TextReader
from triptych.encoders.tokenizer import check_tokenizer, closed_ids

if TYPE_CHECKING:
    from torch import nn

    from triptych.encoders.networks.rounded import RoundedPictureTower
    from triptych.encoders.qwen_vl import QwenVLEncoder

TEXT_BATCH = 64


class HuggingFaceEncoder:
    """The encoder `hf:FOLDER`, `hf:HUB_ID` or `hf:HUB_ID@REVISION`, on the GPU if there is one.

    Args:
        name: the name as above.
        threads: torch's threads, for the whole process.
        device: what to compute on, such as `cuda:1`.
        precision: `auto` computes in bfloat16 if the hardware is fast at it, so vectors of different machines differ by
            its rounding. `float32` gives the vectors of transformers.
        download: whether a hub id may be downloaded; otherwise only the local cache is read.

    Raises:
        UsageError: the extra `hf` is missing, the model is not supported, or a hub id is not in the cache and may not
            be downloaded.
        FailureError: a hub id cannot be downloaded.
        DataError: a file is missing or damaged.
    """

    def __init__(
        self,
        name: str,
        threads: int | None = None,
        *,
        device: str | None = None,
        precision: Precision = "auto",
        download: bool = True,
    ) -> None:
        require_extra("hf", name)
        import torch

        self.name, self.folder = locate_model(name, download=download)
        folder = self.folder
        self._family = family_of(folder, self.name)
        if self._family == JOINT:
            raise UsageError(f"{self.name}: use load_encoder to open a qwen3_vl")
        files = [*setting_files(folder, self.name), *weight_files(folder, self.name)]
        self.fingerprint = fingerprint_of(files, precision)
        if threads is not None:
            torch.set_num_threads(threads)
        check_tokenizer(folder / "tokenizer.json")
        model, self._processor, self.tokenizer = _load(folder, self.name, self._family)
        config = model.config
        self.dim: int = config.projection_dim if self._family in CLIP_LIKE else config.vision_config.hidden_size
        self.logit_scale = float(model.logit_scale.detach().exp())
        self.lexicon = None
        self.instance_dim = 0
        self._length: int = config.text_config.max_position_embeddings
        self._precision = precision
        self._device = Runtime(device=device).torch_device()
        self._picture_batch = 16 if self._device.type == "cpu" else 256
        self.model = model.eval().to(self._device)
        self._rounded = _rounded_picture_tower()

    def prepare(self, picture: Image.Image) -> Pixels:
        """Pixels `(3, h, w)` of a picture, as the model's own processor makes them."""
        if self._table is None or picture.mode != "RGB":
            return _pixels(self._processor, picture)
        settings, table = self._table
        return prepared(picture, settings, table)

    @cached_property
    def _table(self) -> tuple[dict[str, Any], PixelTable] | None:
        """The processor's settings and what it makes of each colour value; None if it does more than that."""
        try:
            settings, _ = self.preprocessing()
        except UsageError:
            return None
        table = table_from(partial(_pixels, self._processor), settings)
        return None if table is None else (settings, table)

    def encode_pictures(self, pixels: Pixels) -> Vectors:
        """Vectors `(n, d)` of pixels `(n, 3, h, w)`."""
        import torch

        batches = (
            {"pixel_values": torch.from_numpy(np.array(pixels[start : start + self._picture_batch]))}
            for start in range(0, len(pixels), self._picture_batch)
        )
        return self._vectors(self._picture_model.get_image_features, batches)

    @property
    def _picture_model(self) -> Any:
        """The model, on a processor with its matrices rounded once, if they are to be rounded at all."""
        if self._precision != "auto" or self._device.type != "cpu" or not fast_bfloat16(self._device):
            return self.model
        return self._rounded.of(self.model)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors `(n, d)` of texts. Each distinct text is encoded once. A too long text is encoded in parts."""
        # Sorted by length, so that little of a batch is padding.
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        vectors = self._text_reader.encode_whole(distinct, self._encode)
        row = {text: index for index, text in enumerate(distinct)}
        return vectors[np.array([row[text] for text in texts], np.intp)]

    def _encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts, truncated to the length that the text tower reads."""
        starts = range(0, len(texts), TEXT_BATCH)
        batches = (self.tokens(texts[start : start + TEXT_BATCH]) for start in starts)
        return self._vectors(self.model.get_text_features, batches)

    def readings(self, texts: Sequence[str], *, reserved: int = 0, learnt: Collection[str] = ()) -> list[TextReading]:
        """`ReportsReading.readings`."""
        return self._text_reader.readings(texts, reserved=reserved, learnt=learnt)

    @cached_property
    def _text_reader(self) -> TextReader:
        return TextReader.of(self.folder, self._length, lower=self._family == "siglip")

    @property
    def word_width(self) -> int:
        """The length of a token's embedding."""
        return int(self.model.config.text_config.hidden_size)

    @property
    def text_frame(self) -> tuple[int, int]:
        """The start and end token ids of every text."""
        self._require_clip()
        opening, closing = self.tokenizer("")["input_ids"]
        return opening, closing

    def token_ids(self, texts: Sequence[str]) -> Ids:
        """Token ids `(n, length)` for CLIP's text tower, padded with the end token."""
        _, closing = self.text_frame
        # The tokenizer refuses an empty list.
        rows = self.tokenizer(list(texts), truncation=True, max_length=self._length)["input_ids"] if texts else []
        return closed_ids(rows, self._length, closing)

    def text_tower(self) -> "nn.Module":
        """CLIP's text tower as a torch module that also accepts pseudo-words.

        Raises:
            UsageError: the model is a SigLIP.
        """
        self._require_clip()
        from triptych.encoders.networks.clip_text import ClipTextTower

        return ClipTextTower(self.model)

    @property
    def has_clip_text_tower(self) -> bool:
        """Whether `text_tower` is possible."""
        return self._family == "clip"

    def _require_clip(self) -> None:
        if not self.has_clip_text_tower:
            raise UsageError(f"{self.name}: pseudo-words need an encoder of `pretrain` or a CLIP, not {self._family}")

    def tokens(self, texts: Sequence[str]) -> dict[str, Any]:
        """The input of the text tower.

        SigLIP was trained on lower-case texts, padded to full length, without an attention mask. Tokenizers of some
        SigLIP 2 checkpoints keep the case, so texts are lower-cased here.
        """
        cut = {"truncation": True, "max_length": self._length, "return_tensors": "pt"}
        if self._family == "siglip":
            lowered = [text.lower() for text in texts]
            return {"input_ids": self.tokenizer(lowered, padding="max_length", **cut)["input_ids"]}
        tokens = self.tokenizer(list(texts), padding="longest", **cut)
        return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}

    def preprocessing(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings for preparing pictures and texts without transformers, for export.

        Raises:
            UsageError: the model's processor has settings that cannot be exported.
        """
        processor = self._processor
        if not (processor.do_resize and processor.do_rescale and processor.do_normalize) or processor.do_pad:
            raise UsageError(f"{self.name}: the settings of its image processor cannot be exported")
        size = processor.size.shortest_edge or [processor.size.width, processor.size.height]
        if size == [None, None] or processor.size.longest_edge:
            raise UsageError(f"{self.name}: the way in which its image processor resizes cannot be exported")
        pictures = {
            "size": size,
            "resample": int(processor.resample),
            "crop": [processor.crop_size.width, processor.crop_size.height] if processor.do_center_crop else None,
            "scale": processor.rescale_factor,
            "mean": list(processor.image_mean),
            "std": list(processor.image_std),
        }
        texts = {
            "length": self._length,
            "padded": self._family == "siglip",
            "lower": self._family == "siglip",
            "pad_id": self.tokenizer.pad_token_id,
            "pad_token": self.tokenizer.pad_token,
        }
        return pictures, texts

    def save(self, model: Any, folder: Path) -> None:
        """Write a fine-tuned copy of the model in the same layout, with its processor and tokenizer."""
        with quiet():
            model.save_pretrained(folder)
        for path in setting_files(self.folder, self.name):
            if path.name != "config.json":
                shutil.copyfile(path, folder / path.name)

    def towers(self) -> "tuple[nn.Module, nn.Module]":
        """Torch modules from pixels `(n, 3, h, w)`, and from padded token ids `(n, l)`, to unit vectors `(n, d)`.

        No padding mask is needed. A CLIP text tower is causal and is read at the end token; a SigLIP was trained
        without a mask.
        """
        from torch import nn

        class Tower(nn.Module):
            def __init__(self, model: nn.Module, kind: str, reads: str) -> None:
                super().__init__()
                self.model, self.kind, self.reads = model, kind, reads

            def forward(self, values: Any) -> Any:
                features = getattr(self.model, f"get_{self.kind}_features")(**{self.reads: values})
                return nn.functional.normalize(features.pooler_output.float(), dim=-1)

        return Tower(self.model, "image", "pixel_values"), Tower(self.model, "text", "input_ids")

    def _vectors(self, features: Callable[..., Any], batches: Iterable[dict[str, Any]]) -> Vectors:
        import torch

        rounding = mixed_precision(self._device) if self._precision == "auto" else nullcontext()
        with torch.inference_mode(), rounding:
            parts = [
                features(**{key: tensor.to(self._device) for key, tensor in batch.items()}).pooler_output
                for batch in batches
            ]
        if not parts:
            return np.empty((0, self.dim), np.float32)
        return unit(torch.cat(parts).float().cpu().numpy())


def _load(folder: Path, name: str, family: str) -> tuple[Any, Any, Any]:
    """Load model, picture processor and tokenizer, and check that they are complete and fit together."""
    import torch
    import transformers

    model_class, processor_class = (getattr(transformers, kind) for kind in FAMILIES[family])
    with quiet(), blaming(name):
        model, report = model_class.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
        processor = processor_class.from_pretrained(folder, local_files_only=True)
        # This class reads tokenizer.json unchanged, while the classes of the families rebuild it from its parts.
        tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        made = _pixels(processor, Image.new("RGB", (48, 32))).shape[1:]
        read = tuple(np.broadcast_to(model.config.vision_config.image_size, 2).tolist())
    # transformers initialises missing weights at random, with only a warning.
    if missing := sorted(report["missing_keys"]):
        raise DataError(f"{name}: the weights lack {missing[0]}; copy the model again")
    if made != read:
        raise DataError(
            f"{name}: the image processor makes pictures of {made}, but the model reads {read};"
            f" take config.json and {PREPROCESSORS[0]} from the same model"
        )
    if tokenizer.pad_token_id is None:
        raise DataError(f"{name}: tokenizer_config.json names no pad_token; copy the model's own")
    return model, processor, tokenizer


def _rounded_picture_tower() -> "RoundedPictureTower":
    from triptych.encoders.networks.rounded import RoundedPictureTower

    return RoundedPictureTower()


def _pixels(processor: Any, picture: Image.Image) -> Pixels:
    return np.asarray(processor(picture, return_tensors="np")["pixel_values"][0], np.float32)


class ClipQueryEncoder(HuggingFaceEncoder):
    """A CLIP, or a model with its interface, with the joint query of BGE-VL: the sum of picture and text features.

    The features are added before normalisation (Zhou et al., *MegaPairs*, ACL 2025; BGE-VL-base and -large are CLIPs
    trained in this way). With another CLIP it is a baseline.
    """

    def encode_queries(self, pixels: Pixels, texts: Sequence[str]) -> Vectors:
        """See `EncodesQueries.encode_queries`. Texts are truncated to the length that the tower reads."""
        import torch

        rows = range(0, len(texts), self._picture_batch)
        parts = []
        for start in rows:
            part = slice(start, start + self._picture_batch)
            shown = {"pixel_values": torch.from_numpy(np.array(pixels[part]))}
            picture = self._features(self.model.get_image_features, shown)
            parts.append(picture + self._features(self.model.get_text_features, self.tokens(texts[part])))
        return unit(np.concatenate(parts)) if parts else np.empty((0, self.dim), np.float32)

    def _features(self, features: Callable[..., Any], batch: dict[str, Any]) -> Any:
        import torch

        with torch.inference_mode():
            found = features(**{key: tensor.to(self._device) for key, tensor in batch.items()}).pooler_output
        return found.float().cpu().numpy()


def load_hugging_face(
    name: str, threads: int | None = None, *, device: str | None = None, download: bool = True
) -> "HuggingFaceEncoder | QwenVLEncoder":
    """Load the encoder of a folder or hub id, in the class for its configuration. Raises the errors of the class."""
    require_extra("hf", name)
    _, folder = locate_model(name, download=download)
    family = family_of(folder, name)
    if family == JOINT:
        from triptych.encoders.qwen_vl import QwenVLEncoder

        return QwenVLEncoder(name, threads, device=device, download=download)
    kind = ClipQueryEncoder if family in CLIP_LIKE else HuggingFaceEncoder
    return kind(name, threads, device=device, download=download)
