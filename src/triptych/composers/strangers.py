"""Words that the agent never says, slipped into what it says: a composer learns to look past them.

People say much that no agent thought of ("switch it to navy"). A text tower that was pretrained on titles may know such
a word as a brand's, and a composer that never met it would be led astray.
"""

import numpy as np
from numpy.typing import NDArray

_MOST = 3  # strangers in a text


def mingle(ids: NDArray[np.int64], strangers: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Token ids `(n, l)`, zero where a text has ended, with up to three of the `strangers` at random places each.

    Nothing that was said is lost: a text that fills its row stays as it is.
    """
    mingled = ids.copy()
    lengths = (ids != 0).sum(axis=1)
    counts = np.minimum(random.integers(_MOST + 1, size=len(ids)), ids.shape[1] - lengths)
    for row, (length, count) in enumerate(zip(lengths.tolist(), counts.tolist(), strict=True)):
        places = np.sort(random.integers(length + 1, size=count))
        mingled[row, : length + count] = np.insert(ids[row, :length], places, random.choice(strangers, count))
    return mingled
