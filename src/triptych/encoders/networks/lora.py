"""LoRA: a frozen linear map with a trainable correction of low rank."""

import torch
from torch import Tensor, nn

RANK = 8  # as in Hu et al. 2021 for RoBERTa
ALPHA = 16.0  # the correction is scaled by alpha / rank = 2; not tuned
_READS_WITH = ("q_proj", "k_proj", "v_proj", "out_proj")


class Lora(nn.Module):
    """`W x + b + (alpha / rank) B A x`. Only A and B are trained, and B starts as zero (Hu et al. 2021, section
    4.1)."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Linear(linear.in_features, rank, bias=False)
        self.up = nn.Linear(rank, linear.out_features, bias=False)
        self.scale = alpha / rank
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        corrected: Tensor = self.linear(x) + self.scale * self.up(self.down(x))
        return corrected

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The same map as one linear layer."""
        self.linear.weight += self.scale * self.up.weight @ self.down.weight
        return self.linear


def add_lora(model: nn.Module, rank: int = RANK, alpha: float = ALPHA) -> None:
    """Replace the four projections of each attention of a CLIP or SigLIP by LoRA, and freeze everything else."""
    model.requires_grad_(False)
    for attention in [module for module in model.modules() if hasattr(module, "q_proj")]:
        for name in _READS_WITH:
            setattr(attention, name, Lora(getattr(attention, name), rank, alpha))


def merge_lora(model: nn.Module) -> None:
    """Replace the layers of `add_lora` by merged linear layers, which compute the same and have the original layout."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Lora):
                setattr(parent, name, child.merged())
