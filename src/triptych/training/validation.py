"""How a composer does on held-out triplets while it learns, beside the weighted sum."""

from collections.abc import Sequence
from pathlib import Path

from triptych.core.files import atomic
from triptych.core.vectors import Vectors, unit
from triptych.metrics.measures import summarise
from triptych.metrics.ranking import ranks_of_targets
from triptych.training.data.triplets import Data

_MIXES = tuple(round(0.1 * step, 1) for step in range(1, 10))


def sum_recall(pictures: Vectors, data: Data) -> dict[str, float]:
    """Recall in percent of the best weighted sum, which needs no training."""
    words = data.held_out_texts
    references = pictures[data.references[data.held_out]]
    mixes = [unit(weight * words + (1 - weight) * references) for weight in _MIXES]
    return max((held_out_recall(mix, pictures, data) for mix in mixes), key=lambda recall: recall["R@10"])


def held_out_recall(queries: Vectors, gallery: Vectors, data: Data) -> dict[str, float]:
    """Recall in percent of the held-out triplets' targets in a gallery, by their query vectors."""
    held = data.held_out
    ranks = ranks_of_targets(
        queries, gallery, list(data.targets[held]), data.references[held][:, None], [None] * len(held)
    )
    return {name: round(value, 2) for name, value in summarise(ranks, recall=(1, 10, 50), map_at=()).items()}


def draw_learning_curve(history: Sequence[dict[str, float]], baseline: float, path: Path) -> None:
    """Loss and held-out recall by epoch, with the weighted sum's recall to compare."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    left.plot(epochs, [epoch["loss"] for epoch in history], marker="o", color="#444")
    left.set(xlabel="epoch", ylabel="contrastive loss")
    right.plot(epochs, [epoch["R@10"] for epoch in history], marker="o", color="#b5432e", label="composer")
    right.axhline(baseline, color="#888", linestyle="--", label="weighted sum")
    right.set(xlabel="epoch", ylabel="R@10 on held-out triplets, %")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")
