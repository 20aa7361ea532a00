"""Write a drawn wardrobe to a folder: pictures, captions, queries, and the true attributes."""

import csv
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from triptych.benchmarks.datasets.wardrobe.captions import Voice, caption, modification, relative_captions
from triptych.benchmarks.datasets.wardrobe.drawing import draw
from triptych.benchmarks.datasets.wardrobe.garments import Garment, changes
from triptych.benchmarks.datasets.wardrobe.lines import design
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import atomic, made_by, read_json, write_json
from triptych.core.progress import progress

# A line has four garments on average. With two views each, this makes 8000, 4000, 1200 and 2500 pictures.
DEFAULT_LINES: Mapping[str, int] = {"pretrain": 1000, "unlabelled": 500, "val": 150, "test": 312}
QUERIES: Mapping[Voice, int] = {"val": 600, "test": 1500}
CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "dress": ("dress", "skirt"),
    "shirt": ("shirt", "jacket"),
    "toptee": ("t-shirt", "sweater", "hoodie"),
}
_PER_SPLIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture to be drawn: the view number `view` of the garment number `number` of its line."""

    name: str
    split: str
    number: int
    view: int
    garment: Garment

    @property
    def garment_id(self) -> str:
        """The id of the garment, unique in the wardrobe."""
        return f"{self.garment.line}-{self.number}"

    @property
    def view_seed(self) -> int:
        """The seed that distinguishes this picture from others of the same garment or line."""
        return self.number * 1000 + self.view


@dataclass(frozen=True, slots=True)
class Query:
    """A picture, words, and the garment that they lead to."""

    reference: Picture
    modification: str
    targets: tuple[Picture, ...]

    def record(self) -> dict[str, Any]:
        """The query as a line of JSON."""
        return {
            "reference": self.reference.name,
            "modification": self.modification,
            "targets": [picture.name for picture in self.targets],
            "change": changes(self.reference.garment, self.targets[0].garment),
        }


@dataclass(frozen=True)
class WardrobeResult:
    """How much of a wardrobe was written."""

    pictures: Mapping[str, int]
    """By split."""
    garments: Mapping[str, int]
    """By split."""
    queries: Mapping[str, int]
    """By split, of those that have queries."""


def write_wardrobe(
    out: Path | str,
    *,
    seed: int = 0,
    lines: Mapping[str, int] | None = None,
    views: int = 2,
    size: int = 96,
    workers: int | None = None,
) -> WardrobeResult:
    """Draw a wardrobe into a folder, with captions, queries and the true attributes.

    The result depends neither on `workers` nor on interruptions: finished pictures are kept. `world.json` records the
    settings.

    Args:
        out: the folder.
        seed: seed of everything random.
        lines: how many lines (designs) each split gets: any of pretrain, unlabelled, val and test. No line is in two
            splits.
        views: pictures of every garment.
        size: the side of a picture, in pixels.
        workers: processes that draw; by default one for every core; 1 starts no process.

    Returns:
        How many pictures, garments and queries each split has.

    Raises:
        UsageError: an argument is out of its range, or the folder holds another wardrobe.
        FailureError: a drawing process died.
    """
    out = Path(out)
    lines = dict(DEFAULT_LINES if lines is None else lines)
    workers = (os.cpu_count() or 1) if workers is None else workers
    _check(lines, seed, views, size, workers)
    settings = {"seed": seed, "lines": lines, "views": views, "size": size}
    _claim(out, settings)

    pictures = _plan(lines, seed, views)
    queries = {voice: _queries(pictures, voice, seed) for voice in QUERIES if lines.get(voice)}
    _write_lists(out, pictures)
    for voice, asked in queries.items():
        _write_text(
            out / f"queries.{voice}.jsonl",
            "".join(json.dumps(query.record(), ensure_ascii=False) + "\n" for query in asked),
        )
        _write_fashioniq(out, pictures, asked, voice, seed)
    _draw_all(out / "images", pictures, size, workers)

    result = WardrobeResult(
        pictures={split: sum(picture.split == split for picture in pictures) for split in lines},
        garments={split: len({p.garment_id for p in pictures if p.split == split}) for split in lines},
        queries={voice: len(asked) for voice, asked in queries.items()},
    )
    write_json(out / "world.json", made_by("triptych world", settings, **asdict(result)))
    return result


def _check(lines: Mapping[str, int], seed: int, views: int, size: int, workers: int) -> None:
    unknown = [split for split in lines if split not in DEFAULT_LINES]
    if unknown:
        raise UsageError(f"there is no split {unknown[0]!r}; the splits are {', '.join(DEFAULT_LINES)}")
    if not any(lines.values()) or any(not 0 <= count < _PER_SPLIT for count in lines.values()):
        raise UsageError(f"a world needs at least one line, and a split less than {_PER_SPLIT:,} of them")
    if seed < 0 or workers < 1:
        raise UsageError("a seed is 0 or more, and it takes 1 worker or more to draw")
    if not 1 <= views <= 1000:
        raise UsageError(f"{views} views of a garment are not possible; give 1 to 1000")
    if not 16 <= size <= 1024:
        raise UsageError(f"pictures of {size} pixels cannot be drawn; give 16 to 1024")


def _claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Record the settings before the first picture, so that a wardrobe is only resumed with the same settings."""
    path = out / "settings.json"
    if path.exists():
        if read_json(path, "note of a world's settings") != settings:
            raise UsageError(f"{out}: holds a wardrobe with other settings; choose another folder or delete this one")
    else:
        write_json(path, settings)


