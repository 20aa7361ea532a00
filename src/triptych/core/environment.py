"""What this machine offers: installed extras, processor and GPU, keys in the environment; and `doctor`."""

import os
import platform
import re
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from triptych.core.errors import UsageError
from triptych.core.options import check_ranges, option
from triptych.core.version import __version__

if TYPE_CHECKING:
    import torch

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "train": ("torch", "onnx", "onnxscript", "matplotlib"),
    "hf": ("torch", "transformers"),
    "chat": ("httpx2", "pydantic"),
    "serve": ("fastapi", "uvicorn", "python_multipart", "prometheus_client"),
    "postgres": ("psycopg",),
    "faiss": ("faiss",),
    "heif": ("pillow_heif",),
    "hub": ("huggingface_hub",),
    "tensorboard": ("torch", "tensorboard"),
    "ray": ("ray",),
}
"""Extra to the modules without which it does nothing, as they are imported."""


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed."""
    return [module for module in EXTRAS[extra] if find_spec(module) is None]


def require_extra(extra: str, what: str) -> None:
    """Check that an extra is installed.

    Args:
        extra: its name, such as `train`.
        what: what needs it, for the message.

    Raises:
        UsageError: a module is missing; the message has the command that installs it.
    """
    if absent := missing(extra):
        raise UsageError(f"{what} needs {', '.join(absent)} (the extra {extra}): {install_command(extra)}")


def install_command(extra: str) -> str:
    """The command that installs the packages of an extra, for the way in which this program was installed.

    The command names the packages. `pip install 'triptych[…]'` would ask an index for this package, and might find
    another one of the same name.
    """
    try:
        declared = requires("triptych") or []
    except PackageNotFoundError:  # run from its source
        declared = []
    marked = [requirement.partition(";") for requirement in declared]
    wanted = [name.strip() for name, _, marker in marked if re.fullmatch(rf" *extra *== *[\"']{extra}[\"'] *", marker)]
    if not wanted:
        return f"pip install '.[{extra}]' in the program's own folder"
    return " ".join(["pip install", *(f'"{requirement}"' for requirement in wanted)])


KEYS = ("TRIPTYCH_API_KEY", "OPENAI_API_KEY")
"""Where the key of a chat model is: the first of these in the environment."""

JUDGE_KEYS = ("TRIPTYCH_JUDGE_API_KEY",)
"""The variable with the key of a judge at another address. The key of the first server is never sent to it."""


def launched_processes() -> int:
    """How many processes `torchrun` started for this run; 1 without `torchrun`."""
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "WORLD_SIZE"} <= os.environ.keys() else 1


def is_first_process() -> bool:
    """Whether this process writes files and messages. Of several that `torchrun` started, only the first does."""
    return launched_processes() == 1 or os.environ["RANK"] == "0"


def require_one_process(what: str) -> None:
    """Check that a command that runs in one process was not started several times by `torchrun`.

    Raises:
        UsageError: it was.
    """
    if launched_processes() > 1:
        raise UsageError(f"{what} runs in one process; of the commands that train, train and finetune take several")


@dataclass(frozen=True)
class Runtime:
    """What a run computes with. It changes how long a run takes, and its results only by rounding."""

    threads: int | None = option(None, "Processor threads; fewer can be faster on a busy machine.", min=1)
    device: str | None = option(None, "cpu, cuda or cuda:N; by default a GPU where there is one.", metavar="NAME")

    def __post_init__(self) -> None:
        check_ranges(self)

    def torch_device(self) -> "torch.device":
        """The torch device to compute on. Also sets torch's number of threads.

        Each of several processes that `torchrun` started on a machine gets its own GPU.

        Raises:
            UsageError: the device is not available.
        """
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)
        if self.device is None:
            return best_device()
        if self.device == "cuda" and launched_processes() > 1:
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        try:
            device = torch.device(self.device)
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"--device {self.device}: cannot be used ({str(error).splitlines()[0]})") from None
        return device


def best_device() -> "torch.device":
    """The default device: a CUDA GPU if there is one, else the CPU. Each of
    several processes gets the GPU of its number."""
    import torch

    if torch.cuda.is_available():
        return (
            torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
            if launched_processes() > 1
            else torch.device("cuda")
        )
    return torch.device("cpu")


def fast_bfloat16(device: "torch.device") -> bool:
    """Whether bfloat16 is faster than float32 on a device. On a CPU without the instructions it is much slower."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


PRECISIONS = ("auto", "float32", "bfloat16")
"""The precision of computation in training. Weights are always float32."""


def mixed_precision(device: "torch.device", precision: str = "auto") -> AbstractContextManager[Any]:
    """A context that computes in bfloat16, with `auto` only if that is faster on the device; else in float32."""
    import torch

    if precision == "float32" or (precision == "auto" and not fast_bfloat16(device)):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


_PURPOSE = {
    "train": "train, finetune, pretrain, adapt-encoder, train-inversion, refine, ablate, demo, export-models --int8",
    "hf": "encoders hf:NAME",
    "chat": "mine-chat MODEL, --rerank chat:MODEL, eval --method compile",
    "serve": "serve",
    "postgres": "--store postgresql://…",
    "faiss": "--store hnsw, --store disk, export-vectors --to faiss",
    "heif": "pictures in HEIC, as phones make them",
    "hub": "push and pull with hf:NAME",
    "tensorboard": "--tensorboard",
    "ray": "--engine ray",
}


def doctor() -> dict[str, Any]:
    """Report what this machine offers: versions, processor, memory, GPU, mixed precision, extras and chat endpoint.

    Nothing is measured, and no request is sent.
    """
    return {
        "triptych": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "onnxruntime": version("onnxruntime"),
        "processors": f"{os.cpu_count()} (--threads says how many are used)",
        "memory": _memory(),
        "disk free here": f"{shutil.disk_usage('.').free / 2**30:.1f} GiB",
        **_torch(),
        **{f"extra {extra}": _extra(extra) for extra in EXTRAS},
        "key of a chat model": "set" if any(map(os.environ.get, KEYS)) else f"none set ({' or '.join(KEYS)})",
    }


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (AttributeError, ValueError, OSError):  # not a Unix, or one without these names
        return "not known on this system"


def _torch() -> dict[str, str]:
    """The devices and precision that training can use."""
    try:
        import torch
    except ImportError:
        return {"torch": "missing; searching and serving do without"}

    device = best_device()
    return {
        "torch": version("torch"),
        "gpu": torch.cuda.get_device_name(0) if device.type == "cuda" else "none; everything runs on the processor",
        "bfloat16": "fast, and used in training" if fast_bfloat16(device) else "not fast here; float32 is used",
    }


def _extra(extra: str) -> str:
    if absent := missing(extra):
        return f"no {', '.join(absent)}; {_PURPOSE[extra]} would need: {install_command(extra)}"
    return ", ".join(f"{module} {_version(module)}" for module in EXTRAS[extra])


def _version(module: str) -> str:
    try:
        return version(module)
    except PackageNotFoundError:  # of a package with another name than its module
        return "present"
