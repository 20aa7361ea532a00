"""`doctor`: what this machine can do."""

import importlib.util
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from triptych.version import __version__

_EXTRAS = {
    "transformers": "hf: encoders (pip install triptych[hf])",
    "openai": "mine --reasoner chat:MODEL (pip install triptych[chat])",
}


def doctor() -> dict[str, Any]:
    """What was found: versions, processor, memory, GPU, mixed precision, extras, endpoint. Measures nothing."""
    import torch

    from triptych.device import best_device, fast_bfloat16

    device = best_device()
    gpu = torch.cuda.get_device_name(0) if device.type == "cuda" else "none; everything runs on the processor"
    return {
        "triptych": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "torch": version("torch"),
        "onnxruntime": version("onnxruntime"),
        "processors": os.cpu_count(),
        "threads": f"{torch.get_num_threads()} (change with --threads)",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "disk free here": f"{shutil.disk_usage('.').free / 2**30:.1f} GiB",
        "gpu": gpu,
        "bfloat16": "fast, and used in training" if fast_bfloat16(device) else "not fast here; float32 is used",
        **{name: _extra(name, purpose) for name, purpose in _EXTRAS.items()},
        # Only the chat reasoner will talk to an endpoint; a key's presence is told, never the key.
        "endpoint": os.environ.get("OPENAI_BASE_URL", "none set (OPENAI_BASE_URL); nothing leaves this machine"),
    }


def _extra(package: str, purpose: str) -> str:
    if importlib.util.find_spec(package) is None:
        return f"missing; needed for {purpose}"
    try:
        return version(package)
    except PackageNotFoundError:
        return "present"
