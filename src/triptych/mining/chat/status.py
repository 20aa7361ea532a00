"""`mine_status`: the progress of a run with a chat model, from its ledger. It also works during the run."""

from pathlib import Path

from triptych.chat.ledger import ledger_path, open_ledger, total
from triptych.core.errors import DataError
from triptych.mining.chat.results import MineStatus
from triptych.triplets.file import kinds_of_reasons


def mine_status(out: Path | str) -> MineStatus:
    """Report the progress of a run of `mine_chat`.

    Args:
        out: the triplet file that the run writes.

    Returns:
        Progress, acceptance rate, reasons for rejection, calls, tokens, cost, and minutes left.

    Raises:
        DataError: no run of `mine_chat` wrote to `out`.
    """
    path = ledger_path(Path(out))
    if not path.exists():
        raise DataError(f"{out}: no run of mine-chat has begun here")
    with open_ledger(path) as ledger:
        states, steps, pace = ledger.states(), ledger.steps(), ledger.references_per_second()
        reasons = kinds_of_reasons(ledger.reasons())
        held_up = dict(ledger.pending_because().most_common())
    done = states["accepted"] + states["rejected"]
    return MineStatus(
        references=done + states["pending"],
        accepted=states["accepted"],
        rejected=states["rejected"],
        pending=states["pending"],
        pending_because=held_up,
        acceptance_percent=round(100 * states["accepted"] / done, 1) if done else None,
        reasons=reasons,
        calls=int(total(steps.values(), "attempts")),
        answered=int(total(steps.values(), "answered")),
        tokens_in=int(total(steps.values(), "tokens_in")),
        tokens_out=int(total(steps.values(), "tokens_out")),
        cost=round(total(steps.values(), "cost"), 6),
        seconds_a_call={step: round(row["seconds"], 2) for step, row in sorted(steps.items())},
        minutes_left=round(states["pending"] / pace / 60, 1) if pace else (None if states["pending"] else 0.0),
    )
