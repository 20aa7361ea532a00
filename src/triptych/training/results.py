"""Results of training."""

from dataclasses import dataclass

from triptych.composers.truth import Verdict


@dataclass(frozen=True)
class TrainResult:
    """The result of `train`."""

    triplets: int
    """How many triplets were trained on."""
    held_out: int
    """How many triplets are held out for validation. Their references were not trained on."""
    unusable: int
    """How many accepted triplets name pictures that are not in the catalog."""
    best_epoch: int
    """The epoch whose weights are kept, from 1."""
    held_out_recall: dict[str, float]
    """The mean loss of that epoch, and the composer's recall of held-out triplets' targets among the catalog, in
    percent. The agent made these triplets, too. So the recall shows how well the composer learnt the agent's triplets,
    not how well it answers people's queries."""
    held_out_sum_recall: dict[str, float]
    """The same recall of the best weighted sum, which needs no training, in percent."""
    verdict: Verdict | None
    """Whether the composer is better than the baselines, by queries with known answers; None without such queries."""
    seconds: float
    """Duration of this call."""


@dataclass(frozen=True)
class FinetuneResult(TrainResult):
    """The result of `finetune`."""

    pictures: int
    """How many pictures were trained on."""
    skipped: int
    """How many pictures could not be read."""
    trained_weights: int
    """How many parameters were trained."""
    kept: float
    """The mean cosine between pictures' new vectors and their previous ones."""


@dataclass(frozen=True)
class PretrainResult:
    """The result of `pretrain`."""

    start: str
    """The encoder that training started from, or `scratch`."""
    pairs: int
    """How many pairs of picture and caption could be used."""
    skipped: int
    """How many pictures could not be used."""
    parameters: int
    """How many parameters the encoder has."""
    words: int
    """How many words the encoder can name in a picture."""
    held_out: int
    """How many pairs were held out."""
    held_out_recall: dict[str, float]
    """R@1, R@5 and R@10 of captions that search their own picture among the held-out ones, in percent."""
    seconds: float
    """Duration of this call."""
    start_recall: dict[str, float] | None = None
    """The same recall of the encoder that training started from."""
    verdict: Verdict | None = None
    """Whether titles find their pictures more often than with that encoder; None if trained from scratch."""
    query_verdict: Verdict | None = None
    """Whether the sum of picture and words finds more than with that encoder, by queries with known answers; None
    without such queries."""


@dataclass(frozen=True)
class AdaptResult:
    """The result of `adapt_encoder`."""

    pictures: int
    """How many pictures were trained on."""
    skipped: int
    """How many pictures could not be used."""
    loss: float
    """The loss of the last step."""
    seconds: float
    """Duration of this call."""


@dataclass(frozen=True)
class InversionResult:
    """The result of `train_inversion`."""

    pictures: int
    """How many pictures of the catalog were used."""
    prompt: str
    """The default text before the modification."""
    loss: float
    """The mean loss of the last steps."""
    similarity: float
    """The mean cosine between a picture's vector and that of the prompt with the picture's pseudo-word."""
    seconds: float
    """Duration of this call."""
