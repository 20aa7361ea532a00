"""`reproduce`: measure published rows on this machine. An interrupted run is resumed."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from triptych.core.environment import Runtime
from triptych.core.errors import DataError, MismatchError, TriptychError, UsageError
from triptych.core.files import made_by, read_json, write_json
from triptych.core.options import flat_options
from triptych.core.progress import say
from triptych.evaluation.evaluate import evaluate
from triptych.evaluation.options import EvaluateOptions
from triptych.evaluation.reproduction.recipes import PublishedRecipe, Run, load_recipes
from triptych.evaluation.results.reading import read_rows
from triptych.evaluation.results.row import ResultRow

_FLAGS = {item.field.name: item.flag for item in flat_options(EvaluateOptions)}
"""The options of `evaluate`, as flags of the command line."""


@dataclass(frozen=True)
class Step:
    """One call of `evaluate`: a recipe's run, or one method of it if a submission is written."""

    recipe: PublishedRecipe
    run: Run
    given: Mapping[str, Any]
    """The keyword arguments of `evaluate`, including its options."""
    output: Path

    @property
    def command(self) -> str:
        """The command line of the step."""
        parts = ["triptych", "eval", self.run.benchmark]
        for name, value in self.given.items():
            flag = {"composers": "--composer"}.get(name) or _FLAGS.get(name) or f"--{name}"
            for item in value if isinstance(value, tuple) else (value,):
                parts += [flag, str(item)]
        return shlex.join([*parts, "--output", str(self.output)])

    def measure(self, runtime: Runtime) -> None:
        """Evaluate, and write the result file."""
        options = EvaluateOptions(**{name: value for name, value in self.given.items() if name in _FLAGS})
        others = {name: value for name, value in self.given.items() if name not in _FLAGS}
        evaluate(self.run.benchmark, options, **others, output=self.output, runtime=runtime)


@dataclass(frozen=True)
class Folders:
    """The folders of a benchmark and of results, and those of a catalog and a composer if they are given."""

    root: Path
    out: Path
    catalog: Path | None = None
    composer: Path | None = None


def steps(recipe: PublishedRecipe, run: Run, folders: Folders) -> Iterator[Step]:
    """The steps of a recipe's run: one evaluation, or one for each method if submissions are written."""
    out = folders.out
    shared: dict[str, Any] = {"root": folders.root, "split": run.split}
    if folders.catalog:
        shared["catalog"] = folders.catalog
    if recipe.encoder:
        shared["encoder"] = recipe.encoder
    if recipe.weight is not None:
        shared["weight"] = recipe.weight
    if run.settings:
        shared["settings"] = run.settings
    name = f"{recipe.row}.{run.benchmark}.{run.split}"
    made = {"composers": (folders.composer or Path("COMPOSER"),)} if recipe.composer else {"methods": recipe.methods}
    if not run.server:
        yield Step(recipe, run, {**shared, **made}, out / f"{name}.json")
        return
    for method in recipe.methods or ("",):
        named = f"{name}.{method}" if method else name
        single = {"methods": (method,)} if method else made
        yield Step(recipe, run, {**shared, **single, "submission": out / named}, out / f"{named}.json")


@dataclass(frozen=True)
class ReproducedFigure:
    """A metric as published and as measured here; None if it was not published or not measured."""

    row: str
    method: str | None
    benchmark: str
    split: str
    task: str
    metric: str
    published: float | None
    measured: float | None
    source: str | None
    """The source of the published figure."""


@dataclass(frozen=True)
class ReproducedStep:
    """The status of one evaluation."""

    row: str
    command: str
    status: str
    """`measured`, `measured before`, `submission written`, or `failed: …`."""
    file: str

    @property
    def failed(self) -> bool:
        """Whether the step has no result."""
        return self.status.startswith("failed")


@dataclass(frozen=True)
class ReproduceResult:
    """The result of `reproduce`: published and measured figures."""

    figures: list[ReproducedFigure]
    steps: list[ReproducedStep]
    made_by: Mapping[str, Any] = field(repr=False)
    """Program, version, settings and time."""


