"""Validate a composer on held-out triplets during training, and compare it with the weighted sum."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from triptych.core.files import atomic
from triptych.core.vectors import Vectors, unit
from triptych.metrics.measures import summarise
from triptych.metrics.ranking import ranks_of_targets
from triptych.training.callbacks import best_epoch
from triptych.training.data.triplets import TripletDataset

_MIXES = tuple(round(0.1 * step, 1) for step in range(1, 10))


BEST_BY = "R@10"
"""The metric that compares epochs, and composers with the weighted sum."""


def summarise_run(
    history: Sequence[Mapping[str, float]], pictures: Vectors, data: TripletDataset, out: Path
) -> dict[str, Any]:
    """Compute the figures that both `train` and `finetune` report, and draw `learning-curve.png` into `out`.

    Args:
        history: the metrics of each epoch.
        pictures: the catalog's vectors `(n, d)`, for the weighted sum.
        data: the triplets.
        out: the folder of the composer.
    """
    best, baseline = best_epoch(history, BEST_BY), weighted_sum_recall(pictures, data)
    draw_learning_curve(history, baseline[BEST_BY], out / "learning-curve.png")
    return {
        "triplets": len(data.training),
        "held_out": len(data.held_out),
        "unusable": data.unusable,
        "best_epoch": best + 1,
        "held_out_recall": dict(history[best]),
        "held_out_sum_recall": baseline,
    }


def weighted_sum_recall(pictures: Vectors, data: TripletDataset) -> dict[str, float]:
    """Recall of the best weighted sum, which needs no training, in percent."""
    words = data.held_out_texts
    references = pictures[data.references[data.held_out]]
    mixes = [unit(weight * words + (1 - weight) * references) for weight in _MIXES]
    return max((held_out_recall(mix, pictures, data) for mix in mixes), key=lambda recall: recall[BEST_BY])


def held_out_recall(queries: Vectors, gallery: Vectors, data: TripletDataset) -> dict[str, float]:
    """Recall of the held-out triplets' targets in a gallery, by their query vectors, in percent."""
    held = data.held_out
    ranks = ranks_of_targets(
        queries, gallery, list(data.targets[held]), list(data.references[held][:, None]), [None] * len(held)
    )
    return {name: round(value, 2) for name, value in summarise(ranks, recall=(1, 10, 50), map_at=()).items()}


def draw_learning_curve(history: Sequence[Mapping[str, float]], baseline: float, path: Path) -> None:
    """Draw loss and held-out recall by epoch, with the weighted sum's recall for comparison."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    left.plot(epochs, [epoch["loss"] for epoch in history], marker="o", color="#444")
    left.set(xlabel="epoch", ylabel="contrastive loss")
    right.plot(epochs, [epoch[BEST_BY] for epoch in history], marker="o", color="#b5432e", label="composer")
    right.axhline(baseline, color="#888", linestyle="--", label="weighted sum")
    right.set(xlabel="epoch", ylabel="R@10 on held-out triplets, %")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")
