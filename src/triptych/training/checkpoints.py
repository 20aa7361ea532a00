"""The state of a training run in one safetensors file, so that a killed run goes on exactly where it stopped."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from triptych.core.errors import DataError, UsageError
from triptych.core.files import write_bytes
from triptych.training.settings import Settings


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    settings: Settings,
    **progress: Any,
) -> None:
    """Write weights, optimizer state, the run's settings and its progress."""
    tensors: dict[str, Tensor] = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    note = {"settings": json.dumps(settings, sort_keys=True), "progress": json.dumps(progress)}
    write_bytes(path, save({name: value.contiguous() for name, value in tensors.items()}, metadata=note))


def read_checkpoint(path: Path, settings: Settings) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a checkpoint's tensors and progress; None if there is no checkpoint.

    Raises:
        UsageError: the checkpoint was made with other settings.
        DataError: the checkpoint cannot be read.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as stored:
            note = stored.metadata()
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        stored_settings, progress = json.loads(note["settings"]), json.loads(note["progress"])
    except (OSError, SafetensorError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: the checkpoint cannot be read ({error}); delete it to start over") from None
    if not settings.agree_with(stored_settings):
        raise UsageError(
            f"{path.parent}: holds an unfinished run with other settings; finish it with those, or choose another --out"
        )
    return tensors, dict(progress)


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, settings: Settings
) -> dict[str, Any] | None:
    """Restore a run in place and return its progress; None if there is no checkpoint.

    Raises:
        UsageError: the checkpoint was made with other settings.
        DataError: the checkpoint cannot be read, or is of another architecture.
    """
    stored = read_checkpoint(path, settings)
    if stored is None:
        return None
    tensors, progress = stored
    own = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    try:
        model.load_state_dict(own)
    except RuntimeError:
        raise DataError(f"{path}: the checkpoint is of another architecture; delete it to start over") from None
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, moment = name.split(".")
            weight = weights[int(index)]
            # The state gets the memory layout of its weight: another layout would change the rounding of the next step.
            in_memory_order = torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value
            state.setdefault(int(index), {})[moment] = in_memory_order
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress
