"""CLIP's text tower with pseudo-words, made of the modules that transformers has loaded."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.encoders.protocol import SLOT


class ClipTextTower(nn.Module):
    """Maps token ids `(n, l)`, framed and padded at the end, to unit vectors `(n, dim)`.

    Where an id is SLOT, the row's own pseudo-word, an embedding of `words` `(n, width)`, takes the place of a token.
    CLIP looks only backwards and reads a text's vector at the id that closes it, so padding does not matter.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        # A copy: the hook below must not stay on the encoder's own.
        self.model = copy.deepcopy(model.text_model).float().cpu().eval()
        self.project = copy.deepcopy(model.text_projection).float().cpu()
        self._words: tuple[Tensor, Tensor] | None = None
        self.model.embeddings.token_embedding.register_forward_hook(self._put_words)

    def _put_words(self, _: nn.Module, __: Any, embeddings: Tensor) -> Tensor:
        if self._words is None:
            return embeddings
        slots, words = self._words
        return torch.where(slots.unsqueeze(-1), words.unsqueeze(1).to(embeddings.dtype), embeddings)

    def forward(self, ids: Tensor, words: Tensor | None = None) -> Tensor:
        """Unit vectors."""
        self._words = None if words is None else (ids == SLOT, words)
        hidden = self.model(input_ids=ids.clamp(min=0)).pooler_output
        self._words = None
        return F.normalize(self.project(hidden).float(), dim=-1)
