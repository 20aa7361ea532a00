"""The learner of `pretrain --from scratch`: a contrastive loss over pairs, and a head that predicts caption words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from triptych.core.environment import mixed_precision
from triptych.encoders.lexicon import terms_of
from triptych.encoders.native import normalise
from triptych.encoders.networks.dual_encoder import DualEncoder, EncoderShape, WordHead
from triptych.encoders.tokenizer import token_ids
from triptych.training.data.augmentation import augment
from triptych.training.data.pairs import CaptionedPictures
from triptych.training.loop import Learner, LoopOptions, batch_rows, weight_groups
from triptych.training.options import PretrainOptions

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PEAK_RATE = 1.5e-3  # of AdamW; no search for a better one is recorded
_BETAS = (0.9, 0.98)  # as for CLIP's vision transformers (Radford et al. 2021)
_CHECKPOINT_STEPS = 100  # steps between checkpoints
_WORDS_SHARE = 0.05  # weight of the word prediction beside the contrastive loss; not tuned


@dataclass(frozen=True)
class PairTensors:
    """Pairs of picture and caption as tensors."""

    pixels: Tensor
    """Bytes `(n, 3, size, size)`."""
    ids: Tensor
    """Token ids `(n, length)` of each pair's caption."""
    caption_of: Tensor
    """The number of each pair's caption `(n,)`; equal captions have the same number."""
    terms: Tensor
    """Whether each caption contains each term, `(n, terms)`."""


class PretrainingLearner(Learner):
    """Symmetric InfoNCE between pictures and captions, and for each picture a prediction of its caption's words.

    Args:
        model: the encoder.
        words: predicts the terms.
        pairs: the training data.
        rows: the rows of the pairs to train on.
        options: how to train.
        device: where to train.
    """

    name = "pretrain"

    def __init__(
        self,
        model: DualEncoder,
        words: WordHead,
        pairs: PairTensors,
        rows: Tensor,
        options: PretrainOptions,
        device: torch.device,
    ) -> None:
        self.model, self.words = model, words
        self.module = torch.nn.ModuleDict({"encoder": model, "words": words})
        self.optimizer = torch.optim.AdamW(weight_groups(self.module, _PEAK_RATE), lr=_PEAK_RATE, betas=_BETAS)
        self.pairs, self.rows = pairs, rows
        # An epoch has at least two batches, even with few pairs.
        few = len(rows) < 2 * options.batch_size
        self.batch_size, self.seed = max(2, len(rows) // 2) if few else options.batch_size, options.seed
        assert options.epochs
        steps = options.epochs * (len(rows) // self.batch_size)
        self.loop = LoopOptions(steps, seed=options.seed, checkpoint_every=_CHECKPOINT_STEPS)
        self.device = device

    def step(self, step: int) -> list[float]:
        """Compute the loss: pictures and captions find each other, and each picture's words are predicted."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        rows = self.rows[batch_rows(len(self.rows), self.batch_size, step, self.seed)]
        views = augment(self.pairs.pixels[rows].to(self.device), random)
        with mixed_precision(self.device):
            pictures = self.model.picture(views)
            texts = self.model.text(self.pairs.ids[rows].to(self.device))
        loss = pair_loss(pictures, texts, self.model.scale, self.pairs.caption_of[rows].to(self.device))
        loss = loss + _WORDS_SHARE * self.words.loss(pictures, self.pairs.terms[rows].to(self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        return [loss.item()]


def build_learner(
    pairs: CaptionedPictures,
    tokenizer: "Tokenizer",
    terms: list[str],
    rows: Tensor,
    options: PretrainOptions,
    device: torch.device,
) -> PretrainingLearner:
    """Make a new encoder with a head that predicts the `terms`, to train on some `rows` of the pairs."""
    assert options.size
    assert options.width
    shape = EncoderShape(size=options.size, width=options.width, vocabulary=tokenizer.get_vocab_size())
    ids, said = token_ids(tokenizer, pairs.captions, shape.length), _terms_said(pairs.captions, terms)
    tensors = PairTensors(*map(torch.from_numpy, (pairs.pixels, ids, pairs.caption_of, said)))
    torch.manual_seed(options.seed)
    model = DualEncoder(shape).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    words = WordHead(shape.dim, tensors.terms.float().mean(dim=0)).to(device)
    return PretrainingLearner(model, words, tensors, rows, options, device)


def _terms_said(captions: list[str], terms: list[str]) -> NDArray[np.bool_]:
    """Whether each caption contains each term, `(captions, terms)`."""
    column = {term: number for number, term in enumerate(terms)}
    said = np.zeros((len(captions), len(terms)), np.bool_)
    for row, caption in enumerate(captions):
        said[row, [column[term] for term in terms_of(caption) if term in column]] = True
    return said


def pair_loss(pictures: Tensor, texts: Tensor, scale: Tensor, caption_of: Tensor) -> Tensor:
    """Symmetric InfoNCE over a batch of matching vectors `(n, d)`. Equal captions are not negatives of each other."""
    logits = scale * pictures @ texts.T
    same = caption_of[:, None] == caption_of[None, :]
    same.fill_diagonal_(False)
    logits = logits.masked_fill(same, float("-inf"))
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def recall_of_pairs(learner: PretrainingLearner, rows: Tensor) -> dict[str, float]:
    """The share of captions whose own picture is among the first k of these rows, in percent."""
    model, pixels, ids = learner.model.eval(), learner.pairs.pixels[rows], learner.pairs.ids[rows]
    with torch.inference_mode():
        pictures = torch.cat(
            [
                model.picture(torch.from_numpy(normalise(block.numpy())).to(learner.device))
                for block in torch.split(pixels, 256)
            ]
        )
        texts = torch.cat([model.text(block.to(learner.device)) for block in torch.split(ids, 256)])
    scores = texts @ pictures.T
    rank = (scores > scores.diagonal()[:, None]).sum(dim=1) + 1
    return {f"R@{k}": round(100 * (rank <= k).float().mean().item(), 2) for k in (1, 5, 10)}
