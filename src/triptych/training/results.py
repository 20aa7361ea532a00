"""Results of training."""

from dataclasses import dataclass

from triptych.composers.truth import Verdict


@dataclass(frozen=True)
class TrainResult:
    """The result of `train`."""

    triplets: int
    """How many it learnt from."""
    held_out: int
    """How many triplets it was validated on, of references that it did not learn from."""
    unusable: int
    """How many accepted triplets name pictures that the catalog lacks."""
    best_epoch: int
    """The epoch whose weights are kept, from 1."""
    held_out_recall: dict[str, float]
    """The mean loss of that epoch, and the composer's recall of held-out triplets' targets among the catalog, in
    percent. The agent that made what it learnt from made these, too: it says how well the composer learnt the agent's
    triplets, and nothing of what people ask."""
    held_out_sum_recall: dict[str, float]
    """The same of the best weighted sum, which needs no training, in percent."""
    verdict: Verdict | None
    """Whether the composer is better than what needs no training, by queries with known answers; None without such."""
    seconds: float
    """How long this call took."""


@dataclass(frozen=True)
class FinetuneResult(TrainResult):
    """The result of `finetune`."""

    pictures: int
    """How many it learnt from."""
    skipped: int
    """How many could not be read."""
    trained_weights: int
    """How many numbers were learnt."""
    kept: float
    """The mean cosine of pictures' vectors to what they were before."""


@dataclass(frozen=True)
class PretrainResult:
    """The result of `pretrain`."""

    start: str
    """The encoder that it went on with, or `scratch`."""
    pairs: int
    """How many pairs of picture and caption could be used."""
    skipped: int
    """How many pictures could not."""
    parameters: int
    """How many numbers the encoder has."""
    words: int
    """How many words it can name in a picture."""
    held_out: int
    """How many pairs it did not learn from."""
    held_out_recall: dict[str, float]
    """How often a caption's own picture is among the first of these, in percent."""
    seconds: float
    """How long this call took."""
    start_recall: dict[str, float] | None = None
    """The same of the encoder that it went on with."""
    verdict: Verdict | None = None
    """Whether titles find their pictures more often than with that encoder; None from scratch."""
    query_verdict: Verdict | None = None
    """Whether picture and words added find more than with it, by queries with known answers; None without such."""


@dataclass(frozen=True)
class AdaptResult:
    """The result of `adapt_encoder`."""

    pictures: int
    """How many it learnt from."""
    skipped: int
    """How many could not be used."""
    loss: float
    """The loss of the last step."""
    seconds: float
    """How long this call took."""


@dataclass(frozen=True)
class InversionResult:
    """The result of `train_inversion`."""

    pictures: int
    """How many pictures of the catalog it took."""
    prompt: str
    """What stands before the modification unless another prompt is chosen."""
    loss: float
    """The mean loss of the last steps."""
    similarity: float
    """The mean cosine between a picture and the vector of the prompt with its pseudo-word."""
    seconds: float
    """How long this call took."""
