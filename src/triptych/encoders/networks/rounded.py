"""A model whose matrices are stored in bfloat16, so that a processor need not round them for every batch."""

import copy
from typing import Any

import torch
from torch import nn


class RoundedPictureTower:
    """Keeps a copy of a CLIP or SigLIP for `get_image_features` under autocast, which then gives the same vectors.

    The copy shares everything with the model except the weights of linear maps and convolutions, which autocast would
    round to bfloat16 for every batch. It is made again after the weights have changed.
    """

    def __init__(self) -> None:
        self._made: tuple[tuple[Any, ...], Any] | None = None

    def of(self, model: nn.Module) -> Any:
        """The copy of a model."""
        layers = [
            module
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear | nn.Conv2d) and not name.startswith("text_model")
        ]
        weights = [weight for layer in layers for weight in layer.parameters(recurse=False)]
        state = (model.training, *((id(weight), weight._version) for weight in weights))
        if self._made is None or self._made[0] != state:
            shared: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
            for weight in weights:
                shared[id(weight)] = nn.Parameter(weight.detach().to(torch.bfloat16), requires_grad=False)
            self._made = state, copy.deepcopy(model, shared)
        return self._made[1]
