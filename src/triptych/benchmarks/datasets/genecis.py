"""GeneCIS: find the picture that is similar in what the word says, in a small gallery for each query.

Vaze et al., *GeneCIS: A Benchmark for General Conditional Image Similarity* (CVPR 2023). The layout: the authors'
templates `genecis/focus_attribute.json` and three others; Visual Genome 1.2 for the attributes, whose objects are
cropped as in their datasets/vaw_dataset.py; COCO's val2017 for the objects. The metrics are R@1/2/3 for each of the
four tasks, and their mean.

The authors put the target first in every gallery, where a constant feature would find it; here ties count against the
method. A distractor that is the same crop of the same picture as the target is left out, since no method can
distinguish the two. A distractor that is listed twice takes two places, as in the authors' code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triptych.benchmarks.annotations import Record, inner_path, read_records
from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.settings import ProtocolSettings
from triptych.benchmarks.task import Box, MetricCutoffs, Query, Task

TASKS = ("focus_attribute", "change_attribute", "focus_object", "change_object")
SOURCE = "GeneCIS's templates are the folder genecis of github.com/facebookresearch/genecis"
PICTURES = {
    "attribute": "get Visual Genome 1.2 (images.zip and images2.zip) into Visual_Genome/VG_100K and VG_100K_2",
    "object": "get COCO's val2017.zip from cocodataset.org into coco2017/val2017",
}
# Folders below the root. Published code expects the first one of each.
_FOLDERS = {
    "attribute": ("Visual_Genome/VG_All", "Visual_Genome/VG_100K", "Visual_Genome/VG_100K_2", "VG_100K", "VG_100K_2"),
    "object": ("coco2017/val2017", "val2017"),
}
_DILATION = 0.7  # the extension of boxes as a share of their size, as in the authors' code


@dataclass(frozen=True)
class GeneCISSettings(ProtocolSettings):
    """The settings of every benchmark. Galleries and crops are fixed."""


@dataclass
class _Pictures:
    """Collects the pictures of a task from its templates."""

    folders: Sequence[str]
    there: Sequence[frozenset[str]]
    files: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, Box] = field(default_factory=dict)

    def add(self, record: Record, place: int = 1) -> str:
        """Add a template's picture and return its name. `place` distinguishes equal pictures of one gallery."""
        if "val_image_id" in record:
            name = f"{record.number('val_image_id'):012d}"
            file, box = f"{name}.jpg", None
        else:
            number, box = record.identifier("image_id"), _dilated(record)
            file = inner_path(record.where, f"{number}.jpg")
            name = f"{number} {' '.join(f'{length:g}' for length in record.lengths('instance_bbox'))}"
        name = name if place == 1 else f"{name} ({place})"
        folder = next((folder for folder, files in zip(self.folders, self.there, strict=True) if file in files), None)
        self.files[name] = f"{folder or self.folders[0]}/{file}"
        if box is not None:
            self.boxes[name] = box
        return name


def load_genecis(root: Path, split: str, settings: GeneCISSettings) -> list[Task]:
    """Load the four tasks. The pictures may still be missing.

    Raises:
        DataError: annotation files are missing or wrong.
    """
    return [_task(root, split, name, settings) for name in TASKS]


def _task(root: Path, split: str, name: str, settings: GeneCISSettings) -> Task:
    kind = name.partition("_")[2]
    templates = root / "genecis" if (root / "genecis").is_dir() else root
    folders = _FOLDERS[kind]
    present = [folder for folder in folders if (root / folder).is_dir()] or [folders[0]]
    pictures = _Pictures(present, [_names(root / folder) for folder in present])
    queries = tuple(
        _query(record, str(number), pictures, settings)
        for number, record in enumerate(read_records(templates / f"{name}.json", SOURCE))
    )
    return Task(
        benchmark="genecis",
        name=name,
        split=split,
        root=root,
        gallery=tuple(sorted({candidate for query in queries for candidate in query.candidates or ()})),
        queries=queries,
        files=pictures.files,
        boxes=pictures.boxes,
        settings=settings,
        measures=MetricCutoffs(recall=(1, 2, 3), map_at=()),
        source=PICTURES[kind],
    )


def _query(record: Record, number: str, pictures: _Pictures, settings: GeneCISSettings) -> Query:
    target = pictures.add(record.record("target"))
    seen: dict[str, int] = {target: 0}
    candidates = [target]
    for other in record.records("gallery"):
        name = pictures.add(other)
        if name == target:
            continue
        seen[name] = seen.get(name, 0) + 1
        candidates.append(pictures.add(other, seen[name]))
    if len(candidates) == 1:
        raise record.error('"gallery" contains only the target')
    return Query(
        id=number,
        reference=pictures.add(record.record("reference")),
        modification=settings.wrap(record.text("condition")),
        targets=frozenset({target}),
        candidates=tuple(candidates),
    )


def _dilated(record: Record) -> Box:
    """The object's box (left, top, width, height), extended to the left and upwards as in the authors' code."""
    lengths = record.lengths("instance_bbox")
    if len(lengths) != 4 or min(lengths[2:]) <= 0:
        raise record.error('"instance_bbox" must be left, top, width and height')
    left, top = (max(0.0, start - _DILATION * length) for start, length in zip(lengths[:2], lengths[2:], strict=True))
    return left, top, left + (1 + _DILATION) * lengths[2], top + (1 + _DILATION) * lengths[3]


def _names(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


GENECIS = Benchmark("genecis", load_genecis, ("test",), settings=GeneCISSettings, averaged=True)
