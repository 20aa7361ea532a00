"""CIRR, release rc2: open-domain pictures of NLVR2, with queries within groups of six similar pictures.

Liu et al., *Image Retrieval on Real-life Images with Pre-trained Vision-and-Language Models* (ICCV 2021). The layout is
that of the authors: `captions/cap.rc2.val.json` and `image_splits/split.rc2.val.json`, below the folder or its `cirr/`,
and the pictures below `img_raw/` or beside it. The metrics are R@1/5/10/50 over the split without the reference,
R_subset@1/2/3 over the group without the reference, and Avg, the mean of R@5 and R_subset@1. Only the authors' server
knows the targets of test1.
"""

from dataclasses import dataclass
from pathlib import Path

from triptych.benchmarks.annotations import Record, inner_path, read_official, read_records, report_refined
from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.circus import QuerySubset, text_key
from triptych.benchmarks.settings import Reference, ReferenceSettings, Subset
from triptych.benchmarks.submissions import SubmissionFile, SubmissionFormat
from triptych.benchmarks.task import MetricCutoffs, Query, Task
from triptych.core.errors import DataError

SOURCE = "CIRR's annotations are the branch cirr_dataset of github.com/Cuberick-Orion/CIRR"
PICTURES = "CIRR's pictures come from the authors of NLVR2, on a form: github.com/lil-lab/nlvr, nlvr2, direct download"
MEASURES = MetricCutoffs(recall=(1, 5, 10, 50), map_at=(), subset=(1, 2, 3))
SUBMISSION = SubmissionFormat(
    files=(
        SubmissionFile("recall", 50, "{split}_pred_ranks_recall.json"),
        SubmissionFile("recall_subset", 3, "{split}_pred_ranks_recall_subset.json", group=True),
    ),
    header={"version": "rc2"},
    max_bytes=5_000_000,
)
"""What the server expects (Test-split_server.md of the annotations): the 50 best names for every pairid, or the 3 best
of the group.
"""


@dataclass(frozen=True)
class CIRRSettings(ReferenceSettings):
    """`reference`: whether it may be an answer. Published code removes it, and R_subset always does.

    `subset`: the queries of val with a CIRCUS label. `annotations`: another file in `captions/` in the official layout,
    such as Refined CIRR (Huynh et al., *CoLLM*, CVPR 2025: refined_cirr.val.json of chuonghm/Refined-CIRR at
    huggingface.co), which has new texts for the same queries.
    """

    reference: Reference = "removed"
    subset: Subset = "all"
    annotations: str = "original"


def load_cirr(root: Path, split: str, settings: CIRRSettings) -> list[Task]:
    """Load the task of a split. The pictures may be missing. Raises DataError for wrong or missing annotations."""
    folder = root / "cirr" if (root / "cirr" / "captions").is_dir() else root
    files = read_split(folder / "image_splits" / f"split.rc2.{split}.json")
    labelled = QuerySubset.of(root, "cirr", settings.subset, split)
    named = f"cap.rc2.{split}.json" if settings.annotations == "original" else settings.annotations
    captions = folder / "captions" / inner_path(f"--setting annotations={named}", named)
    queries: dict[str, Query] = {}
    records = list(read_records(captions, SOURCE))
    if settings.annotations != "original":
        report_refined(str(captions), records)
    for record in records:
        if not labelled.keeps(record, _key):
            continue
        query = _query(record, files, settings, public=split != "test1")
        if query.id in queries:
            raise record.error(f"the pairid {query.id} appears twice")
        queries[query.id] = query
    labelled.report(len(queries))
    return [
        Task(
            benchmark="cirr",
            name="relative",
            split=split,
            root=pictures_folder(root, folder, next(iter(files.values()))),
            gallery=tuple(sorted(files)),
            queries=tuple(queries.values()),
            files=files,
            settings=settings,
            measures=MEASURES,
            source=PICTURES,
        )
    ]


def _key(record: Record) -> str:
    return text_key(record.text("reference"), record.text("caption"))


def read_split(path: Path) -> dict[str, str]:
    """Read the pictures of a split. Returns paths by name.

    Raises:
        DataError: the file is wrong or missing.
    """
    content = read_official(path, SOURCE)
    if not isinstance(content, dict) or not content:
        raise DataError(f"{path}: not an object of names and paths; get it again: {SOURCE}")
    record = Record(str(path), content)
    return {name: inner_path(str(path), record.text(name)) for name in content}


def _query(record: Record, files: dict[str, str], settings: CIRRSettings, *, public: bool) -> Query:
    reference = record.text("reference")
    group = record.record("img_set").texts("members")
    target = record.text("target_hard") if public else None
    for name in (reference, *group, *([target] if target else ())):
        if name not in files:
            raise record.error(f"{name!r} is not in the image split; is it of another split?")
    if target == reference:
        raise record.error(f"{reference!r} is its own target")
    if target is not None and target not in group:
        raise record.error(f"the target {target!r} is not in its own group")
    return Query(
        id=str(record.number("pairid")),
        reference=reference,
        modification=settings.wrap(record.text("caption")),
        targets=frozenset({target}) if target else frozenset(),
        group=tuple(name for name in group if name != reference),
    )


def pictures_folder(root: Path, folder: Path, one: str) -> Path:
    """The folder that the paths of splits are relative to; the authors' folder if there are no pictures yet."""
    first = Path(one).parts[0]
    places = (folder / "img_raw", folder, root / "img_raw", root)
    return next((place for place in places if (place / first).exists()), folder / "img_raw")


CIRR = Benchmark("cirr", load_cirr, ("val", "test1"), {"test1": "val"}, CIRRSettings, submission=SUBMISSION)
