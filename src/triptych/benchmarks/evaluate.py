"""`evaluate`: one or more methods on one benchmark, and the table and the result file that come of it."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from triptych.baselines import DEFAULT_WEIGHT, METHODS, WEIGHTS, PictureOnly, TextOnly, WithPicture, baseline
from triptych.benchmarks.outcomes import composition_gap, digests, listed, rounded
from triptych.benchmarks.protocol import Task
from triptych.benchmarks.queries import load_queries
from triptych.benchmarks.registry import BENCHMARKS, load_tasks
from triptych.composers.protocol import Composer
from triptych.composers.trained import TrainedComposer
from triptych.encoders import Encoder, Vectors, load_encoder
from triptych.errors import DataError, PictureError, TriptychError, UsageError
from triptych.files import made_by, write_json
from triptych.images import load_pictures
from triptych.metrics import means, ranks_of_targets, summarise
from triptych.metrics import per_query as query_values
from triptych.progress import progress, say
from triptych.tagging import load_vocabulary

_BATCH = 256


def evaluate(
    benchmark: str,
    *,
    root: Path | str | None = None,
    gallery: Path | str | None = None,
    split: str = "test",
    encoder: str | None = None,
    methods: Sequence[str] = (),
    composers: Sequence[Path | str] = (),
    weight: float | None = None,
    tune_root: Path | str | None = None,
    vocabulary: Path | str | None = None,
    gap: bool = True,
    per_query: bool = False,
    output: Path | str | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Measure `methods` (names of baselines, or "all") and trained `composers` on a benchmark or on your own queries.

    `benchmark` is a name, with the folder its authors distribute as `root`; or a .jsonl file of queries, with the
    `gallery` folder. A weighted method takes `weight`, or else the weight that does best (R@10) on the val split of
    `tune_root`, or of `root`; where there is none, one half. The encoder defaults to that of the first composer.

    With `gap` every row also says what picture only and words only reach on the same queries, and how far ahead of the
    better of them the method is. With `per_query` it also holds each query's metrics, which `compare` needs to tell
    whether a difference is more than chance.

    Returns, and writes to `output`, `{"rows": [...], "made_by": {...}}` as documented in docs/formats.md.
    Raises UsageError for names that mean nothing, DataError where the benchmark's files are missing or wrong,
    MismatchError where a composer belongs to another encoder.
    """
    root = Path(root) if root else None
    gallery = Path(gallery) if gallery else None
    tune_root = Path(tune_root) if tune_root else None
    vocabulary = Path(vocabulary) if vocabulary else None
    output = Path(output) if output else None
    names = [name for chosen in methods for name in (METHODS if chosen == "all" else (chosen,))]
    if not names and not composers:
        raise UsageError(f"give a --method ({', '.join(METHODS)}, all) or a --composer")
    trained = [TrainedComposer(Path(folder)) for folder in composers]
    engine = load_encoder(encoder or (trained[0].encoder_name if trained else "wardrobe"), threads=threads)
    for composer in trained:
        composer.attach(engine)
    own = BENCHMARKS[benchmark].vocabulary if benchmark in BENCHMARKS else None
    words = load_vocabulary(vocabulary or own)
    fixed = [
        baseline(name, engine, words, DEFAULT_WEIGHT if weight is None else weight) for name in dict.fromkeys(names)
    ]

    tasks = _load(benchmark, root, gallery, split)
    wanted = weight is None and any(isinstance(method, WithPicture) for method in fixed)
    tuning = _tuning_tasks(benchmark, root, split, tune_root) if wanted else {}
    rows = []
    encoded: dict[Path, Any] = {}
    prepared = {task.name: EncodedTask(task, engine, encoded) for task in tasks}
    tuned_on = {name: EncodedTask(task, engine, encoded) for name, task in tuning.items()}
    for name, task in prepared.items():
        inputs = (PictureOnly(), TextOnly(engine)) if gap else ()
        alone = [task.row(method, engine)["metrics"] for method in inputs]
        for method in [*fixed, *trained]:
            facts: dict[str, Any] = {}
            if isinstance(method, WithPicture):
                if name in tuned_on:
                    method = replace(method, weight=best_weight(method, tuned_on[name]))
                source = "val" if name in tuned_on else "default" if weight is None else "given"
                facts = {"weight": method.weight, "weight_from": source}
            row = task.row(method, engine, per_query=per_query)
            rows.append(row | facts | (composition_gap(row["metrics"], *alone) if gap else {}))
    settings: dict[str, Any] = {
        "benchmark": benchmark,
        "root": root,
        "gallery": gallery,
        "split": split,
        "weight": weight,
    }
    settings |= {"methods": names, "composers": [str(folder) for folder in composers], "tune_root": tune_root}
    result = {"rows": rows, "made_by": made_by("eval", settings, encoder_fingerprint=engine.fingerprint)}
    if output:
        write_json(output, result)
    return result


def _load(benchmark: str, root: Path | None, gallery: Path | None, split: str) -> list[Task]:
    if benchmark.endswith(".jsonl"):
        if gallery is None:
            raise UsageError(f"{benchmark}: your own queries need --gallery, the folder of their pictures")
        return [load_queries(Path(benchmark), gallery, root)]
    if root is None:
        raise UsageError(f"{benchmark}: needs --root, the folder that its authors distribute")
    return load_tasks(benchmark, root, split)


