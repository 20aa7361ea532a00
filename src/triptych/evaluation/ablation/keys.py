"""Keys of the results of an ablation: hashes of everything that decides them."""

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

_READ = {".json", ".onnx", ".safetensors"}  # the files of an encoder's folder that decide its results


def digest_of(*parts: Any) -> str:
    """A short hash of JSON values, sets and paths."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=_plain).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def digest_of_encoder(encoder: Encoder) -> str:
    """A hash of everything in an encoder that mining and training depend on.

    Equal fingerprints only guarantee equal vectors. The words that the encoder can name, its temperature and trainable
    weights are in other files of its folder.
    """
    folder = getattr(encoder, "folder", None)
    files = sorted(file for file in folder.iterdir() if file.suffix in _READ) if folder else []
    return digest_of(encoder.fingerprint, {file.name: hash_file(file) for file in files})


def digest_of_queries(benchmark: str, root: Path, split: str) -> str:
    """A hash of a split's queries and answers and of its pictures' names. Errors of loading the split are passed on."""
    return digest_of([asdict(task) for task in load_tasks(benchmark, root, split)])


def with_contents(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as plain values. Paths are replaced by a hash of the file's content.

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
