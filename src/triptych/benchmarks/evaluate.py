"""`evaluate`: one or more methods on one benchmark, and the table and the result file that come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from triptych.baselines import (
    DEFAULT_WEIGHT,
    METHODS,
    WEIGHTS,
    CaptionEdit,
    PictureOnly,
    TextOnly,
    WithPicture,
    baseline,
)
from triptych.benchmarks.encoded import EncodedTask, mean_vectors
from triptych.benchmarks.measuring import mean_row
from triptych.benchmarks.outcomes import composition_gap
from triptych.benchmarks.pictures import Key, known_vectors, require_folder
from triptych.benchmarks.protocol import Task
from triptych.benchmarks.registry import BENCHMARKS, load_benchmark, load_tasks
from triptych.benchmarks.submissions import forms_of, submission_paths, write_submission
from triptych.catalog import Catalog
from triptych.composers.protocol import Composer
from triptych.composers.trained import TrainedComposer
from triptych.encoders import Encoder, Vectors, load_encoder
from triptych.errors import DataError, TriptychError, UsageError
from triptych.files import made_by, write_json
from triptych.metrics import summarise
from triptych.progress import say
from triptych.tagging import load_vocabulary


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
        if composer.fingerprint not in engines:
            seer = load_encoder(composer.encoder_name, threads=threads)
            composer.attach(seer)
            engines[seer.fingerprint] = seer
        composer.attach(engines[composer.fingerprint])
    own = BENCHMARKS[benchmark].vocabulary if benchmark in BENCHMARKS else None
    words = load_vocabulary(vocabulary or own)
    captions, first_weight = CaptionEdit(engine, words), DEFAULT_WEIGHT if weight is None else weight
    fixed = [baseline(name, engine, words, first_weight, captions=captions) for name in dict.fromkeys(names)]

    tasks = load_benchmark(benchmark, root, gallery, split, settings)
    if not submission and not all(task.public for task in tasks):
        raise UsageError(f"{benchmark}: the targets of {split} are not public; give --submission to write its files")
    choosing = {composer.fingerprint for composer in trained if len(composer.prompts) > 1}
    if weight is None and any(isinstance(method, WithPicture) for method in fixed):
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
            seer = engines[method.fingerprint] if isinstance(method, TrainedComposer) else engine
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


def chosen(method: Composer, val: EncodedTask | None, weight: float | None = None) -> tuple[Composer, dict[str, Any]]:
    """The method with the weight or the prompt that does best on `val`, and what a row says of it.

    A `weight` that was given stays, and so does the only prompt of a composer.
    """
    source = "val" if val else "default"
    if isinstance(method, WithPicture):
        if weight is not None:
            source = "given"
        elif val:
            method = replace(method, weight=best_weight(method, val))
        return method, {"weight": method.weight, "weight_from": source}
    if isinstance(method, TrainedComposer) and method.prompt is not None:
        if len(method.prompts) == 1:
            source = "given"
        elif val:
            method = method.prompted(best_prompt(method, val))
        return method, {"prompt": method.prompt, "prompt_from": source}
    return method, {}


def _tuning_tasks(
    benchmark: str, root: Path | None, split: str, tune_root: Path | None, settings: Sequence[str]
) -> dict[str, Task]:
    """The split that weights and prompts are chosen on, by task; none for queries, or where there is no other split."""
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
        _say_defaults(error)
        return {}
    return {task.name: task for task in tasks}


def _encode_tuning(
    tasks: Mapping[str, Task], encoder: Encoder, encoded: dict[Key, Any], *, required: bool
) -> dict[str, EncodedTask]:
    """The tasks that have pictures. Raises DataError where one that is `required` has not."""
    prepared = {}
    for name, task in tasks.items():
        try:
            prepared[name] = EncodedTask(task, encoder, encoded)
        except DataError as error:
            if required:
                raise
            _say_defaults(error)
    return prepared


def _say_defaults(error: TriptychError) -> None:
    say(
        "eval: no validation split to choose a weight or a prompt on, so a weight is one half, and a prompt the "
        f"composer's first ({error})"
    )


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


def best_weight(method: WithPicture, task: EncodedTask) -> float:
    """The weight with the highest R@10, mAP@10 deciding between equals."""
    texts = task.compose_wordings(method.text)

    def queries(weight: float) -> Vectors:
        return mean_vectors([method.blend(task.references, wording, weight) for wording in texts])

    return max(WEIGHTS, key=lambda weight: _merit(task, queries(weight), task.gallery))


def best_prompt(composer: TrainedComposer, task: EncodedTask) -> str:
    """The composer's prompt with the highest R@10, mAP@10 deciding between equals, and then the earlier one."""
    gallery = composer.gallery(task.gallery)
    return max(composer.prompts, key=lambda prompt: _merit(task, task.compose(composer.prompted(prompt)), gallery))


def _merit(task: EncodedTask, queries: Vectors, gallery: Vectors) -> tuple[float, float]:
    metrics = summarise(task.ranks(queries, gallery))
    return metrics["R@10"], metrics["mAP@10"]
