"""`ablate`: run every recipe on every benchmark with every seed, on val queries. Finished work is not repeated."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from triptych.benchmarks.registry import find_benchmark
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime, require_extra
from triptych.core.errors import TriptychError, UsageError
from triptych.core.files import as_json, atomic, locked, made_by, read_json, write_json
from triptych.core.progress import progress, say
from triptych.encoders.protocol import Encoder
from triptych.evaluation.ablation.keys import digest_of, digest_of_encoder, digest_of_queries, with_contents
from triptych.evaluation.ablation.options import AblateOptions
from triptych.evaluation.ablation.recipes import OPTIONS, AblationRecipe, Options, load_recipes, options_of
from triptych.evaluation.ablation.showing import AblationResult, draw_ablation, format_ablation, summarise_cells
from triptych.evaluation.evaluate import evaluate
from triptych.evaluation.options import EvaluateOptions
from triptych.mining.pipeline import mine
from triptych.mining.refinement import refine
from triptych.mining.rounds import PreviousRounds
from triptych.tagging.vocabulary import DEFAULT
from triptych.training.composer import train
from triptych.training.finetuning import finetune

SPLIT = "val"
"""The split on which recipes are compared. Nothing is selected on test queries."""
STAGES: Mapping[str, Callable[..., Any]] = {
    "mine": mine,
    "refine": refine,
    "mine_again": mine,
    "train": train,
    "finetune": finetune,
}


@dataclass(frozen=True)
class Step:
    """A stage that makes a triplet file. `key` is a hash of all that decides the file, including earlier steps."""

    stage: str
    options: Options
    key: str


@dataclass(frozen=True)
class Cell:
    """One recipe, benchmark and seed. `key` is a hash of everything that decides the result, except this program."""

    recipe: AblationRecipe
    benchmark: str
    seed: int
    steps: tuple[Step, ...]
    key: str


def ablate(
    recipes: Path | str,
    out: Path | str,
    options: AblateOptions = AblateOptions(),
    *,
    roots: Mapping[str, Path | str],
    catalogs: Mapping[str, Path | str],
    encoder: Encoder | str | None = None,
    runtime: Runtime = Runtime(),
) -> AblationResult:
    """Mine, train and measure each recipe of a file, on the val split of each benchmark, with each seed.

    Recipes with equal options of mining share their triplets. A cell is one recipe, benchmark and seed. A finished cell
    is never run again, and a killed one is resumed. Files, including those of the encoder and the queries, are
    identified by their content, and pictures by their names. Use another `out` for another version of this program.

    Args:
        recipes: the file of recipes.
        out: a folder for `ablation.json`, `ablation.md` and `ablation.png`, which are updated after every cell.
        options: seeds, and which recipes to run.
        roots: the folder of each benchmark.
        catalogs: for each benchmark the catalog of its unlabelled pictures.
        encoder: the catalogs' encoder, or its name; by default the one that each catalog names.
        runtime: what to compute with.

    Returns:
        The content of `ablation.json`. A cell that failed is listed, and is run again by the next run.

    Raises:
        UsageError: a name is unknown, or a recipe has an option that its stage does not have.
    """
    require_extra("train", "ablate")  # checked before minutes of mining
    recipes, out = Path(recipes), Path(out)
    chosen = _chosen(recipes, options)
    if not roots:
        raise UsageError("give at least one benchmark with its folder")
    for name in roots:
        find_benchmark(name, SPLIT)
        if name not in catalogs:
            raise UsageError(f"{name}: also give the catalog of its unlabelled pictures")
    opened = {name: Catalog(Path(catalogs[name])) for name in roots}
    run = _Run(out, {name: Path(root) for name, root in roots.items()}, opened, encoder, runtime)
    cells = [*_cells(run, chosen, options.seeds)]
    done = [cell for cell in cells if _result(out, cell).exists()]
    waiting = [cell for cell in cells if cell not in done]
    asked = {"recipes": recipes, "seeds": options.seeds, "roots": {name: str(root) for name, root in roots.items()}}
    failed: list[str] = []
    with locked(out):
        report = _write(out, cells, failed, asked)
        for cell in progress(waiting, "ablate", total=len(cells), unit="cell", done=len(done)):
            try:
                _finish(run, cell)
            except TriptychError as error:
                failed.append(f"{cell.recipe.name}, {cell.benchmark}, seed {cell.seed}: {error}")
                say(f"ablate: {failed[-1]}")
            report = _write(out, cells, failed, asked)
    return report


@dataclass(frozen=True)
class _Run:
    """The inputs that all cells share."""

    out: Path
    roots: Mapping[str, Path]
    catalogs: Mapping[str, Catalog]
    encoder: Encoder | str | None
    runtime: Runtime


def _chosen(path: Path, options: AblateOptions) -> list[AblationRecipe]:
    """Select the recipes to run.

    Raises:
        UsageError: no recipe has a given name.
    """
    known = load_recipes(path)
    if unknown := set(options.only) - {recipe.name for recipe in known}:
        raise UsageError(f"{path}: there is no recipe {sorted(unknown)[0]!r}")
    return [recipe for recipe in known if not options.only or recipe.name in options.only]


def _cells(run: _Run, recipes: Sequence[AblationRecipe], seeds: Sequence[int]) -> Iterator[Cell]:
    learnt_from = {
        name: [catalog.digest, digest_of_encoder(catalog.encoder(run.encoder))]
        for name, catalog in run.catalogs.items()
    }
    folders = {name: root.resolve() for name, root in run.roots.items()}
    queries = {name: [name, str(root), digest_of_queries(name, root, SPLIT)] for name, root in folders.items()}
    stages = {(name, recipe.name): _stages(recipe, name) for name in run.catalogs for recipe in recipes}
    for seed in seeds:  # all cells of one seed first, so that a first table is ready early
        for name in run.catalogs:
            for recipe in recipes:
                steps, key = [], digest_of(learnt_from[name], seed)
                for stage, options in stages[name, recipe.name]:
                    key = digest_of(key, stage, with_contents(options))
                    steps.append(Step(stage, options, key))
                learning = [*_learning(recipe)]
                yield Cell(recipe, name, seed, tuple(steps), digest_of(key, queries[name], learning))


def _learning(recipe: AblationRecipe) -> tuple[str, Options]:
    """The stage that trains, `train` or `finetune`, and its options."""
    return ("train", recipe.train) if recipe.finetune is None else ("finetune", recipe.finetune)


def _stages(recipe: AblationRecipe, benchmark: str) -> list[tuple[str, dict[str, Any]]]:
    """The stages that make a recipe's triplets, in one or two rounds of mining, with their options."""
    refined = recipe.mine.get("refined")
    usual = PreviousRounds.read(Path(refined)).vocabulary if refined else find_benchmark(benchmark).vocabulary
    first = {"vocabulary": usual or DEFAULT, **recipe.mine}
    if recipe.refine is None:
        return [("mine", first)]
    return [("mine", first), ("refine", dict(recipe.refine)), ("mine_again", {**first, **recipe.mine_again})]


