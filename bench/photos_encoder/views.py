"""Augmented pixels of training photos."""

import torch
from torch import Tensor
from torch.nn import functional as F
from training_data import Photos


def affine(count: int, device: str, zoom: tuple[float, float], turn: float, shift: float) -> Tensor:
    """Random mirror, turn, zoom, stretch and shift, as `affine_grid` takes them."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, device=device) * (high - low) + low

    angle, scale, stretch = uniform(-turn, turn), 1 / uniform(*zoom), uniform(0.92, 1.08)
    mirror = uniform(0, 1).round() * 2 - 1
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0], matrix[:, 0, 1] = scale * stretch * angle.cos() * mirror, -scale * angle.sin() * mirror
    matrix[:, 1, 0], matrix[:, 1, 1] = scale * angle.sin(), scale / stretch * angle.cos()
    matrix[:, 0, 2], matrix[:, 1, 2] = uniform(-shift, shift), uniform(-shift, shift)
    return matrix


def warp(pixels: Tensor, matrix: Tensor) -> Tensor:
    grid = F.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)


def views(photos: Photos, rows: Tensor, paste: float, homes: Tensor) -> Tensor:
    """Augmented pixels: moved, lit otherwise, blurred, and product photos often cut out and laid on a home's floor."""
    device, count = photos.device, len(rows)
    pixels = photos.pixels[rows]
    large = photos.large_of[rows]
    use = (large >= 0) & (torch.rand(count, device=device) < 0.5)
    pixels = torch.where(use[:, None, None, None], photos.large[large.clamp(min=0)], pixels).float() / 255
    cut = photos.masked[rows] & (torch.rand(count, device=device) < paste)
    mask = torch.zeros(count, 1, *pixels.shape[-2:], device=device)
    if cut.any():
        mask[cut] = F.interpolate(photos.mask[rows[cut]][:, None].float(), size=pixels.shape[-2:], mode="bilinear")
    gentle, wild = affine(count, device, (0.9, 1.25), 0.12, 0.08), affine(count, device, (0.7, 1.2), 0.5, 0.2)
    matrix = torch.where(cut[:, None, None], wild, gentle)
    moved = warp(torch.cat([pixels - 1, mask], dim=1), matrix)  # zero is white
    image, mask = moved[:, :3] + 1, moved[:, 3:]
    if cut.any():
        places = homes[torch.randint(len(homes), (count,), device=device)]
        corner = affine(count, device, (2.2, 4.0), 0.5, 0.0)
        corner[:, :, 2] = (torch.randint(0, 2, (count, 2), device=device) * 2 - 1) * 0.5 + (
            torch.rand(count, 2, device=device) - 0.5
        ) * 0.3
        floor = warp(photos.pixels[places].float() / 255 - 1, corner) + 1
        flat = torch.rand(count, 3, 1, 1, device=device).expand_as(floor)
        floor = torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.2, flat, floor)
        image = torch.where(cut[:, None, None, None], image * mask + floor * (1 - mask), image)
    light = torch.rand(count, 1, 1, 1, device=device) * 0.4 + 0.8
    tint = torch.rand(count, 3, 1, 1, device=device) * 0.12 + 0.94
    image = image * light * tint + (torch.rand(count, 1, 1, 1, device=device) - 0.5) * 0.1
    blurred = F.interpolate(F.avg_pool2d(image, 2), size=image.shape[-2:], mode="bilinear")
    image = torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.25, blurred, image)
    return (image.clamp(0, 1) * 2 - 1).contiguous(memory_format=torch.channels_last)
