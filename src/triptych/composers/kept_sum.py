"""The encoder's weighted sum, which a trained composer keeps beside its learnt vectors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from triptych.composers.baselines import DEFAULT_WEIGHT, WeightedSum
from triptych.core.vectors import Vectors, unit


@dataclass(frozen=True)
class KeptSum:
    """The weights of a composer's learnt vectors and of the encoder's weighted sum.

    A query vector concatenates the sum and the learnt query, and a gallery vector the picture's own vector and the
    learnt one. So one inner product adds both scores, each divided by its `spread`. `trust`, from 0 to 1, is the weight
    of the learnt score.
    """

    trust: float
    """The weight of the learnt vectors, from 0 (only the weighted sum) to 1 (only the learnt vectors)."""
    spread: tuple[float, float]
    """The standard deviations of a query's scores over a catalog: by the sum, and by the learnt vectors."""
    dim: int
    """The length of the encoder's vectors."""
    weight: float = DEFAULT_WEIGHT
    """The weight of the words in the sum."""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "KeptSum":
        """Parse the field of a composer's `config.json`."""
        return cls(stored["trust"], (stored["spread"][0], stored["spread"][1]), stored["dim"], stored["weight"])

    def as_json(self) -> dict[str, Any]:
        """The field of a composer's `config.json`."""
        return asdict(self)

    def dim_of(self, learnt: int) -> int:
        """The length of query and gallery vectors, if learnt vectors have the length `learnt`."""
        return (self.dim if self.trust < 1 else 0) + (learnt if self.trust > 0 else 0)

    def sums(self, references: Vectors, texts: Vectors) -> Vectors:
        """Compute the weighted sums `(n, dim)` of the encoder's vectors."""
        return WeightedSum.blend(references, texts, self.weight)

    def queries(self, sums: Vectors, learnt: Vectors) -> Vectors:
        """Combine sums `(n, dim)` and learnt queries `(n, e)` to unit vectors. A part with weight 0 is left out."""
        shares = (1 - self.trust) / self.spread[0], self.trust / self.spread[1]
        return self._beside(shares[0] * sums, shares[1] * learnt)

    def pictures(self, vectors: Vectors, learnt: Vectors) -> Vectors:
        """Combine the encoder's vectors `(m, dim)` and learnt ones `(m, e)` to unit vectors."""
        return self._beside(vectors, learnt)

    def _beside(self, own: Vectors, learnt: Vectors) -> Vectors:
        parts = ([own] if self.trust < 1 else []) + ([learnt] if self.trust > 0 else [])
        return unit(np.concatenate(parts, axis=1))
