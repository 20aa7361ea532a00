"""`evaluate`: measure methods on a benchmark, with a table and a result file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from triptych.benchmarks.benchmark import Benchmark
from triptych.benchmarks.pictures import Key
from triptych.benchmarks.registry import find_benchmark, is_queries_file, load_benchmark, submission_of
from triptych.benchmarks.submissions import submission_paths, write_submission
from triptych.benchmarks.task import Task
from triptych.catalog.catalog import Catalog
from triptych.composers.baselines import PictureOnly, WeightedSum
from triptych.composers.protocol import Composer, has_prompts
from triptych.core.cluster import workers_of
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, UsageError
from triptych.core.files import made_by, output_file, write_json
from triptych.core.progress import say
from triptych.encoders.protocol import Encoder, ReportsReading, short_name
from triptych.encoders.reading import report_texts
from triptych.evaluation.answers import Answers
from triptych.evaluation.chat_helper import ChatHelper
from triptych.evaluation.encoded_task import EncodedTask, known_vectors
from triptych.evaluation.methods import Methods, method_names
from triptych.evaluation.options import EvaluateOptions
from triptych.evaluation.results.row import ResultRow, without_none
from triptych.evaluation.results.tables import format_gaps, format_table
from triptych.evaluation.rows import mean_row
from triptych.evaluation.selection import encode_tuning, tuned, tuning_tasks
from triptych.evaluation.shortcuts import InputsAlone, format_shortcuts
from triptych.evaluation.verifying import Rerank


@dataclass(frozen=True)
class EvaluateResult:
    """The result of `evaluate`."""

    rows: list[ResultRow]
    """A row for each task and method; empty if the targets are not public."""
    made_by: Mapping[str, Any] = field(repr=False)
    """Program, version, settings and time."""
    submission: list[str] | None = None
    """The submission files that were written."""

    def as_json(self) -> dict[str, Any]:
        """The result as in a result file."""
        return without_none(self)

    def __str__(self) -> str:
        parts = [format_table(self.rows)] if self.rows else []
        parts += [format_gaps(self.rows)] if any(row.gap for row in self.rows) else []
        parts += [format_shortcuts(self.rows)] if any(row.shortcuts for row in self.rows) else []
        parts += [f"submission: {file}" for file in self.submission or ()]
        return "\n\n".join(parts)


def evaluate(
    benchmark: Benchmark | str,
    options: EvaluateOptions = EvaluateOptions(),
    *,
    root: Path | str | None = None,
    composers: Sequence[Composer | Path | str] = (),
    encoder: Encoder | str | None = None,
    catalog: Path | str | None = None,
    output: Path | str | None = None,
    runtime: Runtime = Runtime(),
) -> EvaluateResult:
    """Measure baselines and `composers` on a benchmark or on your own queries.

    A weighted method uses `options.weight`. By default it uses the best weight by R@10 on the val split of
    `options.tune_root`, or of `root`. It uses 0.5 if there is no such split, or if val is the measured split of an
    official benchmark. A composer with several prompts uses the best one on the same split, or its first one.

    Args:
        benchmark: a benchmark, its name, or `module:attribute`; or a .jsonl file of queries over `options.gallery`.
        options: the split, baselines (`methods`, or "all"), settings of the protocol such as "gallery=union"
            (docs/reference/benchmarks.md), and the content of the result.
            With `gap` every row also has the metrics of picture only and words only on the same queries, and the
            method's lead over the better of them. With `per_query` it also has each query's metrics, which `compare`
            needs for significance tests.
            `submission` is the folder (CIRR) or file (CIRCO) to write for the benchmark's server, by one method. If the
            targets are not public, there are no rows.
            With `rerank` a chat model or a local model verifies each method's first answers. With `chat` a chat model
            turns requests into phrases (method "compile"). Replies and scores are stored in a ledger beside `output`,
            so that a later run does not repeat them.
        root: the folder that the benchmark's authors distribute.
        composers: objects, folders that `train` wrote, or names.
        encoder: the encoder of the baselines, and of composers without an encoder of their own; by default the first
            composer's encoder.
        catalog: a catalog of the pictures by one of the encoders, which saves encoding them again.
        output: a file to write the result to (.json), as documented in docs/reference/formats.md.
        runtime: what the encoders compute with.

    Raises:
        UsageError: a name is unknown.
        DataError: the benchmark's files are missing or wrong.
        MismatchError: a composer's encoder has changed, or the catalog is of another encoder.
    """
    root, names = Path(root) if root else None, method_names(options.methods)
    output = output_file(output, ".json", flag="--output") if output else None
    known = None if is_queries_file(benchmark) else find_benchmark(benchmark)
    name = benchmark if isinstance(benchmark, str) else benchmark.name
    _check_submission(benchmark, options, count=len({*names}) + len(composers))
    helper = ChatHelper.of(options, names, output)
    methods = Methods.of(names, composers, encoder, options, known, runtime, helper)
    gallery = Path(options.gallery) if options.gallery else None
    tasks = load_benchmark(benchmark, root, gallery, options.split, options.settings)
    if not options.submission and not all(task.public for task in tasks):
        raise UsageError(f"{name}: the targets of {options.split} are not public; give --submission to write its files")
    rerank = Rerank.of(options, output, runtime)
    _report_unread(methods, tasks)
    choosing = _choosing(methods, options.weight) | (rerank.choosing(methods.encoders) if rerank else set())
    tuning = tuning_tasks(known, root, options) if choosing and known and root else {}
    vectors = _known_vectors(methods, tasks, Path(catalog) if catalog else None)
    prepared, tuned_on = {}, {}
    with workers_of(options.cluster, runtime.threads) as workers:
        for key, each in methods.encoders.items():
            how = (each, vectors[key], options.limits, workers)
            prepared[key] = {task.name: EncodedTask(task, *how) for task in tasks}
            if key in choosing:
                tuned_on[key] = encode_tuning(tuning, *how, required=options.tune_root is not None)
    rows: list[ResultRow] = []
    for task in tasks:
        measured = {key: encoded[task.name] for key, encoded in prepared.items()}
        val = {key: encoded.get(task.name) for key, encoded in tuned_on.items()}
        rows += _rows(methods, measured, val, benchmark, options, helper, rerank)
    if rerank:
        rerank.write()
    if known and known.averaged:
        count = len(methods.all)
        rows += [mean_row(rows[place::count]) for place in range(count)]
    result = EvaluateResult(
        rows,
        made_by("eval", _settings(name, options, root, composers), encoder_fingerprint=methods.encoder.fingerprint),
        _submission_files(benchmark, options),
    )
    if output:
        write_json(output, result.as_json())
    return result


def _check_submission(benchmark: Benchmark | str, options: EvaluateOptions, count: int) -> None:
    """Check that a submission can be written, if the options ask for one.

    Raises:
        UsageError: the benchmark has none, or there are several methods.
    """
    if options.submission:
        submission_paths(submission_of(benchmark), options.split, Path(options.submission))
        if count > 1:
            raise UsageError("a submission has one method; give one --method or one --composer")


def _report_unread(methods: Methods, tasks: Sequence[Task]) -> None:
    """Print, once for each task and text reader, which words are unknown and which texts are too long."""
    readers: dict[str, object] = {}
    for method in methods.all:
        if isinstance(method, ReportsReading):
            readers[method.name] = method
        elif not isinstance(method, PictureOnly):
            encoder = methods.encoder_of(method)
            readers[short_name(encoder)] = encoder
    for task in tasks:
        texts = [text for query in task.queries for text in (query.modification, *query.other_wordings)]
        for name, reader in readers.items():
            report_texts(texts, reader, f"{task.benchmark} {task.name}", name)


def _choosing(methods: Methods, weight: float | None) -> set[str]:
    """The fingerprints of encoders for which a weight or prompt is selected on another split."""
    return {
        methods.encoder_of(method).fingerprint
        for method in methods.all
        if (isinstance(method, WeightedSum) and weight is None) or (has_prompts(method) and len(method.prompts) > 1)
    }


def _known_vectors(methods: Methods, tasks: Sequence[Task], catalog: Path | None) -> dict[str, dict[Key, Any]]:
    """The known vectors for each encoder's fingerprint. Later vectors are added."""
    known: dict[str, dict[Key, Any]] = {key: {} for key in methods.encoders}
    if catalog:
        indexed = Catalog(catalog)
        indexed.require(methods.encoders.get(indexed.fingerprint, methods.encoder))
        known[indexed.fingerprint] |= known_vectors(indexed, tasks)
    return known


