"""Statistics of an encoder's training pictures, and how many other pictures differ from them.

A picture's distance from the training pictures is its Mahalanobis distance (Lee et al., NeurIPS 2018, who detect
out-of-distribution pictures by it), in the directions in which the vectors of training pictures vary most. Other
directions are ignored: in them, photos of animals are far from the clothes that `photos-1` was trained on, but
`photos-1` finds animals well.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.core.errors import DataError
from triptych.core.files import write_bytes
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder

FILE = "training_statistics.safetensors"
LEAST_PICTURES = 40
"""The fewest pictures for statistics."""

_DIRECTIONS = 64  # principal directions that are used; no search for a better number is recorded
_PICTURES = 5000  # pictures that the statistics are computed from, at most
_FAR = 0.99  # the quantile of the training pictures' distances from which a picture counts as far


@dataclass(frozen=True)
class TrainingStatistics:
    """A normal distribution over the vectors `(d,)` of an encoder's training pictures."""

    mean: NDArray[np.float32]
    """The mean vector `(d,)`."""
    directions: NDArray[np.float32]
    """The principal directions `(r, d)`, each divided by its standard deviation."""
    far: float
    """The distance within which 99 % of the training pictures are, by the half that did not determine the
    directions."""
    pictures: int
    """The number of pictures that the statistics are computed from."""

    @classmethod
    def of(cls, vectors: Vectors, *, seed: int = 0) -> "TrainingStatistics | None":
        """Estimate the statistics from pictures' vectors `(n, d)`.

        Half of the vectors determine the directions, the other half the distances.

        Returns:
            The statistics; None if there are fewer than 40 vectors.
        """
        if len(vectors) < LEAST_PICTURES:
            return None
        order = np.random.default_rng(seed).permutation(len(vectors))[:_PICTURES]
        fitted, measured = vectors[order[::2]].astype(np.float64), vectors[order[1::2]]
        mean = fitted.mean(axis=0)
        _, deviations, directions = np.linalg.svd(fitted - mean, full_matrices=False)
        kept = min(_DIRECTIONS, len(fitted) // 4)
        spread = np.maximum(deviations[:kept] / (len(fitted) - 1) ** 0.5, 1e-4)
        rounded = (directions[:kept] / spread[:, None]).astype(np.float16).astype(np.float32)  # as stored
        found = cls(mean.astype(np.float32), rounded, 0.0, len(order))
        far = float(np.quantile(found.distances(measured), _FAR))
        return replace(found, far=far)

    def distances(self, vectors: Vectors) -> NDArray[np.float32]:
        """The Mahalanobis distance of each vector, `(n,)`."""
        found: NDArray[np.float32] = np.linalg.norm((vectors - self.mean) @ self.directions.T, axis=1)
        return found

    def unlike(self, vectors: Vectors) -> float:
        """The share of pictures that are farther than 99 % of the training pictures."""
        return float((self.distances(vectors) > self.far).mean()) if len(vectors) else 0.0

    def save(self, folder: Path) -> None:
        """Write the statistics to an encoder folder."""
        from safetensors.numpy import save

        tensors: dict[str, NDArray[Any]] = {
            "mean": self.mean.astype(np.float32),
            "directions": self.directions.astype(np.float16),
            "numbers": np.array([self.far, self.pictures], np.float64),
        }
        write_bytes(folder / FILE, save(tensors))

    @classmethod
    def load(cls, folder: Path) -> "TrainingStatistics | None":
        """Read the statistics of an encoder folder; None if the folder has none.

        Raises:
            DataError: the file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = folder / FILE
        if not path.is_file():
            return None
        try:
            tensors = load_file(path)
            far, pictures = tensors["numbers"].tolist()
            return cls(tensors["mean"], tensors["directions"].astype(np.float32), far, int(pictures))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise DataError(f"{path}: not readable ({error}); copy the folder again") from None


def statistics_of(encoder: Encoder) -> TrainingStatistics | None:
    """The statistics of an encoder; None if it has none."""
    folder: Path | None = getattr(encoder, "folder", None)
    return TrainingStatistics.load(folder) if folder else None
