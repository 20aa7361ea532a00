"""`evaluate`: one or more methods on one benchmark, and the table and the result file that come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from triptych.baselines import DEFAULT_WEIGHT, METHODS, WEIGHTS, WithPicture, baseline
from triptych.benchmarks.measuring import Ranks, Values, mean_row, summary, values
from triptych.benchmarks.pictures import Key, known_vectors, load_task_pictures, picture_key, require_folder
from triptych.benchmarks.protocol import Query, Task
from triptych.benchmarks.registry import BENCHMARKS, load_benchmark, load_tasks
from triptych.benchmarks.submissions import forms_of, submission_paths, write_submission
from triptych.catalog import Catalog, nearest
from triptych.composers.protocol import Composer
from triptych.composers.trained import TrainedComposer
from triptych.encoders import Encoder, Vectors, load_encoder, unit
from triptych.errors import DataError, PictureError, TriptychError, UsageError
from triptych.files import made_by, write_json
from triptych.metrics import Rows, ranks_of_targets, summarise
from triptych.progress import say
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
    settings: Sequence[str] = (),
    submission: Path | str | None = None,
    catalog: Path | str | None = None,
    output: Path | str | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Measure `methods` (names of baselines, or "all") and trained `composers` on a benchmark or on your own queries.

    `benchmark` is a name, with the folder its authors distribute as `root`; or a .jsonl file of queries, with the
    `gallery` folder. `settings` choose within its protocol ("gallery=union"; docs/benchmarks.md). A weighted method
    takes `weight`, or else the weight that does best (R@10) on the val split of `tune_root`, or of `root`; where
    there is none, or val itself is what an official benchmark measures, one half. The encoder defaults to that of the
    first composer. `submission` is where to write the files for the server of CIRR (a folder) or CIRCO, which is all
    that can be had where the targets are not public: then there are no rows. It takes one method. A `catalog` of the
    pictures, made by the same encoder, saves encoding them again.

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
    if submission:
        forms_of(benchmark)
        submission_paths(benchmark, split, Path(submission))
        if len({*names}) + len(composers) > 1:
            raise UsageError("a submission is of one method: give one --method or one --composer")
    trained = [TrainedComposer(Path(folder)) for folder in composers]
    engine = load_encoder(encoder or (trained[0].encoder_name if trained else "wardrobe"), threads=threads)
    for composer in trained:
        composer.attach(engine)
    own = BENCHMARKS[benchmark].vocabulary if benchmark in BENCHMARKS else None
    words = load_vocabulary(vocabulary or own)
    fixed = [
        baseline(name, engine, words, DEFAULT_WEIGHT if weight is None else weight) for name in dict.fromkeys(names)
    ]

    tasks = load_benchmark(benchmark, root, gallery, split, settings)
    if not submission and not all(task.public for task in tasks):
        raise UsageError(f"{benchmark}: the targets of {split} are not public; give --submission to write its files")
    wanted = weight is None and any(isinstance(method, WithPicture) for method in fixed)
    tuning = _tuning_tasks(benchmark, root, split, tune_root, settings) if wanted else {}
    rows = []
    encoded: dict[Key, Any] = {}
    if catalog:
        indexed = Catalog(Path(catalog))
        indexed.require(engine)
        encoded |= known_vectors(indexed, tasks)
    prepared = {task.name: EncodedTask(task, engine, encoded) for task in tasks}
    tuned_on = {name: EncodedTask(task, engine, encoded) for name, task in tuning.items()}
    for name, task in prepared.items():
        for method in [*fixed, *trained]:
            facts: dict[str, Any] = {}
            if isinstance(method, WithPicture):
                if name in tuned_on:
                    method = replace(method, weight=best_weight(method, tuned_on[name]))
                source = "val" if name in tuned_on else "default" if weight is None else "given"
                facts = {"weight": method.weight, "weight_from": source}
            if submission:
                _submit(task, method, Path(submission))
            if task.task.public:
                rows.append(task.row(method, engine) | facts)
    if benchmark in BENCHMARKS and BENCHMARKS[benchmark].averaged:
        count = len(fixed) + len(trained)
        rows += [mean_row(rows[place::count]) for place in range(count)]
    asked: dict[str, Any] = {
        "benchmark": benchmark,
        "root": root,
        "gallery": gallery,
        "split": split,
        "weight": weight,
    }
    asked |= {"methods": names, "composers": [str(folder) for folder in composers], "tune_root": tune_root}
    if settings:
        asked["settings"] = list(settings)
    result: dict[str, Any] = {"rows": rows, "made_by": made_by("eval", asked, encoder_fingerprint=engine.fingerprint)}
    if submission:
        result["submission"] = [str(file) for file in submission_paths(benchmark, split, Path(submission)).values()]
    if output:
        write_json(output, result)
    return result


def _tuning_tasks(
    benchmark: str, root: Path | None, split: str, tune_root: Path | None, settings: Sequence[str]
) -> dict[str, Task]:
    """The split that weights are chosen on, by task; none for queries, or where there is no other split to use."""
    if benchmark not in BENCHMARKS:
        return {}
    chosen_on = "val" if tune_root else BENCHMARKS[benchmark].weights_from.get(split)
    if chosen_on is None:
        return {}
    folder = tune_root or root
    assert folder is not None
    try:
        tasks = load_tasks(benchmark, folder, chosen_on, settings)
        for task in tasks:
            require_folder(task)
    except TriptychError as error:
        if tune_root is not None:
            raise
        say(f"eval: no validation split to choose a weight on, so it is one half ({error})")
        return {}
    return {task.name: task for task in tasks}


def _submit(task: "EncodedTask", method: Composer, path: Path) -> None:
    """Write the submission of a method. Raises DataError where pictures are missing: a server wants every query."""
    if task.unreadable:
        raise DataError(f"{task.task.root}: {task.unreadable} pictures cannot be read; a submission needs all of them")
    queries, gallery = task.compose(method), method.gallery(task.gallery)
    for form, place in submission_paths(task.task.benchmark, task.task.split, path).items():
        best = task.best_of_groups if form.group else task.best
        answers = best(queries, gallery, form.depth)
        write_submission(task.task.benchmark, place, form, answers)
        say(f"eval: wrote {place}")


class EncodedTask:
    """A task with the vectors of its pictures, ready to be asked.

    Pictures that cannot be read are left out and counted, with the queries that cannot be asked without them.
    Raises DataError where no query is left.

    `encoded` holds vectors by picture and is added to: tasks that share it encode a picture once.
    """

    def __init__(self, task: Task, encoder: Encoder, encoded: dict[Key, Any] | None = None) -> None:
        require_folder(task)
        self.task = task
        known = {} if encoded is None else encoded
        names = task.names
        key_of = {name: picture_key(task, name) for name in names}
        missing = {key: name for name, key in key_of.items() if key not in known}
        if missing:
            fresh = encode_pictures(encoder, task, sorted(missing.values()))
            known.update((key_of[name], vector) for name, vector in fresh.items())
        vector_of = {name: known[key] for name, key in key_of.items() if key in known}
        self.gallery_names = [name for name in task.gallery if name in vector_of]
        row_of = {name: row for row, name in enumerate(self.gallery_names)}
        self.queries = [query for query in task.queries if _can_be_asked(query, vector_of, row_of)]
        self.unreadable = len(names) - len(vector_of)
        if not self.queries:
            raise DataError(f"{task.root}: none of the {len(task.queries)} queries of {task.name} can be asked")
        if self.unreadable:
            lost = len(task.queries) - len(self.queries)
            say(f"{task.name}: {self.unreadable} pictures cannot be read; {lost} queries are lost with them")
        self.gallery = np.stack([vector_of[name] for name in self.gallery_names])
        self.references = np.stack([vector_of[query.reference] for query in self.queries])
        self._targets = [_rows(query.targets, row_of) for query in self.queries]
        self._single = [_rows({query.target} if query.target else query.targets, row_of) for query in self.queries]
        self._groups = [_rows(query.group, row_of) for query in self.queries]
        self._excluded = [_rows(_excluded(task, query), row_of) for query in self.queries]
        self._candidates = [
            None if query.candidates is None else _rows(query.candidates, row_of) for query in self.queries
        ]

    def compose(self, method: Composer) -> Vectors:
        """The method's query vectors: the mean over wordings where a query has several."""
        return mean_vectors(self.compose_wordings(method))

    def compose_wordings(self, method: Composer) -> list[Vectors]:
        """The method's query vectors, once for each way in which the queries are worded."""
        texts = [(query.modification, *query.other_wordings) for query in self.queries]
        changes = [query.change for query in self.queries]
        return [method.compose(self.references, wording, changes) for wording in zip(*texts, strict=True)]

    def ranks(self, queries: Vectors, gallery: Vectors) -> list[Rows]:
        """Each query's target ranks, by the protocol: a reference is no answer, unless the task says so."""
        return ranks_of_targets(queries, gallery, self._targets, self._excluded, self._candidates)

    def all_ranks(self, queries: Vectors, gallery: Vectors) -> Ranks:
        """All the ranks that the task's measures want."""
        single = subset = None
        if self.task.measures.single:
            single = ranks_of_targets(queries, gallery, self._single, self._excluded, self._candidates)
        if self.task.measures.subset:
            subset = ranks_of_targets(queries, gallery, self._targets, self._excluded, self._groups)
        return Ranks(self.ranks(queries, gallery), single, subset)

    def best(self, queries: Vectors, gallery: Vectors, k: int) -> dict[str, list[str]]:
        """For each query's id the names of the `k` best pictures; equal scores in the gallery's order."""
        most = max(map(len, self._excluded))
        found, _ = nearest(queries, gallery, k + most)
        return {
            query.id: [self.gallery_names[row] for row in rows if row not in out][:k]
            for query, rows, out in zip(self.queries, found, self._excluded, strict=True)
        }

    def best_of_groups(self, queries: Vectors, gallery: Vectors, k: int) -> dict[str, list[str]]:
        """For each query's id the names of the `k` best pictures of its group."""
        answers = {}
        for query, vector, rows in zip(self.queries, queries, self._groups, strict=True):
            found, _ = nearest(vector[None], gallery[rows], k)
            answers[query.id] = [self.gallery_names[rows[place]] for place in found[0]]
        return answers

    def values(self, method: Composer) -> dict[str, Values]:
        """Each query's metrics."""
        return values(self.task.measures, self.all_ranks(self.compose(method), method.gallery(self.gallery)))

    def row(self, method: Composer, encoder: Encoder) -> dict[str, Any]:
        """One row of a result file."""
        official = {
            "lost_queries": len(self.task.queries) - len(self.queries),
            "protocol": dict(self.task.protocol),
        }
        return {
            "benchmark": self.task.benchmark,
            "task": self.task.name,
            "split": self.task.split,
            "method": method.name,
            "encoder": encoder.name,
            **summary(self.task.measures, self.queries, self.values(method)),
            "queries": len(self.queries),
            "gallery": len(self.gallery_names),
            "unreadable": self.unreadable,
            **(official if self.task.protocol else {}),
        }