def _plan(lines: Mapping[str, int], seed: int, views: int) -> list[Picture]:
    """Every picture of the world, in the order of splits, lines, garments and views."""
    places = []
    for index, split in enumerate(DEFAULT_LINES):
        for line in range(lines.get(split, 0)):
            # The number identifies the design: it differs for every split and seed.
            identity = (seed * len(DEFAULT_LINES) + index) * _PER_SPLIT + line
            garments = design(identity, Random(f"line {identity}"))
            places += [
                (split, number, view, garment) for number, garment in enumerate(garments) for view in range(views)
            ]
    # Names must not reveal which pictures belong together.
    names = [f"w{number:06}.jpg" for number in range(len(places))]
    Random(f"names {seed}").shuffle(names)
    return [Picture(name, *place) for name, place in zip(names, places, strict=True)]


def _queries(pictures: Iterable[Picture], voice: Voice, seed: int) -> list[Query]:
    """Queries between garments of one line that are one or two changes apart, in random order."""
    rng = Random(f"queries of {voice} {seed}")
    by_line: dict[int, dict[int, list[Picture]]] = {}
    for picture in pictures:
        if picture.split == voice:
            by_line.setdefault(picture.garment.line, {}).setdefault(picture.number, []).append(picture)
    pairs = [
        (references, targets)
        for garments in by_line.values()
        for references in garments.values()
        for targets in garments.values()
        if 1 <= len(changes(references[0].garment, targets[0].garment)) <= 2
    ]
    rng.shuffle(pairs)
    queries = []
    for references, targets in pairs[: QUERIES[voice]]:
        reference = rng.choice(references)
        words = modification(reference.garment, targets[0].garment, voice, rng)
        queries.append(Query(reference, words, tuple(sorted(targets, key=lambda picture: picture.name))))
    return queries


def _write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def _write_table(path: Path, rows: Iterable[Sequence[object]]) -> None:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    _write_text(path, table.getvalue())


def _write_lists(out: Path, pictures: Sequence[Picture]) -> None:
    """Write the pictures of each split, the captions of pretrain, and the true attributes."""
    ordered = sorted(pictures, key=lambda picture: picture.name)
    for split in sorted({picture.split for picture in pictures}):
        _write_text(out / f"{split}.txt", "".join(f"{p.name}\n" for p in ordered if p.split == split))
    captions = [(p.name, caption(p.garment, p.view_seed)) for p in ordered if p.split == "pretrain"]
    if captions:
        _write_table(out / "pretrain.csv", [("image", "caption"), *captions])
    columns = list(pictures[0].garment.attributes())
    truth = [(p.name, p.split, p.garment.line, p.garment_id, *p.garment.attributes().values()) for p in ordered]
    _write_table(out / "garments.csv", [("image", "split", "line", "garment", *columns), *truth])


def _write_fashioniq(out: Path, pictures: Sequence[Picture], queries: Sequence[Query], voice: Voice, seed: int) -> None:
    """Write the same queries in FashionIQ's files.

    That layout has one target for each query, so its galleries hold only the first view of each garment.
    """
    first = {p.garment_id: Path(p.name).stem for p in pictures if p.split == voice and p.view == 0}
    for category, kinds in CATEGORIES.items():
        rng = Random(f"{category} of {voice} {seed}")
        entries = [
            {
                "target": first[query.targets[0].garment_id],
                "candidate": first[query.reference.garment_id],
                "captions": relative_captions(query.reference.garment, query.targets[0].garment, voice, rng),
            }
            for query in queries
            if query.reference.garment.kind in kinds
        ]
        gallery = [
            first[p.garment_id] for p in pictures if p.split == voice and p.view == 0 and p.garment.kind in kinds
        ]
        write_json(out / "captions" / f"cap.{category}.{voice}.json", entries)
        write_json(out / "image_splits" / f"split.{category}.{voice}.json", sorted(gallery))


def _draw_all(folder: Path, pictures: Sequence[Picture], size: int, workers: int) -> None:
    """Draw every picture that is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    there = set(os.listdir(folder))
    missing = [picture for picture in pictures if picture.name not in there]
    # Views of a garment are adjacent in `missing`, so that a chunk draws its pieces only once.
    with _mapper(min(workers, 1 + len(missing) // 64)) as run:
        drawn = run(partial(_draw_one, folder, size), missing)
        for _ in progress(drawn, "drawing", total=len(pictures), unit="picture", done=len(pictures) - len(missing)):
            pass


Mapper = Callable[[Callable[[Picture], None], Sequence[Picture]], Iterable[None]]


@contextmanager
def _mapper(workers: int) -> Iterator[Mapper]:
    """A map over pictures, in this process or in several."""
    if workers == 1:
        yield map
        return
    # Spawned processes work alike on every system and inherit no threads.
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield partial(pool.map, chunksize=32)
    except BrokenProcessPool:
        raise FailureError(
            'a drawing process died: in a script, call this below `if __name__ == "__main__":` or with workers=1; '
            "otherwise check whether there is enough memory"
        ) from None


def _draw_one(folder: Path, size: int, picture: Picture) -> None:
    image = draw(picture.garment, picture.view_seed, size)
    with atomic(folder / picture.name) as temporary:
        image.save(temporary, format="JPEG", quality=90)
