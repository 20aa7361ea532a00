"""What every training loop shares."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor


_WEIGHT_DECAY = 0.05


def weight_groups(model: "torch.nn.Module") -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and the temperature do not."""
    weights = list(model.parameters())
    return [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": _WEIGHT_DECAY},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]


def learning_curve(step: int, steps: int) -> float:
    """The share of the peak rate at a step: a linear warm-up over 5 %, then half a cosine down to zero."""
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def batch_rows(count: int, batch: int, step: int, seed: int) -> "Tensor":
    """The rows of one step: each epoch shuffles anew and drops the incomplete last batch."""
    import torch

    epoch, position = divmod(step, count // batch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 7919 + epoch))
    return order[position * batch : (position + 1) * batch]
