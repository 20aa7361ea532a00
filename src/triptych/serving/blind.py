"""A blind comparison by the catalog's owner: two unnamed methods side by side, of which the owner picks the better.

The methods are the composer and the weighted sum, which needs no training. Sides are random for each question. The
share of choices for the composer is reported with its 95 % interval (Wilson 1927) and an exact sign test, without ties.
"""

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from math import comb, sqrt
from pathlib import Path
from random import SystemRandom
from threading import Lock
from typing import Any, Literal

from triptych.core.files import read_json, write_json
from triptych.serving.problems import Problem

Choice = Literal["left", "right", "tie"]
ENOUGH = 20
"""Choices that show a large difference: 15 of 20 choices for one method are significant (p = 0.04)."""
_SIGNIFICANT = 0.05
_Z = 1.96
_MAX_OPEN = 200  # open questions, at most; older ones expire
FIELD = "blind_comparison"
"""The field of a composer's `config.json`."""


@dataclass(frozen=True)
class Tally:
    """How often each method was chosen."""

    composer: int = 0
    sum: int = 0
    ties: int = 0

    @property
    def decided(self) -> int:
        """The number of choices without ties."""
        return self.composer + self.sum

    @property
    def share(self) -> float:
        """The composer's share of the choices without ties; 0.5 if there are none."""
        return self.composer / self.decided if self.decided else 0.5

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the share."""
        n = self.decided
        if not n:
            return 0.0, 1.0
        middle = (self.share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * sqrt(self.share * (1 - self.share) / n + _Z**2 / (4 * n**2))
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def p(self) -> float:
        """The p-value of the two-sided sign test."""
        n, most = self.decided, max(self.composer, self.sum)
        return min(1.0, 2 * sum(comb(n, k) for k in range(most, n + 1)) / 2**n) if n else 1.0

    @property
    def decision(self) -> str:
        """`composer` or `sum` if it is significantly better, else `undecided`."""
        if self.p >= _SIGNIFICANT:
            return "undecided"
        return "composer" if self.composer > self.sum else "sum"

    def as_json(self) -> dict[str, Any]:
        """The tally as JSON for clients and for the composer's `config.json`."""
        low, high = self.interval
        return {
            "composer": self.composer,
            "sum": self.sum,
            "ties": self.ties,
            "share": round(self.share, 4),
            "interval": [round(low, 4), round(high, 4)],
            "p": round(self.p, 4),
            "decision": self.decision,
            "enough": ENOUGH,
        }


class BlindComparison:
    """Holds the open questions, and the tally, which is stored in the composer's folder. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._config = folder / "config.json"
        self._open: OrderedDict[str, bool] = OrderedDict()  # whether the composer is on the left
        self._lock = Lock()
        kept = self._read().get(FIELD, {})
        self._tally = Tally(*(int(kept.get(name, 0)) for name in ("composer", "sum", "ties")))

    @property
    def tally(self) -> Tally:
        """The choices so far, including those of earlier runs."""
        return self._tally

    def ask(self) -> tuple[str, bool]:
        """Open a question. Returns its token, and whether the composer's results are on the left."""
        token, left = secrets.token_urlsafe(16), SystemRandom().random() < 0.5
        with self._lock:
            self._open[token] = left
            while len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)
        return token, left

    def choose(self, token: str, choice: Choice) -> Tally:
        """Count a choice. When this returns, it is stored. Raises Problem if the question is not open."""
        with self._lock:
            left = self._open.pop(token, None)
            if left is None:
                raise Problem(404, "this question has expired or was answered; ask another one")
            old = self._tally
            if choice == "tie":
                new = Tally(old.composer, old.sum, old.ties + 1)
            elif (choice == "left") == left:
                new = Tally(old.composer + 1, old.sum, old.ties)
            else:
                new = Tally(old.composer, old.sum + 1, old.ties)
            write_json(self._config, {**self._read(), FIELD: new.as_json()})
            self._tally = new
            return new

    def _read(self) -> Mapping[str, Any]:
        content = read_json(self._config, "composer", "make one with `triptych train`")
        return content if isinstance(content, dict) else {}
