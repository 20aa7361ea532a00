"""Random views of pictures for training."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def augment(pixels: "Tensor", random: "torch.Generator") -> "Tensor":
    """Mirror, crop, stretch and re-expose each picture at random. Hues are unchanged, since captions name colours."""
    import torch
    from torch.nn import functional as F

    count = len(pixels)

    def uniform(low: float, high: float, *shape: int) -> "Tensor":
        return (torch.rand(count, *shape, generator=random) * (high - low) + low).to(pixels.device)

    scale = uniform(0.75, 1.05, 1) * torch.cat([uniform(0.93, 1.07, 1), torch.ones(count, 1, device=pixels.device)], 1)
    mirror = uniform(0, 1).round() * 2 - 1
    transform = torch.zeros(count, 2, 3, device=pixels.device)
    transform[:, 0, 0] = scale[:, 0] * mirror
    transform[:, 1, 1] = scale[:, 1]
    transform[:, :, 2] = uniform(-1, 1, 2) * (1.1 - scale)
    grid = F.affine_grid(transform, list(pixels.shape), align_corners=False)
    # padding_mode="border" repeats the outermost pixels, which are background.
    views = F.grid_sample(pixels.float() / 127.5 - 1.0, grid, padding_mode="border", align_corners=False)
    views = views * uniform(0.85, 1.15, 1, 1, 1) + uniform(-0.1, 0.1, 1, 1, 1)
    return views.clamp(-1, 1).contiguous(memory_format=torch.channels_last)


_RECOLOURED = 0.8  # share of second views that are recoloured; SimCLR's probability of colour jitter


def recolour(pixels: "Tensor", random: "torch.Generator") -> "Tensor":
    """Recolour most of the pictures `(n, 3, h, w)`, in [-1, 1], except for white areas.

    Half of them get one tint in place of their own colours, with the same shading or sometimes with inverted shading.
    The others get another hue and brightness.
    """
    import torch

    def uniform(low: float, high: float, channels: int = 1) -> "Tensor":
        return (torch.rand(len(pixels), channels, 1, 1, generator=random) * (high - low) + low).to(pixels.device)

    # White counts as background and is not changed.
    item = ((1 - pixels.amin(dim=1, keepdim=True)) / 0.25).clamp(0, 1)
    luminance = torch.tensor([0.299, 0.587, 0.114], device=pixels.device).view(1, 3, 1, 1)
    grey = (pixels * luminance).sum(dim=1, keepdim=True)
    middle = (grey * item).sum((1, 2, 3), keepdim=True) / item.sum((1, 2, 3), keepdim=True).clamp(min=1)
    contrast = uniform(0.5, 1.5) * torch.where(uniform(0, 1) < 0.25, -1.0, 1.0)
    tinted = uniform(-1, 1, 3) + contrast * (grey - middle)
    angle = uniform(-np.pi, np.pi)
    chroma = pixels - grey
    across = (chroma.roll(1, dims=1) - chroma.roll(2, dims=1)) / 3**0.5
    turned = grey + (angle.cos() * chroma + angle.sin() * across) * uniform(0.2, 1.4) + uniform(-0.4, 0.4)
    changed = torch.where(uniform(0, 1) < 0.5, tinted, turned).clamp(-1, 1)
    share = item * (uniform(0, 1) < _RECOLOURED).float()
    return pixels * (1 - share) + changed * share
