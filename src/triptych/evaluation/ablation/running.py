"""`ablate`: every recipe on every benchmark with every seed, on validation queries; what is done is not done again."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.benchmarks.registry import BENCHMARKS, find_benchmark
from triptych.catalog.catalog import Catalog
from triptych.core.environment import require_extra
from triptych.core.errors import TriptychError, UsageError
from triptych.core.files import as_json, atomic, locked, made_by, read_json, write_json
from triptych.core.progress import progress, say
from triptych.evaluation.ablation.keys import digest_of, digest_of_encoder, digest_of_queries, with_contents
from triptych.evaluation.ablation.recipes import STAGES, Recipe, load_recipes
from triptych.evaluation.ablation.showing import draw_ablation, format_ablation, summarise_cells
from triptych.evaluation.evaluate import evaluate
from triptych.mining.rounds import PreviousRounds
from triptych.tagging.vocabulary import DEFAULT

SPLIT = "val"
"""The only split that recipes are compared on: test queries are not for choosing."""


@dataclass(frozen=True)
class Step:
    """A stage that makes a file of triplets; `key` changes with all that it is made of, the steps before among it."""

    stage: str
    options: Mapping[str, Any]
    key: str


@dataclass(frozen=True)
class Cell:
    """One recipe, benchmark and seed; `key` changes with all of it, but not with this program."""

    recipe: Recipe
    benchmark: str
    seed: int
    steps: tuple[Step, ...]
    key: str


def ablate(
    recipes: Path | str,
    out: Path | str,
    *,
    roots: Mapping[str, Path | str],
    catalogs: Mapping[str, Path | str],
    seeds: Sequence[int] = (0, 1, 2),
    only: Sequence[str] = (),
    threads: int | None = None,
) -> dict[str, Any]:
    """Mine, train and measure each recipe of a file, on the val split of each benchmark of `roots`, with each seed.

    `catalogs` has the unlabelled pictures of each benchmark, indexed by the encoder to use; `only` names the recipes
    to run, all if none. A seed is that of mining and of training; recipes that mine alike share their triplets. A cell
    that is finished is never run again, and one that was killed goes on where it stopped.
    Files, the encoder's and the queries among them, are known by their content, the benchmark's pictures by their
    names. With another version of this program, use another `out`.

    Writes `ablation.json`, `ablation.md` and `ablation.png` to `out`, anew after every cell, and returns what the
    first of them holds. A cell that fails is reported and is tried again by the next run.
    Raises UsageError for names that mean nothing and options that mining or training do not have.
    """
    require_extra("train", "ablate")  # now, and not after minutes of mining
    recipes, out = Path(recipes), Path(out)
    known = load_recipes(recipes)
    if strangers := set(only) - {recipe.name for recipe in known}:
        raise UsageError(f"{recipes}: there is no recipe {sorted(strangers)[0]!r}")
    if not roots or not seeds:
        raise UsageError("give at least one benchmark with its folder, and one seed")
    for name in roots:
        find_benchmark(name, SPLIT)
        if name not in catalogs:
            raise UsageError(f"{name}: give the catalog of its unlabelled pictures, too")
    opened = {name: Catalog(Path(catalogs[name])) for name in roots}
    chosen = [recipe for recipe in known if not only or recipe.name in only]
    cells = [*_cells(chosen, roots, opened, seeds)]
    done = [cell for cell in cells if _result(out, cell).exists()]
    waiting = [cell for cell in cells if cell not in done]
    asked = {"recipes": recipes, "seeds": list(seeds), "roots": {name: str(root) for name, root in roots.items()}}
    failed: list[str] = []
    with locked(out):
        report = _write(out, cells, failed, asked)
        for cell in progress(waiting, "ablate", total=len(cells), unit="cell", done=len(done)):
            try:
                _run(out, cell, opened[cell.benchmark], Path(roots[cell.benchmark]), threads)
            except TriptychError as error:
                failed.append(f"{cell.recipe.name}, {cell.benchmark}, seed {cell.seed}: {error}")
                say(f"ablate: {failed[-1]}")
            report = _write(out, cells, failed, asked)
    return report


def _cells(
    recipes: Sequence[Recipe],
    roots: Mapping[str, Path | str],
    catalogs: Mapping[str, Catalog],
    seeds: Sequence[int],
) -> Iterator[Cell]:
    learnt_from = {name: [catalog.digest, digest_of_encoder(catalog.encoder())] for name, catalog in catalogs.items()}
    folders = {name: Path(root).resolve() for name, root in roots.items()}
    asked = {name: [name, str(root), digest_of_queries(name, root, SPLIT)] for name, root in folders.items()}
    stages = {(name, recipe.name): _stages(recipe, name) for name in catalogs for recipe in recipes}
    for seed in seeds:  # seed by seed, so that a first table is there early
        for name in catalogs:
            for recipe in recipes:
                steps, key = [], digest_of(learnt_from[name], seed)
                for stage, options in stages[name, recipe.name]:
                    key = digest_of(key, stage, with_contents(options))
                    steps.append(Step(stage, options, key))
                yield Cell(recipe, name, seed, tuple(steps), digest_of(key, asked[name], as_json(recipe.train)))


def _stages(recipe: Recipe, benchmark: str) -> list[tuple[str, dict[str, Any]]]:
    """What makes a recipe's triplets: one round of mining, or two, and of each stage its options."""
    after = recipe.mine.get("after")
    usual = PreviousRounds.read(Path(after)).vocabulary if after else BENCHMARKS[benchmark].vocabulary
    first = {"vocabulary": usual or DEFAULT, **recipe.mine}
    if recipe.refine is None:
        return [("mine", first)]
    return [("mine", first), ("refine", dict(recipe.refine)), ("again", {**first, **recipe.again})]


