"""Libraries that are installed on request only, and the one line that says so where they are missing."""

from collections.abc import Mapping
from importlib.util import find_spec

from triptych.errors import UsageError

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "train": ("torch", "onnx", "onnxscript", "matplotlib"),
    "hf": ("torch", "transformers"),
    "chat": ("openai", "pydantic"),
    "serve": ("fastapi", "uvicorn", "python_multipart"),
    "postgres": ("psycopg",),
    "faiss": ("faiss",),
}
"""Extra to the modules without which it does nothing, as they are imported."""


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra] if find_spec(module) is None]


def need(extra: str, what: str) -> None:
    """Raise UsageError, which says how to install it, unless the extra that `what` needs is there."""
    if absent := missing(extra):
        raise UsageError(f"{what} needs {', '.join(absent)}: pip install 'triptych[{extra}]'")
