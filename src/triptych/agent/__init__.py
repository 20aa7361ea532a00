"""The agent: proposes pairs, reasons about them, writes the modification, criticises it, keeps or drops it."""

from triptych.agent.mining import mine
from triptych.agent.status import mine_status

__all__ = ["mine", "mine_status"]