def _finish(run: _Run, cell: Cell) -> None:
    """Mine, train and measure. Only the result is kept."""
    if _result(run.out, cell).exists():  # another recipe has the same key
        return
    composer = run.out / "composers" / cell.key
    triplets, catalog = _triplets(run, cell), run.catalogs[cell.benchmark].folder
    if not (composer / "config.json").exists():
        stage, given = _learning(cell.recipe)
        options = options_of(stage, given, cell.seed)
        STAGES[stage](triplets, catalog, composer, options, encoder=run.encoder, runtime=run.runtime)
    measured = EvaluateOptions(split=SPLIT, gap=False)
    root = run.roots[cell.benchmark]
    result = evaluate(cell.benchmark, measured, root=root, composers=[composer], runtime=run.runtime)
    note = {"recipe": cell.recipe.name, "benchmark": cell.benchmark, "seed": cell.seed}
    stages = {stage: getattr(cell.recipe, stage) for stage in OPTIONS}
    note |= {stage: as_json(options) for stage, options in stages.items() if options is not None}
    write_json(_result(run.out, cell), note | result.as_json())
    shutil.rmtree(composer)


def _triplets(run: _Run, cell: Cell) -> Path:
    """Make the triplet file of a cell's last step. Existing files are used."""
    catalog = run.catalogs[cell.benchmark].folder
    made = [run.out / "triplets" / f"{step.key}.parquet" for step in cell.steps]
    for step, file, before in zip(cell.steps, made, [None, *made], strict=False):
        if not file.exists():
            files = (before, catalog, file) if step.stage == "refine" else (catalog, file)
            given = {**step.options, "refined": before} if step.stage == "mine_again" else step.options
            options = options_of(step.stage, given, cell.seed)
            STAGES[step.stage](*files, options, encoder=run.encoder, runtime=run.runtime)
    return made[-1]


def _write(out: Path, cells: Sequence[Cell], failed: Sequence[str], asked: Mapping[str, Any]) -> AblationResult:
    """Write the report on the finished cells."""
    finished = []
    for cell in cells:
        if _result(out, cell).exists():
            found = read_json(_result(out, cell), "result of a cell")
            # Recipes with the same options share a cell, but keep their names.
            finished.append({"recipe": cell.recipe.name, "seed": cell.seed, "rows": found["rows"]})
    rows = summarise_cells(finished)
    report = AblationResult(rows, len(cells), len(finished), tuple(failed), made_by("ablate", asked))
    write_json(out / "ablation.json", asdict(report))
    with atomic(out / "ablation.md") as temporary:
        temporary.write_text(format_ablation(report) + "\n", encoding="utf-8")
    if report.rows:
        draw_ablation(report, out / "ablation.png")
    return report


def _result(out: Path, cell: Cell) -> Path:
    return out / "cells" / f"{cell.key}.json"
