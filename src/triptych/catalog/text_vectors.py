"""Vectors of texts, stored in the catalog's folder for every command that encodes the same texts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from triptych.core.files import atomic
from triptych.core.progress import progress, say
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder

MOST = 20_000
"""The most texts in the file, about 40 MB. The most recently used are kept."""
_HELD = 50_000  # texts held in memory
_BLOCK = 256  # texts encoded at once
_SHOWN = 1024  # texts; encoding more takes long enough to show progress


class TextVectors:
    """Encodes each distinct text once. The vectors are kept in a file of the catalog once they are saved.

    The file is named by the encoder's fingerprint, `texts-<16 digits>.parquet`, and may be deleted at any time. If two
    commands write it at the same time, it is valid, but texts of one of them may have to be encoded again.
    """

    def __init__(self, folder: Path, encoder: Encoder, *, most: int = MOST) -> None:
        """Open the file.

        Args:
            folder: the catalog's folder.
            encoder: encodes texts.
            most: texts kept in the file.
        """
        self._file = folder / f"texts-{encoder.fingerprint[:16]}.parquet"
        self._encoder = encoder
        self._most = most
        self._known = self._read()
        self._saved = frozenset(self._known)
        self.encoded = 0
        """Texts that had to be encoded."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Vectors `(n, d)` of texts. Unknown texts are encoded."""
        wanted = dict.fromkeys(texts)
        new = [text for text in wanted if text not in self._known]
        starts = range(0, len(new), _BLOCK)
        for start in progress(starts, "texts", total=len(starts), unit=f"x{_BLOCK}") if len(new) > _SHOWN else starts:
            block = new[start : start + _BLOCK]
            self._known |= zip(block, self._encoder.encode_texts(block), strict=True)
        self.encoded += len(new)
        found = {text: self._known.pop(text) for text in wanted}
        self._known |= found  # last, so that they are kept longest
        self._forget(max(_HELD, self._most))
        if not texts:
            return np.empty((0, self._encoder.dim), np.float32)
        return np.stack([found[text] for text in texts]).astype(np.float32)

    def _read(self) -> dict[str, Vectors]:
        """The content of the file; empty if it is missing or cannot be read."""
        try:
            table = pq.read_table(self._file, columns=["text", "vector"])
            vectors = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            texts = table["text"].to_pylist()
            return dict(zip(texts, vectors.reshape(len(texts), self._encoder.dim), strict=True))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, pa.ArrowException):
            say(f"{self._file}: cannot be read; its texts are encoded again")
            return {}

    def save(self) -> None:
        """Write the file, if it lacks any encoded text."""
        self._forget(self._most)
        if self._saved.issuperset(self._known):
            return
        flat = pa.array(np.concatenate([*self._known.values()]).astype(np.float32))
        vectors = pa.FixedSizeListArray.from_arrays(flat, self._encoder.dim)
        table = pa.table({"text": pa.array([*self._known], pa.string()), "vector": vectors})
        try:
            with atomic(self._file) as temporary:
                pq.write_table(table, temporary, compression="zstd")
            self._saved = frozenset(self._known)
        except OSError as error:
            say(f"{self._file}: cannot be written ({error}); the texts are encoded again next time")

    def _forget(self, most: int) -> None:
        for text in list(self._known)[: max(0, len(self._known) - most)]:
            del self._known[text]
