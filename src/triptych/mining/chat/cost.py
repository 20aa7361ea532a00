"""Estimate what a run with a chat model takes, before the first call."""

import json
from typing import Any

from triptych.chat.cost import tokens_in
from triptych.chat.ledger import ledger_path, open_ledger
from triptych.chat.settings import JUDGEMENT, REASONING
from triptych.mining.chat.results import CostEstimate
from triptych.mining.chat.session import ChatSession

_ENOUGH = 20  # answered calls; the means of fewer are not used
_REASONING = (150, 40, 170)  # tokens of a reply: its frame, each candidate, each target
_VERDICT = 60  # tokens


def estimate_cost(session: ChatSession) -> CostEstimate:
    """Estimate calls, tokens and cost for the references that are left, without repairs, which are few.

    A reference takes one call to reason and one to judge each target, so the highest number of calls is known. Tokens
    are estimated from prompts and pictures; once there are 20 calls of a kind, from the means of this run.
    """
    settings, targets = session.settings, session.options.triplets
    left, means = [session.catalog.names[row] for row in session.references], {}
    path = ledger_path(session.out)
    if path.exists():
        with open_ledger(path) as ledger:
            if ledger.facts() == _as_stored(session.facts):
                left = ledger.pending()
            means = {step: row for step, row in ledger.steps().items() if row["answered"] >= _ENOUGH}
    group = next(session.groups(left[:1]), None)
    size = len(group.candidates) if group else 0
    asked = tokens_in(session.agent.reasoning(group).call, settings) if group else 0
    frame, each, target = _REASONING
    guess = {
        REASONING: (asked, frame + each * size + target * targets),
        JUDGEMENT: (asked, _VERDICT),
    }
    for step, row in means.items():
        if step in guess:
            guess[step] = (int(row["tokens_in"] / row["answered"]), int(row["tokens_out"] / row["answered"]))
    calls = {REASONING: len(left), JUDGEMENT: len(left) * targets * len(session.judges)}
    tokens = {step: [calls[step] * each for each in guess[step]] for step in calls}
    return CostEstimate(
        references=len(left),
        calls_at_most=sum(calls.values()),
        tokens_in=sum(read for read, _ in tokens.values()),
        tokens_out=sum(written for _, written in tokens.values()),
        cost=round(sum(settings.cost(step, read, written) for step, (read, written) in tokens.items()), 4),
        by="the means of earlier calls" if means else "prompt length and picture size",
    )


def _as_stored(facts: dict[str, Any]) -> Any:
    return json.loads(json.dumps(facts))
