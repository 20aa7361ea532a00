"""A reasoner of your own: it asks for one other colour a proposal, in one wording.

python examples/custom_reasoner.py CATALOG OUT, or triptych mine --reasoner custom_reasoner:OtherColour …
"""

import sys
from collections.abc import Sequence

import triptych
from triptych.mining.proposer import Proposal
from triptych.mining.reasoner import Draft
from triptych.mining.registry import MiningContext
from triptych.triplets.file import Change, Modification


class OtherColour:
    """Of the candidates, the best one whose likeliest colour is not the reference's."""

    name = "other colour"

    def __init__(self, context: MiningContext) -> None:
        words = context.vocabulary.groups["colour"]
        self.colours = [words[column] for column in context.tags["colour"].argmax(axis=1)]

    def reason(self, proposal: Proposal) -> Sequence[Draft]:
        if proposal.plan != ("colour",):  # the proposer found these for another kind of change
            return []
        old = self.colours[proposal.reference]
        target = next((row for row in proposal.candidates.tolist() if self.colours[row] != old), None)
        if target is None:
            return []
        change = Change("colour", old, self.colours[target])
        return [Draft(proposal, target, (change,), (Modification("shorthand", f"in {change.new}"),))]


if __name__ == "__main__":
    print(triptych.mine(sys.argv[1], sys.argv[2], reasoner=OtherColour))