def _rows(
    methods: Methods,
    tasks: Mapping[str, EncodedTask],
    tuned_on: Mapping[str, EncodedTask | None],
    benchmark: Benchmark | str,
    options: EvaluateOptions,
    helper: ChatHelper | None,
    rerank: Rerank | None,
) -> list[ResultRow]:
    """Measure each method on a task, which is given once for each encoder, and write submissions."""
    first = tasks[methods.encoder.fingerprint]
    alone = InputsAlone.of(first, methods.encoder) if options.gap and first.task.public else None
    rows = []
    for method in methods.all:
        encoder = methods.encoder_of(method)
        task, val = tasks[encoder.fingerprint], tuned_on.get(encoder.fingerprint)
        asked = helper.learn(method, task, val) if helper else {}
        best, facts = tuned(method, val, options.weight)
        answers = task.answers(best)
        if rerank:
            answers, verified = rerank.verify(task, answers, val, best)
            facts |= verified
        if options.submission:
            _submit(task, answers, benchmark, Path(options.submission))
        if task.task.public:
            row = replace(task.row(best, encoder, per_query=options.per_query, answers=answers), **facts, **asked)
            if options.answers:
                row = replace(row, answers=task.first(answers, options.answers))
            rows.append(alone.beside(row, task.solved(answers, alone.cutoff)) if alone else row)
    return rows


def _submit(task: EncodedTask, answers: Answers, benchmark: Benchmark | str, path: Path) -> None:
    """Write the submission of a method.

    Raises:
        DataError: pictures are missing, but a server expects every query.
    """
    if task.unreadable:
        raise DataError(f"{task.task.root}: {task.unreadable} pictures cannot be read; a submission needs all of them")
    form = submission_of(benchmark)
    for file, place in submission_paths(form, task.task.split, path).items():
        write_submission(form, file, place, task.first(answers, file.depth, group=file.group))
        say(f"eval: wrote {place}")


def _submission_files(benchmark: Benchmark | str, options: EvaluateOptions) -> list[str] | None:
    if not options.submission:
        return None
    paths = submission_paths(submission_of(benchmark), options.split, Path(options.submission))
    return [str(file) for file in paths.values()]


def _settings(
    name: str, options: EvaluateOptions, root: Path | None, composers: Sequence[Composer | Path | str]
) -> dict[str, Any]:
    """The settings for the note of the result file."""
    asked: dict[str, Any] = {
        "benchmark": name,
        "root": root,
        "gallery": options.gallery,
        "split": options.split,
        "weight": options.weight,
        "methods": method_names(options.methods),
        "composers": [str(each) if isinstance(each, str | Path) else each.name for each in composers],
        "tune_root": options.tune_root,
    }
    return asked | ({"settings": list(options.settings)} if options.settings else {})
