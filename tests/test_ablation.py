"""Recipes over seeds: what is run, what is not run again, and what is written."""

import inspect
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from triptych.ablation import ablate, format_ablation, load_recipes, running
from triptych.ablation.recipes import STAGES
from triptych.ablation.showing import summarise_cells
from triptych.errors import FailureError, UsageError

RECIPES = {
    "mine": {"plans": 4},
    "train": {"epochs": 1, "batch": 64},
    "recipes": [{"name": "full"}, {"name": "hot", "train": {"temperature": 0.5}}],
}


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    path = tmp_path / "recipes.json"
    path.write_text(json.dumps(RECIPES), encoding="utf-8")
    return path


@pytest.fixture
def run(recipes, wardrobe_world, tiny_catalog, tiny_triplets, tiny_composer, tmp_path, monkeypatch):
    """Run the recipes, with mining and training that take no time; `run.calls` lists them, as (stage, seed)."""
    calls: list[tuple[str, int]] = []
    options_of: list[dict] = []
    made = {"mine": tiny_triplets, "train": tiny_composer}

    def stand_in(stage, place):
        def call(*args, **options):
            inspect.signature(STAGES[stage]).bind(*args, **options)
            calls.append((stage, options["seed"]))
            options_of.append(options)
            args[place].parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if made[stage].is_dir() else shutil.copy)(made[stage], args[place])

        return call

    monkeypatch.setattr(running, "STAGES", {"mine": stand_in("mine", 1), "train": stand_in("train", 2)})

    def again(**options):
        calls.clear()
        options_of.clear()
        settings = {"roots": {"wardrobe": wardrobe_world}, "catalogs": {"wardrobe": tiny_catalog}, "threads": 1}
        return ablate(recipes, tmp_path / "out", **settings | {"seeds": (0,)} | options)

    again.calls, again.options = calls, options_of
    return again


def test_cells_are_run_once_and_reported(run, tmp_path, recipes):
    report = run()
    # Recipes that mine alike share their triplets.
    assert run.calls == [("mine", 0), ("train", 0), ("train", 0)]
    mined, full, hot = run.options
    assert mined["plans"] == 4
    assert (full["epochs"], full.get("temperature")) == (1, None)
    assert (hot["epochs"], hot["temperature"]) == (1, 0.5)
    out = tmp_path / "out"
    assert json.loads((out / "ablation.json").read_text("utf-8")) == report
    assert [(row["task"], row["recipe"], row["seeds"]) for row in report["rows"]] == [
        ("edits", "full", [0]),
        ("edits", "hot", [0]),
    ]
    assert report["rows"][0]["metrics"]["R@10"]["deviation"] is None
    assert not list((out / "composers").iterdir())
    (cell, _) = (json.loads(file.read_text("utf-8")) for file in sorted((out / "cells").iterdir()))
    assert {row["split"] for row in cell["rows"]} == {"val"}
    with Image.open(out / "ablation.png") as picture:
        assert picture.format == "PNG"

    assert run()["rows"] == report["rows"]
    assert run.calls == []
    more = run(seeds=(0, 1))
    assert run.calls == [("mine", 1), ("train", 1), ("train", 1)]
    row = more["rows"][0]
    assert row["metrics"]["R@10"]["values"][0] == report["rows"][0]["metrics"]["R@10"]["values"][0]
    assert "| full | 2 |" in (out / "ablation.md").read_text("utf-8")

    changed = dict(RECIPES, recipes=[RECIPES["recipes"][0], {"name": "hot", "train": {"temperature": 0.6}}])
    recipes.write_text(json.dumps(changed), encoding="utf-8")
    run(only=["hot"])
    assert run.calls == [("train", 0)]


def test_a_cell_that_fails_is_reported_and_tried_again(run, monkeypatch):
    def broken(*args, **options):
        raise FailureError("no luck")

    real = running.evaluate
    monkeypatch.setattr(running, "evaluate", broken)
    report = run(only=["full"])
    assert report["failed"] == ["full, wardrobe, seed 0: no luck"]
    assert "0 of 1 cells" in format_ablation(report)
    monkeypatch.setattr(running, "evaluate", real)
    assert run(only=["full"])["finished"] == 1
    assert run.calls == []  # what was mined and trained is still there


