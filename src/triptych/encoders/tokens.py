"""A tokenizer read from an encoder folder."""

from pathlib import Path
from typing import TYPE_CHECKING

from triptych.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def read_tokenizer(folder: Path) -> "Tokenizer":
    """The tokenizer of an encoder folder. Raises DataError where it cannot be read."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # what it raises is a bare Exception
        raise DataError(f"{path}: not a readable tokenizer ({error}); copy the folder again") from None
