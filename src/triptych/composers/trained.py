"""A trained composer in a folder, which runs without torch."""

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from triptych.composers.baselines import WeightedSum
from triptych.composers.kept_sum import KeptSum
from triptych.composers.patches import Patches
from triptych.composers.protocol import ChangedWords
from triptych.composers.signed_texts import signed_vectors
from triptych.composers.truth import Verdict
from triptych.core.errors import DataError, MismatchError
from triptych.core.files import hash_file, read_json
from triptych.core.onnx_graph import Graph
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder, HasTokenIds, Ids, Pixels, ReportsReading, TextReading
from triptych.encoders.reading import mean_by_owner, parts_of_texts

FORMAT = "triptych-composer-1"
FORMAT_WITH_PATCHES = "triptych-composer-2"
"""The format of a composer that also reads the references' pixels, by the graph `patches.onnx`."""
FORMAT_WITH_PROMPTS = "triptych-composer-3"
"""The format of a composer whose texts begin with one of several prompts, in which the reference is a word."""
_FORMATS = (FORMAT, FORMAT_WITH_PATCHES, FORMAT_WITH_PROMPTS)
INSIDE = "{composer}"
"""Stands for the composer's own folder in an encoder's name, so that the folder can be moved."""


class TrainedComposer:
    """A composer folder that `train`, `finetune` or `train-inversion` wrote.

    Its encoder must be attached before it composes.

    Args:
        folder: the folder.
        threads: processor threads of its graphs.

    Raises:
        DataError: the folder holds no composer.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        config = read_json(folder / "config.json", "composer", "make one with `triptych train`")
        if not isinstance(config, Mapping) or config.get("format") not in _FORMATS:
            raise DataError(f"{folder}: not a composer of this version ({', '.join(_FORMATS)}); train again")
        self.folder = folder
        self.name: str = config["composer"]
        name: str = config["encoder"]["name"]
        self.encoder_name = name.replace(INSIDE, str(folder.resolve()))
        self._brings_encoder = INSIDE in name
        self.made_by: dict[str, Any] = config["made_by"]
        stored = config.get("verdict")
        self.verdict: Verdict | None = Verdict.from_json(stored) if stored else None
        self.encoder_fingerprint: str = config["encoder"]["fingerprint"]
        self._reads_tokens: bool = config["text_tower"]
        self.signed_texts: bool = config.get("signed_texts", False)
        """Whether what a modification excludes is subtracted; False for composers of older versions."""
        self._known_words = frozenset(config.get("words", ()))
        self._prompts: Mapping[str, Sequence[int]] = config.get("prompts", {})
        self.prompts: tuple[str, ...] = tuple(self._prompts)
        self.prompt: str | None = self.prompts[0] if self.prompts else None
        kept = config.get("kept_sum")
        self.kept_sum: KeptSum | None = KeptSum.from_json(kept) if kept else None
        """The weights of the encoder's sum and of the learnt vectors; None if only the learnt vectors are used."""
        has_patches = config["format"] == FORMAT_WITH_PATCHES
        self._patches = Graph(folder / "patches.onnx", threads) if has_patches else None
        self.reads_pixels: bool = has_patches and self._trust > 0
        self._query = Graph(folder / "query.onnx", threads)
        self._gallery = Graph(folder / "gallery.onnx", threads)
        learnt = self._gallery.width
        self.dim = self.kept_sum.dim_of(learnt) if self.kept_sum else learnt
        self._encoder: Encoder | None = None

    @property
    def _trust(self) -> float:
        return self.kept_sum.trust if self.kept_sum else 1.0

    def with_kept_sum(self, kept: KeptSum | None) -> Self:
        """The same composer with another weight of its learnt vectors; None for only the learnt vectors."""
        other = copy(self)
        other.__dict__.pop("gallery_fingerprint", None)
        other.kept_sum = kept
        other.reads_pixels = self._patches is not None and other._trust > 0
        learnt = self._gallery.width
        other.dim = kept.dim_of(learnt) if kept else learnt
        return other

    def with_prompt(self, prompt: str) -> Self:
        """The same composer with another of its `prompts`; by default it uses the first."""
        assert prompt in self._prompts, "the prompt must be one of the composer's prompts"
        other = copy(self)
        other.prompt = prompt
        return other

    @cached_property
    def gallery_fingerprint(self) -> str:
        """A fingerprint that is equal for equal functions `gallery`."""
        if self._trust == 0:
            return WeightedSum.gallery_fingerprint
        learnt = hash_file(self.folder / "gallery.onnx")
        return learnt if self._trust == 1 else f"{learnt} beside the encoder's"

    def attach(self, encoder: Encoder) -> None:
        """Set the encoder for texts.

        Raises:
            MismatchError: the composer was trained with another encoder.
        """
        if encoder.fingerprint != self.encoder_fingerprint:
            remedy = "use that encoder, or train again"
            if self._brings_encoder:
                remedy = (
                    f"run triptych index PICTURES --catalog NEW --encoder {self.encoder_name}, and use that catalog"
                )
            raise MismatchError(
                f"{self.folder}: was trained on encoder {self.encoder_name} ({self.encoder_fingerprint[:12]}), not on "
                f"{encoder.name} ({encoder.fingerprint[:12]}); {remedy}"
            )
        self._encoder = encoder

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
        patches: Patches | None = None,
    ) -> Vectors:
        """Compute query vectors `(n, e)`.

        Args:
            references: unit vectors `(n, d)` of the reference pictures.
            modifications: `n` texts.
            changes: ignored.
            patches: the output of `look` for the references, if the composer `reads_pixels`.
        """
        assert self._encoder is not None, "attach an encoder first"
        assert (patches is not None) == self.reads_pixels, "give patches if and only if the composer reads pixels"
        if self.kept_sum is None or self._trust == 1:
            return self._learnt(references, modifications, patches, None)
        texts = self.text_vectors(modifications)
        sums = self.kept_sum.sums(references, texts)
        if self._trust == 0:
            return sums
        return self.kept_sum.queries(sums, self._learnt(references, modifications, patches, texts))

    def _learnt(
        self, references: Vectors, modifications: Sequence[str], patches: Patches | None, texts: Vectors | None
    ) -> Vectors:
        """Compute the learnt query vectors. `texts` are the encoder's vectors of the modifications, if known."""
        assert self._encoder is not None, "attach an encoder first"
        more = () if patches is None else (patches,)
        if self._reads_tokens:
            assert isinstance(self._encoder, HasTokenIds), "its encoder has token ids, by the fingerprint"
            parts, owners = parts_of_texts(modifications, self.readings(modifications))
            ids = self._encoder.token_ids(parts)
            if self.prompt is not None:
                ids = _behind(self._prompts[self.prompt], ids, self._encoder.text_frame)
            queries = self._query(references[owners], ids, *(each[owners] for each in more))
            return mean_by_owner(queries, owners, len(modifications))
        known = self.text_vectors(modifications) if texts is None else texts
        return self._query(references, known, *more)

    def text_vectors(self, modifications: Sequence[str]) -> Vectors:
        """The encoder's vectors of modifications as this composer uses them: with exclusions subtracted, except in
        older composers."""
        assert self._encoder is not None, "attach an encoder first"
        if self.signed_texts:
            return signed_vectors(modifications, self._encoder.encode_texts)
        return self._encoder.encode_texts(modifications)

    def readings(self, texts: Sequence[str], *, reserved: int = 0, learnt: Collection[str] = ()) -> list[TextReading]:
        """See `ReportsReading.readings`. The composer's prompt takes room, and its text tower has learnt more words."""
        encoder: object = self._encoder
        if not isinstance(encoder, ReportsReading):
            return []
        prompt = len(self._prompts[self.prompt]) if self.prompt is not None else 0
        return encoder.readings(texts, reserved=reserved + prompt, learnt=self._known_words.union(learnt))

    def look(self, pixels: Pixels) -> Patches:
        """Compute what `compose` reads of references, from their prepared pixels `(n, 3, h, w)`."""
        assert self._patches is not None, "this composer reads no pixels"
        return self._patches(pixels).astype(np.float16, copy=False)

    def gallery(self, vectors: Vectors) -> Vectors:
        """Compute gallery vectors `(m, e)` in the space of the queries."""
        if self.kept_sum is None or self._trust == 1:
            return self._gallery(vectors)
        return vectors if self._trust == 0 else self.kept_sum.pictures(vectors, self._gallery(vectors))


def _behind(prompt: Sequence[int], ids: Ids, frame: tuple[int, int]) -> Ids:
    """Insert the prompt's ids before those of texts `(n, l)`, after the start token, truncated to the same length."""
    opening, closing = frame
    head = 1 if opening else 0
    kept = ids.shape[1] - len(prompt)
    prefix = np.tile(np.asarray(prompt, ids.dtype), (len(ids), 1))
    joined = np.concatenate([ids[:, :head], prefix, ids[:, head:kept]], axis=1)
    if opening:  # truncation may have removed the end token; ids after the first end token do not matter
        joined[:, -1] = closing
    return joined
