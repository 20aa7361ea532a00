"""The agent of a run, made here or by each worker of a cluster, and the division of references among them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych.catalog.catalog import Catalog
from triptych.core.cluster import HERE, Workers
from triptych.core.errors import FailureError, UsageError
from triptych.encoders.protocol import Encoder, item_vectors
from triptych.encoders.registry import name_elsewhere
from triptych.mining.agent import Agent
from triptych.mining.options import MineOptions
from triptych.mining.proposer import ChangePlan, Proposer, plans_over
from triptych.mining.reasoner import Reverses
from triptych.mining.registry import CRITICS, REASONERS, MiningContext
from triptych.tagging.tagger import GroupReport, Tags
from triptych.tagging.vocabulary import Vocabulary
from triptych.triplets.file import Triplet, read_triplets


def make_agent(
    context: MiningContext, reasoner: object, critic: object, difficulty: Mapping[ChangePlan, float]
) -> Agent:
    """The agent for a context.

    Args:
        context: the catalog and its tags.
        reasoner: a reasoner, its class or its name.
        critic: a critic, its class or its name.
        difficulty: a factor for each type of question: how much more often than others it is drawn.

    Raises:
        UsageError: there is no such reasoner or critic, or reverse triplets are requested and the reasoner makes none.
    """
    options, catalog = context.options, context.catalog
    reasons = REASONERS.get(reasoner, context=context)
    judges = CRITICS.get(critic, context=context)
    if options.reverse and not isinstance(reasons, Reverses):
        raise UsageError(f"--reverse: the reasoner {reasons.name} has no method reverse")
    proposer = Proposer(
        item_vectors(catalog.vectors, context.encoder),
        context.tags,
        tuple(context.tags),
        width=options.candidates,
        seed=context.seed,
        applies=context.vocabulary.applies,
        plan_weights=_plan_weights(context, difficulty),
        similarity=options.similarity,
    )
    return Agent(catalog.names, catalog.row_of, proposer, reasons, judges)


def _plan_weights(context: MiningContext, difficulty: Mapping[ChangePlan, float]) -> dict[ChangePlan, float]:
    """The frequency of each plan, by the information of its attributes and the weaknesses of the composer."""
    information = {report.group: report.beyond_kind for report in context.reports if report.beyond_kind is not None}
    most = max(information.values(), default=1.0)
    weights = {}
    for plan in plans_over(tuple(context.tags)):
        own = math.prod(information.get(group, most) / most for group in plan) ** (1 / len(plan))
        weights[plan] = own * difficulty.get(plan, 1.0)
    return weights


@dataclass(frozen=True)
class AgentElsewhere:
    """Makes the agent of a run in another process or on another machine. It must see the catalog at the same path."""

    catalog: Path
    pictures: str
    """The digest of the catalog's state."""
    encoder: str
    threads: int | None
    vocabulary: Vocabulary
    tags: Tags
    options: MineOptions
    seed: int
    reports: tuple[GroupReport, ...]
    reasoner: object
    critic: object
    difficulty: Mapping[ChangePlan, float]

    def __call__(self) -> Agent:
        """Make the agent.

        Raises:
            FailureError: the catalog has changed meanwhile.
        """
        opened = Catalog(self.catalog)
        if opened.digest != self.pictures:
            raise FailureError(f"{self.catalog}: has changed since mining began, or is another one on a worker")
        known = opened.encoder(self.encoder, threads=self.threads)
        parts = (self.vocabulary, self.tags, self.options, self.seed, self.reports)
        return make_agent(MiningContext(opened, known, *parts), self.reasoner, self.critic, self.difficulty)


@dataclass(frozen=True)
class DividedAgent:
    """The agents of the workers. The triplets of a part of the references do not depend on the worker."""

    workers: Workers
    source: Callable[[], Agent]
    """Makes the agent of a worker."""

    def triplets(self, parts: Sequence[Sequence[int]], changes: int) -> Iterator[list[Triplet]]:
        """Make the triplets of each part of the references, in order; see `Agent.triplets`."""
        return self.workers.map(_Asking, (self.source, changes), parts)

    def reversed_triplets(self, files: Sequence[Path]) -> Iterator[list[Triplet]]:
        """Make the reverse triplets for each file; see `Agent.reversed_triplets`. Workers read the files."""
        return self.workers.map(_Reversing, (self.source,), [file.resolve() for file in files])


def divided_agent(
    context: MiningContext,
    reasoner: object,
    critic: object,
    difficulty: Mapping[ChangePlan, float],
    *,
    workers: Workers,
    encoder: Encoder | str,
    threads: int | None,
) -> DividedAgent:
    """The agents of `workers`, made as `make_agent` says.

    Raises:
        UsageError: a reasoner, critic or encoder is an object without a name, so that workers cannot make it.
    """
    if workers is HERE:
        agent = make_agent(context, reasoner, critic, difficulty)
        return DividedAgent(workers, lambda: agent)
    for what, given in (("reasoner", reasoner), ("critic", critic)):
        if not isinstance(given, str | type):
            raise UsageError(f"--engine ray: workers make the {what} by its name; give a name or a class")
    source = AgentElsewhere(
        context.catalog.folder.resolve(),
        context.catalog.digest,
        name_elsewhere(encoder),
        threads,
        context.vocabulary,
        context.tags,
        context.options,
        context.seed,
        context.reports,
        reasoner,
        critic,
        dict(difficulty),
    )
    return DividedAgent(workers, source)


class _Asking:
    def __init__(self, source: Callable[[], Agent], changes: int) -> None:
        self._agent, self._changes = source(), changes

    def __call__(self, references: Sequence[int]) -> list[Triplet]:
        return self._agent.triplets(references, self._changes)


class _Reversing:
    def __init__(self, source: Callable[[], Agent]) -> None:
        self._agent = source()

    def __call__(self, file: Path) -> list[Triplet]:
        return self._agent.reversed_triplets(read_triplets(file)[0])
