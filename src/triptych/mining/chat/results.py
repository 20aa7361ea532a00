"""Results of mining with a chat model."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ChatMineResult:
    """The progress of `mine_chat`, over all runs into one file."""

    accepted: int
    """Accepted triplets."""
    refused: int
    """Refused triplets."""
    reasons: Mapping[str, int]
    """Why triplets were refused, the most frequent reason first."""
    references: int
    """Reference pictures to ask about."""
    references_accepted: int
    """References with an accepted triplet."""
    references_rejected: int
    """References without one."""
    rejected_because: Mapping[str, int]
    """Why references were rejected, the most frequent reason first."""
    pending: int
    """References left for the next run."""
    pending_because: Mapping[str, int]
    """Why references are pending, by the servers' messages, with their numbers;
    empty if they were not asked about yet."""
    calls: int
    """Calls made, failed attempts included."""
    tokens_in: int
    """Tokens read by the models."""
    tokens_out: int
    """Tokens written by the models."""
    cost: float
    """Money spent, in the currency of the prices given."""
    results: Mapping[str, int] | None = None
    """Lines of a batch service's results: new, known, failed, unknown; None if none were read."""
    requests: int | None = None
    """Requests written for a batch service; None if no file was asked for."""
    files: str | None = None
    """The files of these requests."""


@dataclass(frozen=True)
class CostEstimate:
    """The estimate of a run with a chat model, without repairs."""

    references: int
    """References that are left."""
    calls_at_most: int
    """The most calls there can be."""
    tokens_in: int
    """Tokens read."""
    tokens_out: int
    """Tokens written."""
    cost: float
    """Money, in the currency of the prices given."""
    by: str
    """The source of the estimate of tokens."""


@dataclass(frozen=True)
class MineStatus:
    """The progress of `mine_chat`, by its ledger."""

    references: int
    """Reference pictures to ask about."""
    accepted: int
    """References with an accepted triplet."""
    rejected: int
    """References without one."""
    pending: int
    """References left."""
    pending_because: Mapping[str, int]
    """Why references are pending, by the servers' messages, with their numbers;
    empty if they were not asked about yet."""
    acceptance_percent: float | None
    """Percent of the finished references that have an accepted triplet; None if none is finished."""
    reasons: Mapping[str, int]
    """Why references were rejected, the most frequent reason first."""
    calls: int
    """Calls made, failed attempts included."""
    answered: int
    """Calls that were answered."""
    tokens_in: int
    """Tokens read by the models."""
    tokens_out: int
    """Tokens written by the models."""
    cost: float
    """Money spent, in the currency of the prices given."""
    seconds_a_call: Mapping[str, float]
    """Mean seconds of a call, by step."""
    minutes_left: float | None
    """Estimated from the pace of the last 200 references; None if unknown."""
