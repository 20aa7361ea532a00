"""The agent: proposer, reasoner and critic together make triplets, and triplets in the reverse direction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from triptych.core.errors import UsageError
from triptych.mining.critic import Critic, DraftVerdict
from triptych.mining.proposer import ChangePlan, Proposer
from triptych.mining.reasoner import Draft, Reasoner, Reverses
from triptych.triplets.file import Triplet


@dataclass(frozen=True)
class Agent:
    """The agent over the pictures of one catalog. Picture `names[i]` is row `i` for all its parts."""

    names: Sequence[str]
    row_of: Mapping[str, int]
    proposer: Proposer
    reasoner: Reasoner
    critic: Critic

    def triplets(self, references: Sequence[int], changes: int) -> list[Triplet]:
        """Make triplets of references, with `changes` change plans for each."""
        proposals = self.proposer.propose(references, changes)
        return self._judged([draft for proposal in proposals for draft in self.reasoner.reason(proposal)])

    def reversed_triplets(self, triplets: Iterable[Triplet]) -> list[Triplet]:
        """Make the reverse triplets, from target to reference, of the accepted triplets that allow it.

        They are proposed for the target and judged in a group of their own. A triplet that was accepted in one
        direction may be refused in the other.
        """
        assert isinstance(self.reasoner, Reverses)
        wanted: dict[tuple[int, ChangePlan], list[Triplet]] = {}
        for one in triplets:
            if one.accepted:
                plan = tuple(change.attribute for change in one.changes)
                wanted.setdefault((self.row_of[one.target], plan), []).append(one)
        drafts = [
            self.reasoner.reverse(proposal, self.row_of[one.reference], one.changes)
            for proposal in self.proposer.propose_for(wanted)
            for one in wanted[proposal.reference, proposal.plan]
        ]
        return self._judged([draft for draft in drafts if draft])

    def _judged(self, drafts: Sequence[Draft]) -> list[Triplet]:
        for draft in drafts:
            if draft.target not in draft.proposal.candidates:
                raise UsageError(f"reasoner {self.reasoner.name}: target {draft.target} is not one of its candidates")
        verdicts = self.critic.judge(drafts)
        return [self._triplet(draft, verdict) for draft, verdict in zip(drafts, verdicts, strict=True)]

    def _triplet(self, draft: Draft, verdict: DraftVerdict) -> Triplet:
        return Triplet(
            reference=self.names[draft.proposal.reference],
            target=self.names[draft.target],
            modifications=draft.modifications,
            changes=draft.changes,
            negatives=tuple(self.names[picture] for picture in verdict.negatives),
            accepted=verdict.accepted,
            reason=verdict.reason,
            confidence=verdict.confidence,
            similarity=float(draft.proposal.similarity[draft.proposal.place_of(draft.target)]),
            reasoner=self.reasoner.name,
            other_targets=tuple(self.names[picture] for picture in verdict.other_targets),
        )
