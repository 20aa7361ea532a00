"""Confidence intervals of means over queries, and a test whether two methods differ by more than chance."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]
"""Shape (n, c): a value for each query, in each of c columns."""

_CELLS = 4_000_000  # random numbers held at once: 32 MB


def bootstrap_intervals(values: Table, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Table:
    """Percentile bootstrap intervals of the columns' means, with queries drawn with replacement.

    All columns share the draws, so that a column of differences is resampled in pairs. Efron and Tibshirani, *An
    Introduction to the Bootstrap* (1993), section 13.3; for retrieval, Sakai (SIGIR 2006).

    Args:
        values: shape (n, c), a row for each query.
        level: the level of confidence, between 0 and 1.
        resamples: how many times queries are drawn.
        seed: of the draws.

    Returns:
        The lower and upper ends, shape (c, 2).
    """
    random = np.random.default_rng(seed)
    count = len(values)
    found = []
    for size in _portions(resamples, count):
        drawn = random.integers(count, size=(size, count)) + np.arange(size)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        found.append(times @ values / count)
    tail = 50 * (1 - level)
    return np.percentile(np.concatenate(found), [tail, 100 - tail], axis=0).T


def sign_flip_test(differences: Table, *, resamples: int = 10_000, seed: int = 0) -> npt.NDArray[np.float64]:
    """Two-sided p-values of a paired randomisation test for mean differences over queries.

    If the methods were the same, the sign of each difference would be random. p is the share of random signs, with the
    observed ones among them, whose mean difference is at least as far from 0. Smucker, Allan and Carterette (CIKM 2007)
    recommend the test for retrieval.

    Args:
        differences: shape (n, c), a row for each query.
        resamples: how many times signs are drawn.
        seed: of the draws.

    Returns:
        The p-values, shape (c,).
    """
    random = np.random.default_rng(seed)
    count = len(differences)
    observed = np.abs(differences.sum(axis=0))
    # Sums of the same numbers in another order may differ in their last bits.
    bar = observed - 1e-9 * np.maximum(1, np.abs(differences).sum(axis=0))
    reached = np.zeros(differences.shape[1], np.int64)
    for size in _portions(resamples, count):
        signs = 1.0 - 2.0 * random.integers(2, size=(size, count), dtype=np.int8)
        reached += (np.abs(signs @ differences) >= bar).sum(axis=0)
    return (1 + reached) / (1 + resamples)


def _portions(total: int, width: int) -> Iterator[int]:
    most = max(1, _CELLS // max(1, width))
    for start in range(0, total, most):
        yield min(most, total - start)
