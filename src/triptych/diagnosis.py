"""`doctor`: what this machine can do."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from triptych.chat.settings import KEYS
from triptych.extras import EXTRAS, missing
from triptych.version import __version__

_PURPOSE = {
    "train": "train, pretrain, adapt, refine, invert, ablate, demo, export --int8",
    "hf": "encoders hf:NAME",
    "chat": "mine --reasoner chat:MODEL, search --rerank chat:MODEL",
    "serve": "serve",
    "postgres": "--store postgresql://…",
    "faiss": "--store hnsw, export --to faiss",
}


def doctor() -> dict[str, Any]:
    """What was found: versions, processor, memory, GPU, mixed precision, extras, endpoint. Measures nothing."""
    return {
        "triptych": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "onnxruntime": version("onnxruntime"),
        "processors": f"{os.cpu_count()} (--threads says how many are used)",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "disk free here": f"{shutil.disk_usage('.').free / 2**30:.1f} GiB",
        **_torch(),
        **{f"extra {extra}": _extra(extra) for extra in EXTRAS},
        "key of a chat model": "set" if any(map(os.environ.get, KEYS)) else f"none set ({' or '.join(KEYS)})",
    }


def _torch() -> dict[str, str]:
    """What training can use."""
    try:
        import torch
    except ImportError:
        return {"torch": "missing; searching and serving do without"}

    from triptych.device import best_device, fast_bfloat16

    device = best_device()
    return {
        "torch": version("torch"),
        "gpu": torch.cuda.get_device_name(0) if device.type == "cuda" else "none; everything runs on the processor",
        "bfloat16": "fast, and used in training" if fast_bfloat16(device) else "not fast here; float32 is used",
    }


def _extra(extra: str) -> str:
    if absent := missing(extra):
        return f"no {', '.join(absent)}; {_PURPOSE[extra]} would need: pip install 'triptych[{extra}]'"
    return ", ".join(f"{module} {_version(module)}" for module in EXTRAS[extra])


def _version(module: str) -> str:
    try:
        return version(module)
    except PackageNotFoundError:  # of a package with another name than its module
        return "present"
