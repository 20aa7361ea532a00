"""`ablate`: every recipe on every benchmark with every seed, on validation queries; what is done is not done again."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.ablation.recipes import STAGES, Recipe, load_recipes
from triptych.ablation.showing import draw_ablation, format_ablation, summarise_cells
from triptych.benchmarks.evaluate import evaluate
from triptych.benchmarks.registry import BENCHMARKS, find_benchmark
from triptych.catalog import Catalog
from triptych.errors import TriptychError, UsageError
from triptych.extras import need
from triptych.files import atomic, hash_file, locked, made_by, read_json, write_json
from triptych.progress import progress, say
from triptych.tagging import DEFAULT

SPLIT = "val"
"""The only split that recipes are compared on: test queries are not for choosing."""


@dataclass(frozen=True)
class Cell:
    """One recipe, benchmark and seed; `key` changes with all of it, but not with this program."""

    recipe: Recipe
    benchmark: str
    seed: int
    mining: str
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
    Files are known by their content. With another version of this program, use another `out`.

    Writes `ablation.json`, `ablation.md` and `ablation.png` to `out`, anew after every cell, and returns what the
    first of them holds. A cell that fails is reported and is tried again by the next run.
    Raises UsageError for names that mean nothing and options that mining or training do not have.
    """
    need("train", "ablate")  # now, and not after minutes of mining
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
    for seed in seeds:  # seed by seed, so that a first table is there early
        for name, catalog in catalogs.items():
            for recipe in recipes:
                mining = _digest(catalog.digest, seed, _contents(_mining_options(recipe, name)))
                asked = [name, str(Path(roots[name]).resolve())]
                yield Cell(recipe, name, seed, mining, _digest(mining, asked, dict(recipe.train)))


def _mining_options(recipe: Recipe, benchmark: str) -> dict[str, Any]:
    return {"vocabulary": BENCHMARKS[benchmark].vocabulary or DEFAULT, **recipe.mine}


def _contents(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options, with what is in a file in place of its name. Raises UsageError where there is no such file."""
    told = dict(options)
    for option in ("vocabulary", "after"):
        if path := options.get(option):
            if not Path(path).is_file():
                raise UsageError(f"{option} {path}: there is no such file")
            told[option] = hash_file(Path(path))
    return told


def _run(out: Path, cell: Cell, catalog: Catalog, root: Path, threads: int | None) -> None:
    """Mine where no recipe did so before, train, and measure; the result is what stays of it."""
    if _result(out, cell).exists():  # another recipe came to the same
        return
    triplets = out / "triplets" / f"{cell.mining}.parquet"
    composer = out / "composers" / cell.key
    if not triplets.exists():
        options = _mining_options(cell.recipe, cell.benchmark)
        STAGES["mine"](catalog.folder, triplets, **options, seed=cell.seed, threads=threads)
    if not (composer / "config.json").exists():
        STAGES["train"](triplets, catalog.folder, composer, **cell.recipe.train, seed=cell.seed, threads=threads)
    result = evaluate(cell.benchmark, root=root, split=SPLIT, composers=[composer], gap=False, threads=threads)
    note = {"recipe": cell.recipe.name, "benchmark": cell.benchmark, "seed": cell.seed}
    note |= {"mine": dict(cell.recipe.mine), "train": dict(cell.recipe.train)}
    write_json(_result(out, cell), note | result)
    shutil.rmtree(composer)


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


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
