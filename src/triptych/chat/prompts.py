"""Prompts: text files with a version, which a user can replace."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from triptych.core.errors import DataError

_OWN = Path(__file__).parent / "prompts"
_MOST_BYTES = 64 * 1024  # of a prompt file; the package's own have less than 2 KB


@dataclass(frozen=True)
class Prompts:
    """The three prompts, and a version that changes with any of them."""

    reason: str
    judge: str
    repair: str
    version: str


def load_prompts(folder: Path | None = None) -> Prompts:
    """Load the prompts of the package, or those that replace them.

    Args:
        folder: may hold reason.md, judge.md and repair.md, or some of them, and version.txt, which names its version.

    Raises:
        DataError: the folder holds no prompt, or a file cannot be read.
    """
    names = ("reason", "judge", "repair")
    if folder is not None and not any((folder / f"{name}.md").is_file() for name in names):
        raise DataError(f"{folder}: holds none of reason.md, judge.md and repair.md; copy one there to begin with")
    texts = {name: _read(folder, f"{name}.md") for name in names}
    declared = " ".join(_read(folder, "version.txt").split())[:20] if _has(folder, "version.txt") else "own"
    digest = hashlib.sha256("\0".join(texts.values()).encode()).hexdigest()
    return Prompts(**texts, version=f"{declared}-{digest[:12]}")


def fill(text: str, **values: object) -> str:
    """Replace each {name} in a text. Other braces stay, since a prompt may show JSON."""
    for name, value in values.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def _has(folder: Path | None, name: str) -> bool:
    return folder is None or (folder / name).is_file()


def _read(folder: Path | None, name: str) -> str:
    file = folder / name if folder is not None and _has(folder, name) else _OWN / name
    try:
        content = file.read_bytes()
        if len(content) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        return content.decode("utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not a readable prompt ({error})") from None
