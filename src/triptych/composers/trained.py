"""A trained composer on disk, run without torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from triptych.composers.protocol import Change, Patches
from triptych.encoders import Encoder, Pixels, ReadsWords, Vectors
from triptych.errors import DataError, MismatchError
from triptych.files import read_json
from triptych.graphs import Graph

FORMAT = "triptych-composer-1"
FORMAT_WITH_PATCHES = "triptych-composer-2"
"""Of a composer that reads the references' pixels too, by the graph `patches.onnx`."""
INSIDE = "{composer}"
"""In an encoder's name, the composer's own folder, which may be moved."""


class TrainedComposer:
    """A folder that `train` wrote. It must be attached to the encoder it was trained on before it composes.

    Raises DataError where `folder` holds no composer.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        config = read_json(folder / "config.json", "composer", "make one with `triptych train`")
        if not isinstance(config, Mapping) or config.get("format") not in (FORMAT, FORMAT_WITH_PATCHES):
            raise DataError(f"{folder}: not a composer of this version ({FORMAT_WITH_PATCHES}); train again")
        self.folder = folder
        self.name: str = config["composer"]
        name: str = config["encoder"]["name"]
        self.encoder_name = name.replace(INSIDE, str(folder.resolve()))
        self._brings_encoder = INSIDE in name
        self.made_by: dict[str, Any] = config["made_by"]
        self.fingerprint: str = config["encoder"]["fingerprint"]
        self._reads_tokens: bool = config["text_tower"]
        self.reads_pixels: bool = config["format"] == FORMAT_WITH_PATCHES
        self._patches = Graph(folder / "patches.onnx", threads) if self.reads_pixels else None
        self._query = Graph(folder / "query.onnx", threads)
        self._gallery = Graph(folder / "gallery.onnx", threads)
        self.dim = self._gallery.width
        self._encoder: Encoder | None = None

    def attach(self, encoder: Encoder) -> None:
        """Take the encoder for texts. Raises MismatchError unless the composer was trained on it."""
        if encoder.fingerprint != self.fingerprint:
            remedy = "use that encoder, or train again"
            if self._brings_encoder:
                remedy = (
                    f"run triptych index PICTURES --catalog NEW --encoder {self.encoder_name}, and use that catalog"
                )
            raise MismatchError(
                f"{self.folder}: trained on encoder {self.encoder_name} ({self.fingerprint[:12]}), not on "
                f"{encoder.name} ({encoder.fingerprint[:12]}); {remedy}"
            )
        self._encoder = encoder

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[Change | None] | None = None,
        patches: Patches | None = None,
    ) -> Vectors:
        """Query vectors `(n, e)`; `patches` of the references where it `reads_pixels`."""
        assert self._encoder is not None, "attach an encoder first"
        assert (patches is not None) == self.reads_pixels, "patches are for a composer that reads pixels, and needed"
        seen = () if patches is None else (patches,)
        if self._reads_tokens:
            assert isinstance(self._encoder, ReadsWords), "the fingerprint is of an encoder that gives tokens"
            return self._query(references, self._encoder.token_ids(modifications), *seen)
        return self._query(references, self._encoder.encode_texts(modifications), *seen)

    def look(self, pixels: Pixels) -> Patches:
        """What `compose` reads of references, from their pixels `(n, 3, h, w)` as the encoder prepares them."""
        assert self._patches is not None, "this composer reads no pixels"
        return self._patches(pixels).astype(np.float16, copy=False)

    def gallery(self, vectors: Vectors) -> Vectors:
        """Gallery vectors `(m, e)` in the space of the queries."""
        return self._gallery(vectors)
