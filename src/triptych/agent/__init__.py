"""The agent: proposes pairs, reasons about them, writes the modification, criticises it, keeps or drops it."""

from triptych.agent.criticism import Bars
from triptych.agent.mining import mine
from triptych.agent.status import mine_status

__all__ = ["Bars", "mine", "mine_status"]
