"""The data that the demo can use: photos of clothes, or a drawn wardrobe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych.benchmarks.datasets.closet.benchmark import unlabelled_photos
from triptych.benchmarks.datasets.wardrobe.garments import VOCABULARY
from triptych.benchmarks.datasets.wardrobe.world import write_wardrobe
from triptych.core.errors import UsageError
from triptych.mining.options import MineOptions
from triptych.training.options import TrainOptions

EXAMPLE = Path("examples") / "closet"
"""The folder of the example photos in the project's repository."""

LINES = {"unlabelled": 400, "val": 80, "test": 160}
"""Designs of each split, with about eight pictures each. Few enough for the whole
demo to take some minutes on two cores."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of a data set on disk."""

    root: Path
    """The folder of the benchmark."""
    images: Path
    """The folder that names of pictures start from."""
    unlabelled: Path
    """The list of the pictures to mine."""
    said: str
    """A short description."""


@dataclass(frozen=True)
class World:
    """A data set that the demo can use, with its settings."""

    benchmark: str
    encoder: str
    title: str
    prepare: Callable[[Path, Path | None, int], Pictures]
    """Makes or finds its pictures, from the demo's folder, the user's photos if given, and the seed."""
    mining: MineOptions
    training: TrainOptions


def _closet(out: Path, photos: Path | None, seed: int) -> Pictures:
    """The example photos. Those without annotations are listed for mining."""
    root = photos or _example()
    names = unlabelled_photos(root)
    listed = out / "unlabelled.txt"
    out.mkdir(parents=True, exist_ok=True)
    listed.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    said = f"{len(names)} photos of clothes, by people at home, without annotations"
    return Pictures(root, root / "photos", listed, said)


def _example() -> Path:
    """The folder of the example photos, below the working directory or beside the source code."""
    here = Path.cwd() / EXAMPLE
    beside = Path(__file__).parents[3] / EXAMPLE
    for folder in (here, beside):
        if (folder / "split.csv").is_file():
            return folder
    raise UsageError(
        f"{EXAMPLE}: the example photos are not here; they come with the project's repository, not with the package: "
        "clone it and give --photos FOLDER, or take --world wardrobe"
    )


def _wardrobe(out: Path, photos: Path | None, seed: int) -> Pictures:
    """Draw a wardrobe."""
    if photos is not None:
        raise UsageError("--photos can only be used with --world closet; the wardrobe is drawn")
    world = out / "world"
    drawn = write_wardrobe(world, seed=seed, lines=LINES).pictures
    said = f"{sum(drawn.values())} pictures of garments that the encoder never saw"
    return Pictures(world, world / "images", world / "unlabelled.txt", said)


WORLDS: Mapping[str, World] = {
    "closet": World(
        "closet",
        "photos",
        "Clothes as people photograph them, end to end",
        _closet,
        MineOptions(),
        TrainOptions(),
    ),
    "wardrobe": World(
        "wardrobe",
        "wardrobe",
        "The wardrobe, end to end",
        _wardrobe,
        # A small catalog has few pairs, so the agent makes more questions than by default.
        MineOptions(vocabulary=VOCABULARY, changes=14),
        # Two passes: a third one gains nothing on the val queries of so small a data set, and takes time.
        TrainOptions(epochs=2),
    ),
}
