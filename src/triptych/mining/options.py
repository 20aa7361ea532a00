"""How the agent is set up."""

import math
from dataclasses import dataclass

from triptych.core.errors import UsageError


@dataclass(frozen=True)
class Bars:
    """What a draft must clear with the embedded critic. Raises UsageError for a bar that makes no sense."""

    sure: float = 0.03
    """Least probability that the target shows what the words say; rare words are never sure. A further answer must
    clear it, too, and a picture of the group that reaches half of it is no negative."""
    new_by: float = 2.0
    """At least so many times as probable must the words be of the target as of the reference; 0 does not ask."""
    beaten_by: float = 3.0
    """By so much another picture of the group may answer better, as a difference of logarithms; 3 is twenty times as
    probable: many pictures may answer, but the target must be one of them."""

    def __post_init__(self) -> None:
        if not 0 < self.sure < 1:
            raise UsageError("--sure must be a probability, above 0 and below 1")
        if not (0 <= self.new_by < math.inf and 0 <= self.beaten_by < math.inf):
            raise UsageError("--new-by and --beaten-by must be 0 or more")


USUAL = Bars()
