"""`evaluate`: one or more methods on one benchmark, and the table and the result file that come of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triptych.benchmarks.pictures import Key
from triptych.benchmarks.registry import BENCHMARKS, load_benchmark
from triptych.benchmarks.submissions import forms_of, submission_paths, write_submission
from triptych.catalog.catalog import Catalog
from triptych.composers.baselines import (
    DEFAULT_WEIGHT,
    METHODS,
    CaptionEdit,
    PictureOnly,
    TextOnly,
    WeightedSum,
    baseline,
)
from triptych.composers.protocol import Composer
from triptych.composers.trained import TrainedComposer
from triptych.core.errors import DataError, UsageError
from triptych.core.files import made_by, write_json
from triptych.core.progress import say
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask, known_vectors
from triptych.evaluation.rows import composition_gap, mean_row
from triptych.evaluation.selection import _encode_tuning, _tuning_tasks, chosen
from triptych.tagging.vocabulary import load_vocabulary


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
    gap: bool = True,
    per_query: bool = False,
    output: Path | str | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Measure `methods` (names of baselines, or "all") and trained `composers` on a benchmark or on your own queries.

    `benchmark` is a name, with the folder its authors distribute as `root`; or a .jsonl file of queries, with the
    `gallery` folder. `settings` choose within its protocol ("gallery=union"; docs/benchmarks.md). A weighted method
    takes `weight`, or else the weight that does best (R@10) on the val split of `tune_root`, or of `root`; where
    there is none, or val itself is what an official benchmark measures, one half. A composer that knows several prompts
    takes the one that does best on the same split; where there is none, its first. The `encoder` is that of the methods
    and defaults to the first composer's; a composer that was trained on another one brings its own. `submission` is
    where to write the files for the server of CIRR (a folder) or CIRCO, which is all that can be had where the targets
    are not public: then there are no rows. It takes one method. A `catalog` of the pictures, made by one of the
    encoders, saves encoding them again with that one.

    With `gap` every row also says what picture only and words only reach on the same queries, and how far ahead of the
    better of them the method is. With `per_query` it also holds each query's metrics, which `compare` needs to tell
    whether a difference is more than chance.

    Returns, and writes to `output`, `{"rows": [...], "made_by": {...}}` as documented in docs/formats.md.
    Raises UsageError for names that mean nothing, DataError where the benchmark's files are missing or wrong,
    MismatchError where a composer's encoder is no longer what it was, or the catalog is of another one.
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
    engines = {engine.fingerprint: engine}
    for composer in trained:
        if composer.encoder_fingerprint not in engines:
            seer = load_encoder(composer.encoder_name, threads=threads)
            composer.attach(seer)
            engines[seer.fingerprint] = seer
        composer.attach(engines[composer.encoder_fingerprint])
    own = BENCHMARKS[benchmark].vocabulary if benchmark in BENCHMARKS else None
    words = load_vocabulary(vocabulary or own)
    captions, first_weight = CaptionEdit(engine, words), DEFAULT_WEIGHT if weight is None else weight
    fixed = [baseline(name, engine, words, first_weight, captions=captions) for name in dict.fromkeys(names)]

    tasks = load_benchmark(benchmark, root, gallery, split, settings)
    if not submission and not all(task.public for task in tasks):
        raise UsageError(f"{benchmark}: the targets of {split} are not public; give --submission to write its files")
    choosing = {composer.encoder_fingerprint for composer in trained if len(composer.prompts) > 1}
    if weight is None and any(isinstance(method, WeightedSum) for method in fixed):
        choosing.add(engine.fingerprint)
    tuning = _tuning_tasks(benchmark, root, split, tune_root, settings) if choosing else {}
    rows = []
    encoded: dict[str, dict[Key, Any]] = {key: {} for key in engines}
    if catalog:
        indexed = Catalog(Path(catalog))
        indexed.require(engines.get(indexed.fingerprint, engine))
        encoded[indexed.fingerprint] |= known_vectors(indexed, tasks)
    prepared = {
        key: {task.name: EncodedTask(task, seer, encoded[key]) for task in tasks} for key, seer in engines.items()
    }
    tuned_on = {
        key: _encode_tuning(tuning, engines[key], encoded[key], required=tune_root is not None)
        for key in engines
        if key in choosing
    }
    for name, task in prepared[engine.fingerprint].items():
        inputs = (PictureOnly(), TextOnly(engine)) if gap and task.task.public else ()
        alone = [task.row(method, engine)["metrics"] for method in inputs]
        for method in [*fixed, *trained]:
            seer = engines[method.encoder_fingerprint] if isinstance(method, TrainedComposer) else engine
            seen = prepared[seer.fingerprint][name]
            method, facts = chosen(method, tuned_on.get(seer.fingerprint, {}).get(name), weight)
            if submission:
                _submit(seen, method, Path(submission))
            if task.task.public:
                row = seen.row(method, seer, per_query=per_query)
                rows.append(row | facts | (composition_gap(row["metrics"], *alone) if gap else {}))
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


def _submit(task: EncodedTask, method: Composer, path: Path) -> None:
    """Write the submission of a method. Raises DataError where pictures are missing: a server wants every query."""
    if task.unreadable:
        raise DataError(f"{task.task.root}: {task.unreadable} pictures cannot be read; a submission needs all of them")
    queries, gallery = task.compose(method), method.gallery(task.gallery)
    for form, place in submission_paths(task.task.benchmark, task.task.split, path).items():
        best = task.best_of_groups if form.group else task.best
        answers = best(queries, gallery, form.depth)
        write_submission(task.task.benchmark, place, form, answers)
        say(f"eval: wrote {place}")
