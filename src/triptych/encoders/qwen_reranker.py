"""Qwen3-VL-Reranker in the Hugging Face layout: it scores how well a candidate answers a picture and a request.

Li et al., *Qwen3-VL-Embedding and Qwen3-VL-Reranker* (2026; Apache-2.0). The input is one turn of a
chat with query and candidate, in the authors' wording. The score is the probability of "yes" against "no" as the next
token. A Qwen3-VL that was trained for conversation has the same layout, and is used in the same way. As in `qwen_vl`,
every picture is padded to a square of one size, so scores are close to those of the authors' code, but not equal.
"""

from typing import Any

import numpy as np

from triptych.core.errors import DataError, UsageError
from triptych.core.vectors import Vectors
from triptych.encoders.huggingface_files import JOINT, family_of, locate_model
from triptych.encoders.protocol import Pixels
from triptych.encoders.qwen_vl import QwenVL, plain_text

RERANK_INSTRUCTION = "Find the picture that is like the given one but for what the text says."
"""The instruction. The authors recommend an instruction for each task."""

_TASK = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
_BATCH = 4  # candidates at once; each has two pictures
_OTHERWISE = "use a Qwen3-VL-Reranker or another Qwen3-VL, or serve the model and name it as chat:MODEL"


class QwenVLReranker(QwenVL):
    """The reranker `hf:FOLDER` or `hf:HUB_ID`. Arguments and errors are those of `QwenVL`.

    Raises:
        UsageError: also if the model is not a Qwen3-VL.
    """

    kind = "Qwen3VLForConditionalGeneration"
    instructions = RERANK_INSTRUCTION

    def __init__(self, name: str, threads: int | None = None, **how: Any) -> None:
        try:
            full, folder = locate_model(name, download=how.get("download", True))
            family = family_of(folder, full)
        except UsageError as error:
            raise UsageError(f"{error}; {_OTHERWISE}") from None
        if family != JOINT:
            raise UsageError(f"{full}: a {family} is no reranker; {_OTHERWISE}")
        super().__init__(name, threads, **how)
        words = [self.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no")]
        if None in words or self.tokenizer.unk_token_id in words:
            raise DataError(f"{self.name}: its tokenizer has no single tokens for yes and no; copy the model again")
        self._words = words

    def scores(self, reference: Pixels, wish: str, candidates: Pixels) -> tuple[Vectors, int]:
        """Score candidates.

        Args:
            reference: the reference's pixels `(3, side, side)`.
            wish: the text of the request.
            candidates: their pixels `(n, 3, side, side)`.

        Returns:
            The probability of "yes" for each candidate `(n,)`, and the input tokens of one candidate.
        """
        import torch

        wanted = plain_text(wish)
        row = self.ids(
            f"<|im_start|>system\n{_TASK}<|im_end|>\n<|im_start|>user\n<Instruct>: {RERANK_INSTRUCTION}<Query>:"
            f"{self.picture_marks}{wanted}\n<Document>:{self.picture_marks}<|im_end|>\n<|im_start|>assistant\n"
        )
        yes, no = self.model.lm_head.weight[self._words].float()
        found = []
        for start in range(0, len(candidates), _BATCH):
            some = candidates[start : start + _BATCH]
            pictures = [pixels for candidate in some for pixels in (reference, candidate)]
            with torch.inference_mode():
                hidden = self.model.model(**self.batch([row] * len(some), pictures), use_cache=False).last_hidden_state
                # Only these two logits are needed.
                found.append(torch.sigmoid(hidden[:, -1].float() @ (yes - no)).cpu().numpy())
        return np.concatenate(found), len(row)