def best_weight(method: WithPicture, task: EncodedTask) -> float:
    """The weight with the highest R@10, mAP@10 deciding between equals."""
    texts = task.compose_wordings(method.text)

    def score(weight: float) -> tuple[float, float]:
        queries = mean_vectors([method.blend(task.references, wording, weight) for wording in texts])
        metrics = summarise(task.ranks(queries, task.gallery))
        return metrics["R@10"], metrics["mAP@10"]

    return max(WEIGHTS, key=score)


def mean_vectors(several: Sequence[Vectors]) -> Vectors:
    """The unit vectors along the mean of several for each query; one alone stays as it is."""
    return several[0] if len(several) == 1 else unit(np.mean(several, axis=0))


def encode_pictures(encoder: Encoder, task: Task, names: Sequence[str]) -> dict[str, Any]:
    """Picture name to vector, for every picture that can be read; the others are named on the terminal."""
    vector_of: dict[str, Any] = {}
    waiting: dict[str, Any] = {}

    def flush() -> None:
        if waiting:
            vectors = encoder.encode_pictures(np.stack(list(waiting.values())))
            vector_of.update(zip(waiting, vectors, strict=True))
            waiting.clear()

    for name, pixels in load_task_pictures(task, names, prepare=encoder.prepare, what=f"encode {task.name}"):
        if isinstance(pixels, PictureError):
            say(f"skipped {name!r}: {pixels}")
            continue
        waiting[name] = pixels
        if len(waiting) == _BATCH:
            flush()
    flush()
    return vector_of


def _can_be_asked(query: Query, vector_of: Mapping[str, Any], row_of: Mapping[str, int]) -> bool:
    answerable = not query.targets or any(target in row_of for target in query.targets)
    return query.reference in vector_of and answerable


def _excluded(task: Task, query: Query) -> set[str]:
    return {*query.exclude} if task.reference_answers else {*query.exclude, query.reference}


def _rows(names: Any, row_of: dict[str, int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(sorted(row_of[name] for name in names if name in row_of), np.int64)
