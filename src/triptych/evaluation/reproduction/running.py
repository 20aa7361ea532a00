"""`reproduce`: run published rows on this machine, going on where an earlier run stopped."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.core.errors import DataError, MismatchError, TriptychError, UsageError
from triptych.core.files import made_by, read_json, write_json
from triptych.core.progress import say
from triptych.evaluation.evaluate import evaluate
from triptych.evaluation.reproduction.recipes import Recipe, Run, load_recipes
from triptych.evaluation.results.reading import Row, read_rows


@dataclass(frozen=True)
class Step:
    """One call of `evaluate`: a recipe's run, of a single method where a submission is made."""

    recipe: Recipe
    run: Run
    options: Mapping[str, Any]
    output: Path

    @property
    def arguments(self) -> dict[str, Any]:
        """What `evaluate` is called with."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self.options.items()}

    @property
    def command(self) -> str:
        """The same, as one would write it."""
        parts = ["triptych", "eval", self.run.benchmark]
        for name, value in self.options.items():
            option = {"methods": "method", "composers": "composer", "settings": "setting"}.get(name, name)
            for item in value if isinstance(value, tuple) else (value,):
                parts += [f"--{option.replace('_', '-')}", str(item)]
        return shlex.join([*parts, "--output", str(self.output)])


@dataclass(frozen=True)
class Folders:
    """Where things lie: a benchmark, what is made, and where there is one, its catalog and your composer."""

    root: Path
    out: Path
    catalog: Path | None = None
    composer: Path | None = None


def steps(recipe: Recipe, run: Run, folders: Folders) -> Iterator[Step]:
    """What a recipe's run takes: one evaluation, or for a server one for each method."""
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


def reproduce(
    rows: Sequence[str] = (),
    *,
    roots: Mapping[str, Path | str],
    out: Path | str = "reproduced",
    catalogs: Mapping[str, Path | str] | None = None,
    composer: Path | str | None = None,
    recipes: Path | str | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Measure published `rows` (all that can be, by default) on the benchmarks whose folders are in `roots`.

    Every evaluation has its result file in `out`, and one that is there is not run again. What fails is told and left
    out, and the others go on. Where only a benchmark's server knows the targets, the submission is written.

    `catalogs` are of the benchmarks' pictures, by the encoder of the rows, and spare encoding a gallery for every step.
    `composer` is the trained composer of the row "triptych". `recipes` is a file of your own, instead of the ones that
    ship.

    Returns, and writes to `out/reproduction.json`, `{"figures": [...], "steps": [...], "made_by": {...}}` as
    documented in docs/formats.md: what was published beside what was measured.
    Raises UsageError for rows or benchmarks that no recipe has, and where nothing is to be run.
    """
    out, composer = Path(out), Path(composer) if composer else None
    known = load_recipes(Path(recipes) if recipes else None)
    chosen = _choose(known, rows, roots, composer)
    done: list[dict[str, Any]] = []
    figures: list[dict[str, Any]] = []
    for recipe in chosen:
        for run in recipe.runs:
            if run.benchmark not in roots:
                continue
            if not recipe.runnable:
                figures += _figures(recipe, run, [])
                continue
            measured: list[Row] = []
            catalog = (catalogs or {}).get(run.benchmark)
            folders = Folders(Path(roots[run.benchmark]), out, Path(catalog) if catalog else None, composer)
            for step in steps(recipe, run, folders):
                status, found = _take(step, threads)
                measured += found
                done.append({"row": recipe.row, "command": step.command, "status": status, "file": str(step.output)})
            figures += _figures(recipe, run, measured)
    settings = {"rows": list(rows), "roots": {name: str(root) for name, root in roots.items()}, "composer": composer}
    result = {"figures": figures, "steps": done, "made_by": made_by("reproduce", settings | {"recipes": recipes})}
    write_json(out / "reproduction.json", result)
    return result


def _choose(
    known: Sequence[Recipe], rows: Sequence[str], roots: Mapping[str, Path | str], composer: Path | None
) -> list[Recipe]:
    for row in rows:
        if row not in {recipe.row for recipe in known}:
            raise UsageError(f"there is no row {row!r}; choose among {', '.join(recipe.row for recipe in known)}")
    benchmarks = {run.benchmark: None for recipe in known for run in recipe.runs}
    for benchmark in roots:
        if benchmark not in benchmarks:
            raise UsageError(f"no row is of {benchmark!r}; give --root for {', '.join(benchmarks)}")
    chosen = [recipe for recipe in known if recipe.row in rows or (not rows and (composer or not recipe.composer))]
    if not any(run.benchmark in roots for recipe in chosen for run in recipe.runs):
        raise UsageError("nothing to run: give the folder of a benchmark, as in --root cirr=DIR")
    if composer is None and any(recipe.composer for recipe in chosen):
        raise UsageError("the row of triptych's composer needs --composer, a folder that train made")
    return chosen


def _take(step: Step, threads: int | None) -> tuple[str, list[Row]]:
    """Run a step, unless its result file is there; what became of it, and its rows."""
    try:
        status = "measured before"
        if step.output.exists():
            _require_same(step)
        else:
            say(f"reproduce: {step.command}")
            evaluate(step.run.benchmark, **step.arguments, output=step.output, threads=threads)
            status = "measured"
        return ("submission written" if step.run.server else status), [] if step.run.server else read_rows(step.output)
    except TriptychError as error:
        say(f"reproduce: {step.recipe.row} on {step.run.benchmark} {step.run.split} failed: {error}")
        return f"failed: {error}", []


def _require_same(step: Step) -> None:
    """Raise MismatchError where a result file is of another encoder, composer or folder than the step is."""
    note = read_json(step.output, "result file")
    settings = note.get("made_by", {}).get("settings") if isinstance(note, dict) else None
    if not isinstance(settings, dict):
        raise DataError(f"{step.output}: not a result file; remove it")
    for name in ("root", "split", "composers"):
        asked = step.options.get(name, ())
        asked = [str(item) for item in asked] if name == "composers" else str(asked)
        if settings.get(name) != asked:
            raise MismatchError(f"{step.output}: made with other {name}; remove it, or give another --out")


def _figures(recipe: Recipe, run: Run, measured: Sequence[Row]) -> list[dict[str, Any]]:
    """Every metric that was published or measured."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    sources: dict[tuple[str, str], str] = {}
    for published in run.published:
        key = (published.method, published.task)
        found.setdefault(key, {})["published"] = dict(published.metrics)
        sources[key] = published.source
    for row in measured:
        method = "" if recipe.composer else row["method"]
        found.setdefault((method, row["task"]), {})["measured"] = dict(row["metrics"])
    return [
        {
            "row": recipe.row,
            "method": method or None,
            "benchmark": run.benchmark,
            "split": run.split,
            "task": task,
            "metric": metric,
            **{side: values.get(side, {}).get(metric) for side in ("published", "measured")},
            "source": sources.get((method, task)),
        }
        for (method, task), values in found.items()
        for metric in dict.fromkeys([*values.get("published", {}), *values.get("measured", {})])
    ]