def test_the_table_has_means_deviations_and_the_distance_from_the_first():
    def cell(recipe, seed, value):
        row = {"benchmark": "b", "task": "t", "metrics": {"R@1": 1.0, "R@10": value}}
        return {"recipe": recipe, "seed": seed, "rows": [row]}

    rows = summarise_cells([cell("full", 0, 10.0), cell("full", 1, 14.0), cell("less", 0, 9.0)])
    table = format_ablation({"rows": rows, "cells": 4, "finished": 3})
    assert "| full | 2 | 1.0 ± 0.0 | 12.0 ± 2.8 | +0.0 |" in table
    assert "| less | 1 | 1.0 | 9.0 | -3.0 |" in table
    assert table.endswith("3 of 4 cells are finished.")


def test_a_recipe_under_two_names_runs_once(run, recipes):
    recipes.write_text(json.dumps({"recipes": [{"name": "full"}, {"name": "the same"}]}), encoding="utf-8")
    assert {row["recipe"] for row in run()["rows"]} == {"full", "the same"}
    assert run.calls == [("mine", 0), ("train", 0)]


def test_a_file_that_changed_makes_another_cell(run, recipes, tmp_path):
    words = tmp_path / "words.json"
    words.write_text(json.dumps({"colour": ["red", "blue"]}), encoding="utf-8")
    one = {"recipes": [{"name": "full", "mine": {"vocabulary": str(words)}}]}
    recipes.write_text(json.dumps(one), encoding="utf-8")
    run()
    run()
    assert run.calls == []
    words.write_text(json.dumps({"colour": ["red", "green"]}), encoding="utf-8")
    run()
    assert run.calls == [("mine", 0), ("train", 0)]
    words.unlink()
    with pytest.raises(UsageError, match=r"words\.json: there is no such file"):
        run()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"recipes": [{"name": "a", "train": {"bnak": 0}}]}, r"recipe 'a': train has no option 'bnak'; it has"),
        ({"recipes": [{"name": "a"}], "mine": {"seed": 1}}, "the file: mine has no option 'seed'"),
        ({"recipes": [{"name": "a"}, {"name": "a"}]}, "two recipes 'a'"),
        ({"recipes": [{"train": {}}]}, 'recipe 1 needs a "name"'),
        ({"recipes": [{"name": "a", "tarin": {}}]}, "unknown field 'tarin'"),
        ({"recipes": [{"name": "a", "train": []}]}, "must be an object"),
        ({"recipes": [{"name": "a", "train": {"epochs": "3"}}]}, "train epochs: '3' is not of the kind of 3"),
        ({"recipes": [{"name": "a", "train": {"without": "concepts"}}]}, "'concepts' is not of the kind of"),
        ({"recipes": [{"name": "a", "train": {"epochs": True}}]}, "True is not of the kind of 3"),
        ({"recipes": []}, "write"),
        ({"recipes": [{"name": "a"}], "seeds": []}, "unknown field 'seeds'"),
    ],
)
def test_recipes_that_make_no_sense(content, message, tmp_path):
    path = tmp_path / "recipes.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        load_recipes(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["gone"]}, "no recipe 'gone'"),
        ({"catalogs": {}}, "wardrobe: give the catalog"),
        ({"roots": {}}, "at least one benchmark"),
        ({"roots": {"genecis": "x"}}, "no split 'val'"),
    ],
)
def test_runs_that_make_no_sense(run, options, message):
    with pytest.raises(UsageError, match=message):
        run(**options)


def test_the_recipes_that_ship_are_sound():
    recipes = load_recipes(Path(__file__).parents[1] / "bench" / "ablation.json")
    assert recipes[0].name == "full"
    assert not recipes[0].train
    assert all((one.mine, one.train) != (recipes[0].mine, {}) for one in recipes[1:])