def _run(out: Path, cell: Cell, catalog: Catalog, root: Path, threads: int | None) -> None:
    """Make triplets, train, and measure; the result is what stays of it."""
    if _result(out, cell).exists():  # another recipe came to the same
        return
    composer = out / "composers" / cell.key
    triplets = _triplets(out, cell, catalog, threads)
    if not (composer / "config.json").exists():
        STAGES["train"](triplets, catalog.folder, composer, **cell.recipe.train, seed=cell.seed, threads=threads)
    result = evaluate(cell.benchmark, root=root, split=SPLIT, composers=[composer], gap=False, threads=threads)
    note = {"recipe": cell.recipe.name, "benchmark": cell.benchmark, "seed": cell.seed}
    stages = {stage: getattr(cell.recipe, stage) for stage in STAGES}
    note |= {stage: as_json(options) for stage, options in stages.items() if options is not None}
    write_json(_result(out, cell), note | result)
    shutil.rmtree(composer)


def _triplets(out: Path, cell: Cell, catalog: Catalog, threads: int | None) -> Path:
    """The file of triplets that a cell's steps end with; what another recipe made is not made again."""
    made = [out / "triplets" / f"{step.key}.parquet" for step in cell.steps]
    for step, file, before in zip(cell.steps, made, [None, *made], strict=False):
        if not file.exists():
            files = (before, catalog.folder, file) if step.stage == "refine" else (catalog.folder, file)
            options = {**step.options, "after": before} if step.stage == "again" else step.options
            STAGES[step.stage](*files, **options, seed=cell.seed, threads=threads)
    return made[-1]


def _write(out: Path, cells: Sequence[Cell], failed: Sequence[str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Report on the cells that are finished."""
    finished = []
    for cell in cells:
        if _result(out, cell).exists():
            found = read_json(_result(out, cell), "result of a cell")
            # Recipes of one content share a cell, each under its own name.
            finished.append({"recipe": cell.recipe.name, "seed": cell.seed, "rows": found["rows"]})
    report = {
        "rows": summarise_cells(finished),
        "cells": len(cells),
        "finished": len(finished),
        "failed": list(failed),
        "made_by": made_by("ablate", asked),
    }
    write_json(out / "ablation.json", report)
    with atomic(out / "ablation.md") as temporary:
        temporary.write_text(format_ablation(report) + "\n", encoding="utf-8")
    if report["rows"]:
        draw_ablation(report, out / "ablation.png")
    return report


def _result(out: Path, cell: Cell) -> Path:
    return out / "cells" / f"{cell.key}.json"