def _tuning_tasks(benchmark: str, root: Path | None, split: str, tune_root: Path | None) -> dict[str, Task]:
    """The val split that weights are chosen on, by task; none for queries, or where a whole folder is one split."""
    if benchmark not in BENCHMARKS or (split == "all" and tune_root is None):
        return {}
    folder = tune_root or root
    assert folder is not None
    try:
        return {task.name: task for task in load_tasks(benchmark, folder, "val")}
    except TriptychError as error:
        if tune_root is not None:
            raise
        say(f"eval: no validation split to choose a weight on, so it is one half ({error})")
        return {}


class EncodedTask:
    """A task with the vectors of its pictures, ready to be asked.

    Pictures that cannot be read are left out and counted, with the queries that cannot be asked without them.
    Raises DataError where no query is left.

    `encoded` holds vectors by path and is added to: tasks that share it encode a picture once.
    """

    def __init__(self, task: Task, encoder: Encoder, encoded: dict[Path, Any] | None = None) -> None:
        self.task = task
        known = {} if encoded is None else encoded
        names = sorted({*task.gallery, *(query.reference for query in task.queries)})
        missing = [name for name in names if task.root / name not in known]
        if missing:
            fresh = encode_named(encoder, task.root, missing, f"encode {task.name}")
            known.update((task.root / name, vector) for name, vector in fresh.items())
        vector_of = {name: known[task.root / name] for name in names if task.root / name in known}
        self.gallery_names = [name for name in task.gallery if name in vector_of]
        row_of = {name: row for row, name in enumerate(self.gallery_names)}
        self.queries = [
            query for query in task.queries if query.reference in vector_of and any(t in row_of for t in query.targets)
        ]
        self.unreadable = len(names) - len(vector_of)
        if not self.queries:
            raise DataError(f"{task.root}: none of the {len(task.queries)} queries of {task.name} can be asked")
        if self.unreadable:
            lost = len(task.queries) - len(self.queries)
            say(f"{task.name}: {self.unreadable} pictures cannot be read; {lost} queries are lost with them")
        self.gallery = np.stack([vector_of[name] for name in self.gallery_names])
        self.references = np.stack([vector_of[query.reference] for query in self.queries])
        self._targets = [_rows(query.targets, row_of) for query in self.queries]
        self._excluded = [_rows({*query.exclude, query.reference}, row_of) for query in self.queries]
        self._candidates = [
            None if query.candidates is None else _rows(query.candidates, row_of) for query in self.queries
        ]

    def compose(self, method: Composer) -> Vectors:
        """The method's query vectors."""
        return method.compose(
            self.references,
            [query.modification for query in self.queries],
            [query.change for query in self.queries],
        )

    def ranks(self, queries: Vectors, gallery: Vectors) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
        """Each query's target ranks, by the protocol: its reference is never an answer."""
        return ranks_of_targets(queries, gallery, self._targets, self._excluded, self._candidates)

    def row(self, method: Composer, encoder: Encoder, *, per_query: bool = False) -> dict[str, Any]:
        """One row of a result file."""
        values = query_values(self.ranks(self.compose(method), method.gallery(self.gallery)))
        return {
            "benchmark": self.task.benchmark,
            "task": self.task.name,
            "split": self.task.split,
            "method": method.name,
            "encoder": encoder.name,
            "metrics": rounded(means(values)),
            "queries": len(self.queries),
            "gallery": len(self.gallery_names),
            "unreadable": self.unreadable,
            **digests(self.queries, self.gallery_names),
            **({"per_query": listed(values)} if per_query else {}),
        }


def best_weight(method: WithPicture, task: EncodedTask) -> float:
    """The weight with the highest R@10, mAP@10 deciding between equals."""
    texts = task.compose(method.text)

    def score(weight: float) -> tuple[float, float]:
        metrics = summarise(task.ranks(method.blend(task.references, texts, weight), task.gallery))
        return metrics["R@10"], metrics["mAP@10"]

    return max(WEIGHTS, key=score)


def encode_named(encoder: Encoder, root: Path, names: Sequence[str], what: str) -> dict[str, Any]:
    """Picture name to vector, for every picture that can be read; the others are named on the terminal."""
    vector_of: dict[str, Any] = {}
    waiting: dict[str, Any] = {}

    def flush() -> None:
        if waiting:
            vectors = encoder.encode_pictures(np.stack(list(waiting.values())))
            vector_of.update(zip(waiting, vectors, strict=True))
            waiting.clear()

    loaded = load_pictures(root, names, threads=os.cpu_count() or 1, prepare=encoder.prepare)
    for name, pixels in progress(loaded, what, total=len(names), unit="picture"):
        if isinstance(pixels, PictureError):
            say(f"skipped {name!r}: {pixels}")
            continue
        waiting[name] = pixels
        if len(waiting) == _BATCH:
            flush()
    flush()
    return vector_of


def _rows(names: Any, row_of: dict[str, int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(sorted(row_of[name] for name in names if name in row_of), np.int64)
