"""FashionIQ: a garment and two captions of how the target differs, for dresses, shirts, and tops and tees.

Wu et al., *Fashion IQ* (CVPR 2021). The layout is that of the authors: `captions/cap.dress.val.json`,
`image_splits/split.dress.val.json`, and the pictures in `images/`, as .jpg or .png. Only the targets of val are public.
The metrics are R@10 and R@50 for each category, and their mean. The gallery includes the reference, as in the common
protocol.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from triptych.benchmarks.annotations import Record, inner_path, read_official, read_records, report_refined
from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.circus import QuerySubset, text_key
from triptych.benchmarks.settings import ReferenceSettings, Subset
from triptych.benchmarks.task import MetricCutoffs, Query, Task
from triptych.core.errors import DataError

CATEGORIES = ("dress", "shirt", "toptee")
SOURCE = "the captions and image splits are at github.com/XiaoxiaoGuo/fashion-iq"
PICTURES = (
    "FashionIQ's pictures are not distributed with its captions: github.com/hongwang600/fashion-iq-metadata has "
    "their URLs, and issue 18 of github.com/XiaoxiaoGuo/fashion-iq a link to an archive"
)
_ENDS = ".?, "


@dataclass(frozen=True)
class FashionIQSettings(ReferenceSettings):
    """Settings in which published code differs.

    `gallery`: `original` is the image split; `union`, sometimes called the "val split", is the union of the references
    and targets of the captions. `captions`: how the two are joined by "and"; `both-orders` averages the vectors of both
    orders, as SEARLE and LinCIR do. `reference`: whether it may be an answer. `subset`: the queries of val with a
    CIRCUS label. `annotations`: other files in `captions/` in the official layout, such as Refined FashionIQ (Huynh et
    al., *CoLLM*, CVPR 2025), which has new texts for the same queries. A name with {category} is read for each
    category. A file without it is shared: each category uses the entries whose pictures are in its split. Such files
    may have one caption per entry.
    """

    gallery: Literal["original", "union"] = "original"
    captions: Literal["first-and-second", "second-and-first", "both-orders"] = "first-and-second"
    subset: Subset = "all"
    annotations: str = "original"


def load_fashioniq(root: Path, split: str, settings: FashionIQSettings) -> list[Task]:
    """Load the three categories of a split. Pictures may be missing. Raises DataError for wrong or missing files."""
    there = frozenset(os.listdir(root / "images")) if (root / "images").is_dir() else frozenset()
    labelled = QuerySubset.of(root, "fashioniq", settings.subset, split)
    tasks = [_category(root, split, category, settings, there, labelled) for category in CATEGORIES]
    labelled.report(sum(len(task.queries) for task in tasks))
    return [task for task in tasks if task.queries]


def _category(
    root: Path,
    split: str,
    category: str,
    settings: FashionIQSettings,
    there: frozenset[str],
    labelled: QuerySubset,
) -> Task:
    listed = read_split(root / "image_splits" / f"split.{category}.{split}.json")
    named = settings.annotations.replace("{category}", category)
    if settings.annotations == "original":
        named = f"cap.{category}.{split}.json"
    captions = root / "captions" / inner_path(f"--setting annotations={named}", named)
    shared = settings.annotations != "original" and "{category}" not in settings.annotations
    records = list(enumerate(read_records(captions, SOURCE)))
    mine = [
        (number, record)
        for number, record in records
        if not shared or {record.text("candidate"), record.text("target")} <= listed
    ]
    if not mine:
        raise DataError(f"{captions}: no entry has its pictures in the image split of {category}")
    queries = tuple(
        _query(record, str(number), listed, settings) for number, record in mine if labelled.keeps(record, _key)
    )
    if settings.annotations != "original":
        report_refined(f"{captions}: {category}", [record for _, record in mine])
    asked = {query.reference for query in queries}.union(*(query.targets for query in queries))
    gallery = listed if settings.gallery == "original" else asked
    files = {name: picture_file(name, there) for name in gallery | asked}
    return Task(
        benchmark="fashioniq",
        name=category,
        split=split,
        root=root / "images",
        gallery=tuple(sorted(gallery)),
        queries=queries,
        files=files,
        settings=settings,
        measures=MetricCutoffs(recall=(10, 50), map_at=()),
        source=PICTURES,
    )


def _key(record: Record) -> str:
    return text_key(record.text("candidate"), " and ".join(record.texts("captions")))


def read_split(path: Path) -> set[str]:
    """Read the pictures of a category's split.

    Raises:
        DataError: the file is wrong or missing.
    """
    names = read_official(path, SOURCE)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: not a list of picture names; get it again: {SOURCE}")
    if len(set(names)) < len(names):
        raise DataError(f"{path}: names a picture twice; get it again: {SOURCE}")
    return set(names)


def _query(record: Record, number: str, listed: set[str], settings: FashionIQSettings) -> Query:
    reference, target = record.text("candidate"), record.text("target")
    for name in (reference, target):
        if name not in listed:
            raise record.error(f"{name!r} is not in the image split; is it of another category or split?")
    if reference == target:
        raise record.error(f"{reference!r} is its own target")
    captions = [caption.strip(_ENDS) for caption in record.texts("captions")]
    if len(captions) == 1 and settings.annotations != "original":
        return Query(number, reference, settings.wrap(captions[0]), frozenset({target}))
    if len(captions) != 2:
        raise record.error(f'"captions" must have two entries, not {len(captions)}')
    orders = [" and ".join(captions), " and ".join(reversed(captions))]
    if settings.captions == "first-and-second":
        orders = orders[:1]
    elif settings.captions == "second-and-first":
        orders = orders[1:]
    first, *others = map(settings.wrap, orders)
    return Query(number, reference, first, frozenset({target}), other_wordings=tuple(others))


def picture_file(name: str, there: frozenset[str]) -> str:
    """The path of a picture, by the names of existing files."""
    png = f"{name}.png"
    return png if png in there and f"{name}.jpg" not in there else f"{name}.jpg"


FASHIONIQ = Benchmark("fashioniq", load_fashioniq, ("val",), settings=FashionIQSettings, averaged=True)
