"""Keys of what an ablation made: hashes of everything that decides it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from triptych.benchmarks.registry import load_tasks
from triptych.core.errors import UsageError
from triptych.core.files import as_json, hash_file
from triptych.encoders.protocol import Encoder

_READ = {".json", ".onnx", ".safetensors"}  # what an encoder's folder holds of it, besides pictures for people


def digest_of(*parts: Any) -> str:
    """A short hash of JSON values, sets and paths."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=_plain).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def digest_of_encoder(encoder: Encoder) -> str:
    """A hash of everything that mining and training take from an encoder.

    A fingerprint only promises equal vectors. The words that the encoder can name, its temperature, and the weights
    that are trained along are files of its folder.
    """
    folder = getattr(encoder, "folder", None)
    files = sorted(file for file in folder.iterdir() if file.suffix in _READ) if folder else []
    return digest_of(encoder.fingerprint, {file.name: hash_file(file) for file in files})


def digest_of_queries(benchmark: str, root: Path, split: str) -> str:
    """A hash of a split's queries, its answers, and the names of its pictures. Raises what loading them raises."""
    return digest_of([asdict(task) for task in load_tasks(benchmark, root, split)])


def with_contents(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as plain values, with the content of a file in place of its name.

    Raises:
        UsageError: there is no such file.
    """
    content = as_json(options)
    for option in ("vocabulary", "refined"):
        if path := options.get(option):
            if not Path(path).is_file():
                raise UsageError(f"{option} {path}: there is no such file")
            content[option] = hash_file(Path(path))
    return content
