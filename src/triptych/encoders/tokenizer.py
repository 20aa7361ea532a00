"""Tokenizers of encoder folders: reading, checking, and training one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.core.errors import DataError
from triptych.core.files import read_json
from triptych.core.text import truncate
from triptych.encoders.patterns import may_run_for_ever
from triptych.encoders.protocol import Ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST_WORDS = 600_000
"""The most entries of a vocabulary; the largest in use have about 260,000."""

_MOST_BYTES = 64 * 1024 * 1024  # the largest file of a tokenizer; the largest in use have about 35 MB


def read_tokenizer(folder: Path) -> "Tokenizer":
    """Read the tokenizer of an encoder folder.

    Raises:
        DataError: the file cannot be read, or has a pattern that could run forever.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    check_tokenizer(path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exceptions
        raise DataError(f"{path}: not a readable tokenizer ({error}); copy the folder again") from None
    words = tokenizer.get_vocab_size()
    if words > MOST_WORDS:
        raise DataError(f"{path}: the vocabulary has {words} words; at most {MOST_WORDS} are accepted")
    return tokenizer


def check_tokenizer(path: Path) -> None:
    """Check the file of a tokenizer, since a folder may be from a stranger. A missing file is reported by the reader.

    Raises:
        DataError: the file is very large, or has a pattern that could run forever.
    """
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise DataError(f"{path}: has {size} bytes; at most {_MOST_BYTES} are accepted")
        data = path.read_bytes()
    except OSError:
        return
    if b"Regex" not in data and b"\\u00" not in data:  # escapes could hide the word; most files need no parsing
        return
    left: list[Any] = [read_json(path, "tokenizer", "copy the folder again")]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            pattern = value.get("Regex")
            if isinstance(pattern, str) and may_run_for_ever(pattern):
                raise DataError(f"{path}: the pattern {truncate(pattern, 60)!r} could run forever; do not use the file")
        if isinstance(value, dict | list):
            inner = value.values() if isinstance(value, dict) else value
            left += [one for one in inner if isinstance(one, dict | list)]


def closed_ids(rows: Sequence[Sequence[int]], length: int, closing: int) -> Ids:
    """Token ids `(n, length)` of texts, padded with the end token, as CLIP's text tower reads them.

    Args:
        rows: each text's ids with its start and end tokens, at most `length`.
        length: the number of columns.
        closing: the end token.
    """
    ids = np.full((len(rows), length), closing, np.int64)
    for row, known in enumerate(rows):
        ids[row, : len(known)] = known
    return ids


def whole_tokenizer(folder: Path) -> "Tokenizer":
    """The tokenizer of a folder, without truncation and padding."""
    tokenizer = read_tokenizer(folder)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


_TEXTS = 4096  # texts tokenized at once, which bounds the memory


_UNKNOWN = 1  # the id of an unknown piece


FIRST_PIECE = 2  # 0 is padding, 1 the unknown token


def token_ids(
    tokenizer: "Tokenizer", texts: Sequence[str], length: int, closing: int = 0
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Encode texts as ids `(n, length)`, padded with zeros.

    A longer text is truncated. If the tokenizer ends every text with the id `closing`, a truncated text also ends with
    it. An empty text becomes one unknown token.
    """
    ids = np.zeros((len(texts), length), np.int64)
    # In blocks, since the tokenizer's result needs a hundred times the memory of the ids.
    for start in range(0, len(texts), _TEXTS):
        for row, encoding in enumerate(tokenizer.encode_batch(list(texts[start : start + _TEXTS])), start):
            # A text may contain the padding token's name, and attention over only padding is NaN.
            kept = [number for number in encoding.ids if number][:length] or [_UNKNOWN]
            ids[row, : len(kept)] = kept
            if closing and len(encoding.ids) > length:
                ids[row, -1] = closing
    return ids


def train_tokenizer(captions: list[str], vocabulary: int = 4096) -> "Tokenizer":
    """Train a lower-casing byte-pair tokenizer. Id 0 is padding. Unknown words are split into known pieces."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="[unk]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=3,
        special_tokens=["[pad]", "[unk]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    return tokenizer
