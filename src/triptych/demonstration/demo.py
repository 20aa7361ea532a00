"""`demo`: the whole way from pictures to a trained composer, with a table of results and a report."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from triptych.benchmarks.registry import load_tasks
from triptych.catalog.indexing import index
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime, require_extra
from triptych.core.progress import say
from triptych.core.vectors import nearest
from triptych.demonstration.options import DemoOptions
from triptych.demonstration.report import QueryCard, Report, ResultCard, Step, TripletCard, write_report
from triptych.demonstration.worlds import WORLDS, Pictures, World
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask
from triptych.evaluation.evaluate import EvaluateResult, evaluate
from triptych.evaluation.options import EvaluateOptions
from triptych.mining.pipeline import mine
from triptych.training.composer import train_composer
from triptych.triplets.file import Triplet, kind_of_reason, read_triplets

T = TypeVar("T")

_SHOWN = 8  # cards in each section of the report
_RESULTS = 6  # pictures shown for a query


@dataclass(frozen=True)
class _Folders:
    """Where the parts of the demo lie."""

    out: Path

    @property
    def catalog(self) -> Path:
        return self.out / "catalog"

    @property
    def triplets(self) -> Path:
        return self.out / "triplets.parquet"

    @property
    def composer(self) -> Path:
        return self.out / "composer"


def demo(
    out: Path | str = "demo", options: DemoOptions = DemoOptions(), *, runtime: Runtime = Runtime()
) -> EvaluateResult:
    """Index pictures, mine, train, evaluate every method, and write a report.

    An interrupted demo goes on where it stopped.

    Args:
        out: the folder of everything: `catalog/`, `triplets.parquet`, `composer/`, `results.json`, `report.html`, and
            `world/` if the wardrobe is drawn.
        options: which pictures to use, and the seed.
        runtime: processor threads.

    Returns:
        The results, as in `results.json`.

    Raises:
        UsageError: the extra `train` is not installed, or the example photos are not found.
    """
    require_extra("train", "demo")  # now, and not after minutes of mining
    folders, world = _Folders(Path(out)), WORLDS[options.world]
    steps: list[Step] = []
    with _timed(steps, "pictures") as detail:
        pictures = world.prepare(folders.out, options.photos, options.seed)
        detail.append(pictures.said)
    _make(world, pictures, folders, steps, options.seed, runtime)
    with _timed(steps, "evaluate") as detail:
        results = evaluate(
            world.benchmark,
            EvaluateOptions(methods=("all",)),
            root=pictures.root,
            composers=[folders.composer],
            output=folders.out / "results.json",
            runtime=runtime,
        )
        detail.append(f"{results.rows[0].queries} queries over {results.rows[0].gallery} test pictures")
    accepted, refused = _triplet_cards(folders.triplets, pictures.images)
    good, bad = _query_cards(world.benchmark, pictures, folders.composer)
    report = Report(
        title=world.title,
        summary="These pictures have no labels. An agent paired them, described the difference in words, and refused "
        "its own mistakes. A composer learned from the accepted triplets.",
        steps=steps,
        table=results.rows,
        learning_curve=folders.composer / "learning-curve.png",
        accepted=accepted,
        refused=refused,
        good=good,
        bad=bad,
    )
    write_report(folders.out / "report.html", report)
    return results


def _make(world: World, pictures: Pictures, folders: _Folders, steps: list[Step], seed: int, runtime: Runtime) -> None:
    """Index, mine and train, and record each stage in `steps`."""
    with _timed(steps, "index") as detail:
        indexed = index(
            pictures.unlabelled, folders.catalog, encoder=world.encoder, root=pictures.images, runtime=runtime
        )
        detail.append(f"{indexed.total} unlabelled pictures")
    with _timed(steps, "mine") as detail:
        mined = mine(folders.catalog, folders.triplets, replace(world.mining, seed=seed), runtime=runtime)
        detail.append(f"{mined.accepted} triplets accepted, {mined.refused} refused")
    with _timed(steps, "train") as detail:
        learning = replace(world.training, seed=seed)
        trained = train_composer(
            folders.triplets, folders.catalog, folders.composer, learning, encoder=None, runtime=runtime
        )
        detail.append(f"best epoch {trained.best_epoch}, held-out R@10 {trained.held_out_recall['R@10']:.1f} %")


@contextmanager
def _timed(steps: list[Step], name: str) -> Iterator[list[str]]:
    started = time.monotonic()
    detail: list[str] = []
    yield detail
    steps.append(Step(name, round(time.monotonic() - started, 1), "; ".join(detail)))
    say(f"{name}: {detail[0]} ({steps[-1].seconds:.0f} s)")


def _triplet_cards(file: Path, pictures: Path) -> tuple[list[TripletCard], list[TripletCard]]:
    """Some accepted triplets, and some refused ones that cover every reason."""
    triplets, _ = read_triplets(file)

    def card(triplet: Triplet) -> TripletCard:
        return TripletCard(
            reference=pictures / triplet.reference,
            target=pictures / triplet.target,
            modifications=[wording.text for wording in triplet.modifications],
            reason=triplet.reason,
            negatives=[pictures / name for name in triplet.negatives],
        )

    accepted = [triplet for triplet in triplets if triplet.accepted]
    by_reason: dict[str, list[Triplet]] = {}
    for triplet in triplets:
        if not triplet.accepted:
            by_reason.setdefault(kind_of_reason(triplet.reason), []).append(triplet)
    each = max(1, _SHOWN // max(1, len(by_reason)))
    refused = [triplet for same in by_reason.values() for triplet in _spread(same, each)]
    return [card(triplet) for triplet in _spread(accepted, _SHOWN)], [card(triplet) for triplet in refused]


def _query_cards(benchmark: str, pictures: Pictures, folder: Path) -> tuple[list[QueryCard], list[QueryCard]]:
    """Test queries that the composer answers at rank 1, and queries that it answers badly."""
    composer = TrainedComposer(folder)
    encoder = load_encoder(composer.encoder_name)
    composer.attach(encoder)
    (loaded,) = load_tasks(benchmark, pictures.root, "test")
    task = EncodedTask(loaded, encoder)
    queries, gallery = task.compose(composer), task.gallery_for(composer)
    first = np.array([ranks[0] for ranks in task.ranks(queries, gallery)])

    def card(row: int) -> QueryCard:
        query = task.queries[row]
        allowed = np.array([name != query.reference for name in task.gallery_names])
        found, scores = nearest(queries[row : row + 1], gallery, _RESULTS, allowed=allowed)
        names = [task.gallery_names[place] for place in found[0]]
        results = [
            ResultCard(pictures.images / name, float(score), name in query.targets)
            for name, score in zip(names, scores[0], strict=True)
        ]
        return QueryCard(pictures.images / query.reference, query.modification, results, int(first[row]))

    good = _spread(np.flatnonzero(first == 1).tolist(), _SHOWN)
    bad = _spread(np.flatnonzero(first > 50).tolist(), _SHOWN)
    return [card(row) for row in good], [card(row) for row in bad]


def _spread(items: list[T], count: int) -> list[T]:
    """`count` of the items, evenly spread, so that repeated runs show the same ones."""
    if len(items) <= count:
        return items
    return [items[round(position * (len(items) - 1) / max(1, count - 1))] for position in range(count)]
