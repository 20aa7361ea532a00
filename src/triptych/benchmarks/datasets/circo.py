"""CIRCO: COCO's unlabelled pictures of 2017, with several targets for each query.

Baldrati et al., *Zero-Shot Composed Image Retrieval with Textual Inversion* (ICCV 2023). The layout is that of the
authors: `annotations/val.json`, and COCO's `COCO2017_unlabeled/annotations/image_info_unlabeled2017.json` and
`COCO2017_unlabeled/unlabeled2017/`, 123,403 pictures. The metrics are mAP@5/10/25/50 over all targets, R@k of the
target for which the text was written, and mAP@10 by semantic aspect (their src/evaluation.py). Only the authors' server
knows the targets of test. A picture's name is its id in twelve digits.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from triptych.benchmarks.annotations import Record, read_official, read_records
from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.circus import QuerySubset
from triptych.benchmarks.settings import ReferenceSettings, Subset
from triptych.benchmarks.submissions import SubmissionFile, SubmissionFormat
from triptych.benchmarks.task import MetricCutoffs, Query, Task
from triptych.core.errors import DataError

SOURCE = "CIRCO's annotations are at github.com/miccunifi/CIRCO"
PICTURES = "get COCO's unlabeled2017.zip and image_info_unlabeled2017.zip from cocodataset.org into COCO2017_unlabeled/"
CUTS = (5, 10, 25, 50)
GALLERY_SIZE = 123_403
DIGITS = 12
SUBMISSION = SubmissionFormat(files=(SubmissionFile("mAP", 50, "submission_{split}.json"),), digits=DIGITS)
"""What the server expects (its README and src/evaluation.py): the ids of the 50 best pictures for every query id."""
MEASURES = MetricCutoffs(recall=CUTS, map_at=CUTS, aspects=10, single=True)

_SENTENCES = {
    "unused": "{caption}",
    "magiclens": "find {concept} but {caption}",
    "megapairs": "Find a picture that also {concept}, but {caption}.",
}


@dataclass(frozen=True)
class CIRCOSettings(ReferenceSettings):
    """Settings in which published code differs.

    `reference`: SEARLE, LinCIR, CIReVL, MagicLens and MegaPairs keep it among the answers, CoVR removes it.
    `shared_concept`: words for what reference and targets have in common. MagicLens ("find … but …") and MegaPairs
    ("Find a picture that also …, but ….") use them, the others do not. Figures with and without cannot be compared.
    `subset`: the queries of val with a CIRCUS label.
    """

    shared_concept: Literal["unused", "magiclens", "megapairs"] = "unused"
    subset: Subset = "all"


def load_circo(root: Path, split: str, settings: CIRCOSettings) -> list[Task]:
    """Load the task of a split. It needs COCO's list of the pictures, but no pictures. Raises DataError for wrong
    files."""
    files = read_gallery(root)
    queries = read_queries(root, split, settings)
    for query in queries:
        for name in sorted({query.reference, *query.targets} - files.keys()):
            where = f"{_annotations(root, split)}: query {query.id}"
            raise DataError(f"{where}: COCO's list has no picture {int(name)}; is it that of unlabeled2017?")
    return [_task(root, split, settings, files, queries)]


def load_circo_for_scoring(root: Path, split: str, settings: CIRCOSettings) -> list[Task]:
    """Load the task for scoring a submission. If COCO's list of the pictures is missing, the gallery is empty."""
    if gallery_file(root).is_file():
        return load_circo(root, split, settings)
    return [_task(root, split, settings, {}, read_queries(root, split, settings))]


def _task(root: Path, split: str, settings: CIRCOSettings, files: dict[str, str], queries: list[Query]) -> Task:
    return Task(
        benchmark="circo",
        name="relative",
        split=split,
        root=root / "COCO2017_unlabeled" / "unlabeled2017",
        gallery=tuple(sorted(files)),
        queries=tuple(queries),
        files=files,
        settings=settings,
        measures=MEASURES,
        notes={} if files else {"gallery": GALLERY_SIZE},
        source=PICTURES,
    )


def gallery_file(root: Path) -> Path:
    """The path of COCO's list of the pictures."""
    return root / "COCO2017_unlabeled" / "annotations" / "image_info_unlabeled2017.json"


def read_gallery(root: Path) -> dict[str, str]:
    """Read each picture's name and file. Raises DataError if COCO's list is missing or wrong."""
    path = gallery_file(root)
    listed = Record(str(path), read_official(path, PICTURES)).records("images")
    files = {picture_name(record.number("id")): record.path("file_name") for record in listed}
    if not files or len(files) < len(listed):
        raise DataError(f"{path}: lists {'no picture' if not files else 'a picture twice'}; {PICTURES}")
    return files


def read_queries(root: Path, split: str, settings: CIRCOSettings) -> list[Query]:
    """Read the queries of a split, whose ids must be consecutive from 0. Raises DataError for wrong files."""
    queries = []
    labelled = QuerySubset.of(root, "circo", settings.subset, split)
    for number, record in enumerate(read_records(_annotations(root, split), SOURCE)):
        if record.number("id") != number:
            raise record.error(f"the id {record.number('id')} is out of order; expected {number}")
        if labelled.keeps(record, lambda each: str(each.number("id"))):
            queries.append(_query(record, settings, public=split != "test"))
    labelled.report(len(queries))
    return queries


def picture_name(number: int) -> str:
    """The name of the picture with this id."""
    return f"{number:0{DIGITS}d}"


def _annotations(root: Path, split: str) -> Path:
    return root / "annotations" / f"{split}.json"


def _query(record: Record, settings: CIRCOSettings, *, public: bool) -> Query:
    reference = record.number("reference_img_id")
    targets = record.numbers("gt_img_ids") if public else ()
    target = record.number("target_img_id") if public else None
    if public and (target not in targets or len(set(targets)) < len(targets)):
        raise record.error('"gt_img_ids" must contain "target_img_id", and no picture twice')
    if reference in targets:
        raise record.error(f"{reference} is its own target")
    sentence = _SENTENCES[settings.shared_concept]
    text = sentence.replace("{concept}", record.text("shared_concept").strip()) if "{concept}" in sentence else sentence
    return Query(
        id=str(record.number("id")),
        reference=picture_name(reference),
        modification=settings.wrap(text.replace("{caption}", record.text("relative_caption"))),
        targets=frozenset(map(picture_name, targets)),
        target=None if target is None else picture_name(target),
        aspects=record.texts("semantic_aspects") if "semantic_aspects" in record else (),
    )


CIRCO = Benchmark(
    "circo",
    load_circo,
    ("val", "test"),
    {"test": "val"},
    CIRCOSettings,
    submission=SUBMISSION,
    load_for_scoring=load_circo_for_scoring,
)
