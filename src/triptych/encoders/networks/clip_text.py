"""CLIP's text tower with pseudo-words, made from the modules of transformers."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.encoders.protocol import SLOT


class ClipTextTower(nn.Module):
    """Maps token ids `(n, l)`, with start and end tokens and padded at the end, to unit vectors `(n, dim)`.

    At the id SLOT, the row's pseudo-word, an embedding of `words` `(n, width)`, replaces the token's embedding. CLIP is
    causal and reads a text's vector at the end token, so padding has no effect.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        # A copy, since the hook below must not remain on the encoder's own module.
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
