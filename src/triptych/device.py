"""What the machine can compute with."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def best_device() -> "torch.device":
    """A CUDA GPU where there is one, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fast_bfloat16(device: "torch.device") -> bool:
    """Whether bfloat16 is faster than float32 there; on a CPU without the instructions it is far slower."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def mixed_precision(device: "torch.device") -> AbstractContextManager[Any]:
    """Autocast to bfloat16 where that pays, else nothing."""
    import torch

    if not fast_bfloat16(device):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