def reproduce(
    rows: Sequence[str] = (),
    *,
    roots: Mapping[str, Path | str],
    out: Path | str = "reproduced",
    catalogs: Mapping[str, Path | str] | None = None,
    composer: Path | str | None = None,
    recipes: Path | str | None = None,
    runtime: Runtime = Runtime(),
) -> ReproduceResult:
    """Measure published rows on the benchmarks whose folders are in `roots`.

    Every evaluation has a result file in `out`. If the file exists, the evaluation is not repeated. An evaluation that
    fails is reported and left out. If only a benchmark's server knows the targets, a submission is written. The result
    is also written to `out/reproduction.json`, as documented in docs/reference/formats.md.

    Args:
        rows: the names of rows; by default all that can be measured.
        roots: the folder of each benchmark.
        out: the folder of the result files.
        catalogs: a catalog of each benchmark's pictures by the rows' encoder, which saves encoding them in every step.
        composer: the trained composer of the row "triptych".
        recipes: a file of recipes instead of the package's own.
        runtime: processor threads.

    Returns:
        Published and measured figures, and the status of each evaluation.

    Raises:
        UsageError: no recipe has such a row or benchmark, or there is nothing to run.
    """
    out, composer = Path(out), Path(composer) if composer else None
    known = load_recipes(Path(recipes) if recipes else None)
    done: list[ReproducedStep] = []
    figures: list[ReproducedFigure] = []
    for recipe in _choose(known, rows, roots, composer):
        for run in recipe.runs:
            if run.benchmark not in roots:
                continue
            measured: list[ResultRow] = []
            catalog = (catalogs or {}).get(run.benchmark)
            folders = Folders(Path(roots[run.benchmark]), out, Path(catalog) if catalog else None, composer)
            for step in steps(recipe, run, folders) if recipe.runnable else ():
                status, found = _take(step, runtime)
                measured += found
                done.append(ReproducedStep(recipe.row, step.command, status, str(step.output)))
            figures += _figures(recipe, run, measured)
    settings = {"rows": list(rows), "roots": {name: str(root) for name, root in roots.items()}, "composer": composer}
    result = ReproduceResult(figures, done, made_by("reproduce", settings | {"recipes": recipes}))
    write_json(out / "reproduction.json", asdict(result))
    return result


def _choose(
    known: Sequence[PublishedRecipe], rows: Sequence[str], roots: Mapping[str, Path | str], composer: Path | None
) -> list[PublishedRecipe]:
    for row in rows:
        if row not in {recipe.row for recipe in known}:
            raise UsageError(f"there is no row {row!r}; choose among {', '.join(recipe.row for recipe in known)}")
    benchmarks = {run.benchmark: None for recipe in known for run in recipe.runs}
    for benchmark in roots:
        if benchmark not in benchmarks:
            raise UsageError(f"there is no row for {benchmark!r}; give --root for {', '.join(benchmarks)}")
    chosen = [recipe for recipe in known if recipe.row in rows or (not rows and (composer or not recipe.composer))]
    if not any(run.benchmark in roots for recipe in chosen for run in recipe.runs):
        raise UsageError("nothing to run: give the folder of a benchmark, as in --root cirr=DIR")
    if composer is None and any(recipe.composer for recipe in chosen):
        raise UsageError("the row triptych needs --composer, a folder that `triptych train` wrote")
    return chosen


def _take(step: Step, runtime: Runtime) -> tuple[str, list[ResultRow]]:
    """Run a step, unless its result file exists. Returns its status and its rows."""
    try:
        status = "measured before"
        if step.output.exists():
            _require_same(step)
        else:
            say(f"reproduce: {step.command}")
            step.measure(runtime)
            status = "measured"
        return ("submission written" if step.run.server else status), [] if step.run.server else read_rows(step.output)
    except TriptychError as error:
        say(f"reproduce: {step.recipe.row} on {step.run.benchmark} {step.run.split} failed: {error}")
        return f"failed: {error}", []


def _require_same(step: Step) -> None:
    """Check that a result file was measured with the step's encoder, composer and folder.

    Raises:
        MismatchError: it was not.
    """
    note = read_json(step.output, "result file")
    settings = note.get("made_by", {}).get("settings") if isinstance(note, dict) else None
    if not isinstance(settings, dict):
        raise DataError(f"{step.output}: not a result file; remove it")
    for name in ("root", "split", "composers"):
        asked = step.given.get(name, ())
        asked = [str(item) for item in asked] if name == "composers" else str(asked)
        if settings.get(name) != asked:
            raise MismatchError(f"{step.output}: made with other {name}; remove it, or give another --out")


def _figures(recipe: PublishedRecipe, run: Run, measured: Sequence[ResultRow]) -> list[ReproducedFigure]:
    """Collect every metric that was published or measured."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    sources: dict[tuple[str, str], str] = {}
    for published in run.published:
        key = (published.method, published.task)
        found.setdefault(key, {})["published"] = dict(published.metrics)
        sources[key] = published.source
    for row in measured:
        method = "" if recipe.composer else row.method
        found.setdefault((method, row.task), {})["measured"] = dict(row.metrics)
    return [
        ReproducedFigure(
            row=recipe.row,
            method=method or None,
            benchmark=run.benchmark,
            split=run.split,
            task=task,
            metric=metric,
            published=values.get("published", {}).get(metric),
            measured=values.get("measured", {}).get(metric),
            source=sources.get((method, task)),
        )
        for (method, task), values in found.items()
        for metric in dict.fromkeys([*values.get("published", {}), *values.get("measured", {})])
    ]
