"""Recipes over seeds: what is run, what is not run again, and what is written."""

import inspect
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import write_json
from triptych.evaluation.ablation import running
from triptych.evaluation.ablation.options import AblateOptions
from triptych.evaluation.ablation.recipes import load_recipes
from triptych.evaluation.ablation.running import STAGES, ablate
from triptych.evaluation.ablation.showing import AblationResult, format_ablation, summarise_cells
from triptych.mining.options import CriticOptions
from triptych.training.options import FinetuneOptions, LossOptions, TrainOptions
from triptych.triplets.file import read_triplets, write_triplets

RECIPES = {
    "mine": {"changes": 4},
    "train": {"epochs": 1, "batch_size": 64},
    "recipes": [{"name": "full"}, {"name": "hot", "train": {"temperature": 0.5}}],
}


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    path = tmp_path / "recipes.json"
    path.write_text(json.dumps(RECIPES), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Given:
    """What a stage was called with."""

    options: Any
    first: Path
    out: Path


@pytest.fixture
def run(recipes, wardrobe_world, tiny_catalog, tiny_triplets, tiny_composer, tmp_path, monkeypatch):
    """Run the recipes, with mining and training that take no time; `run.calls` lists them, as (stage, seed)."""
    calls: list[tuple[str, int]] = []
    given: list[Given] = []
    made = {"mine": tiny_triplets, "refine": tiny_triplets, "mine_again": tiny_triplets}
    made |= {"train": tiny_composer, "finetune": tiny_composer}

    def stand_in(stage, place):
        def call(*args, **others):
            inspect.signature(STAGES[stage]).bind(*args, **others)
            *_, options = args
            calls.append((stage, options.seed))
            given.append(Given(options, args[0], args[place]))
            args[place].parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if made[stage].is_dir() else shutil.copy)(made[stage], args[place])

        return call

    places = {"mine": 1, "refine": 2, "mine_again": 1, "train": 2, "finetune": 2}
    monkeypatch.setattr(running, "STAGES", {stage: stand_in(stage, place) for stage, place in places.items()})

    def again(seeds=(0,), only=(), **others):
        calls.clear()
        given.clear()
        settings = {"roots": {"wardrobe": wardrobe_world}, "catalogs": {"wardrobe": tiny_catalog}}
        options = AblateOptions(seeds, only)
        return ablate(recipes, tmp_path / "out", options, **settings | others, runtime=Runtime(threads=1))

    again.calls, again.given = calls, given
    return again


def test_cells_are_run_once_and_reported(run, tmp_path, recipes):
    report = run()
    # Recipes that mine alike share their triplets.
    assert run.calls == [("mine", 0), ("train", 0), ("train", 0)]
    mined, full, hot = (one.options for one in run.given)
    assert mined.changes == 4
    assert full == TrainOptions(epochs=1, batch_size=64)
    assert hot == replace(full, loss=LossOptions(temperature=0.5))
    out = tmp_path / "out"
    assert json.loads((out / "ablation.json").read_text("utf-8")) == json.loads(json.dumps(asdict(report)))
    assert [(row.task, row.recipe, row.seeds) for row in report.rows] == [
        ("edits", "full", [0]),
        ("edits", "hot", [0]),
    ]
    assert report.rows[0].metrics["R@10"].deviation is None
    assert not list((out / "composers").iterdir())
    (cell, _) = (json.loads(file.read_text("utf-8")) for file in sorted((out / "cells").iterdir()))
    assert {row["split"] for row in cell["rows"]} == {"val"}
    with Image.open(out / "ablation.png") as picture:
        assert picture.format == "PNG"

    assert run().rows == report.rows
    assert run.calls == []
    more = run(seeds=(0, 1))
    assert run.calls == [("mine", 1), ("train", 1), ("train", 1)]
    (value, _), (first,) = (one.rows[0].metrics["R@10"].values for one in (more, report))
    assert value == first
    assert "| full | 2 |" in (out / "ablation.md").read_text("utf-8")

    changed = dict(RECIPES, recipes=[RECIPES["recipes"][0], {"name": "hot", "train": {"temperature": 0.6}}])
    recipes.write_text(json.dumps(changed), encoding="utf-8")
    run(only=("hot",))
    assert run.calls == [("train", 0)]


def test_a_cell_that_fails_is_reported_and_tried_again(run, monkeypatch):
    def broken(*args, **options):
        raise FailureError("no luck")

    real = running.evaluate
    monkeypatch.setattr(running, "evaluate", broken)
    report = run(only=("full",))
    assert [*report.failed] == ["full, wardrobe, seed 0: no luck"]
    assert "0 of 1 cells" in format_ablation(report)
    monkeypatch.setattr(running, "evaluate", real)
    assert run(only=("full",)).finished == 1
    assert run.calls == []  # what was mined and trained is still there


def test_the_table_has_means_deviations_and_the_distance_from_the_first():
    def cell(recipe, seed, value):
        row = {"benchmark": "b", "task": "t", "metrics": {"R@1": 1.0, "R@10": value}}
        return {"recipe": recipe, "seed": seed, "rows": [row]}

    rows = summarise_cells([cell("full", 0, 10.0), cell("full", 1, 14.0), cell("less", 0, 9.0)])
    table = format_ablation(AblationResult(rows, 4, 3, (), {}))
    assert "| full | 2 | 1.0 ± 0.0 | 12.0 ± 2.8 | +0.0 |" in table
    assert "| less | 1 | 1.0 | 9.0 | -3.0 |" in table
    assert table.endswith("3 of 4 cells are finished.")


def test_a_recipe_under_two_names_runs_once(run, recipes):
    recipes.write_text(json.dumps({"recipes": [{"name": "full"}, {"name": "the same"}]}), encoding="utf-8")
    assert {row.recipe for row in run().rows} == {"full", "the same"}
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


def test_a_second_round_is_mined_after_what_was_refined(run, recipes, tmp_path):
    content = {
        "mine": {"changes": 4, "min_probability": 0.1, "min_ratio": 3},
        "recipes": [{"name": "one"}, {"name": "two", "refine": {"folds": 3}, "mine_again": {"changes": 2}}],
    }
    recipes.write_text(json.dumps(content), encoding="utf-8")
    report = run()
    assert run.calls == [("mine", 0), ("train", 0), ("refine", 0), ("mine_again", 0), ("train", 0)]
    mined, one, refined, again, two = run.given
    assert mined.options.critic == CriticOptions(min_probability=0.1, min_ratio=3)
    assert mined.options.changes == 4
    assert (refined.first, refined.options.folds) == (mined.out, 3)
    assert (again.options.refined, again.options.changes) == (refined.out, 2)
    assert again.options.critic == mined.options.critic
    assert (one.first, two.first) == (mined.out, again.out)
    cells = [json.loads(file.read_text("utf-8")) for file in (tmp_path / "out" / "cells").iterdir()]
    (second,) = [cell for cell in cells if cell["recipe"] == "two"]
    assert (second["refine"], second["mine_again"]) == ({"folds": 3}, {"changes": 2})
    assert second["mine"] == content["mine"]
    assert run().rows == report.rows
    assert run.calls == []

    content["recipes"][1]["refine"] = {"folds": 4}
    recipes.write_text(json.dumps(content), encoding="utf-8")
    run()
    assert run.calls == [("refine", 0), ("mine_again", 0), ("train", 0)]


def test_another_round_is_in_its_own_words(run, recipes, tiny_triplets, tmp_path):
    words, refined = tmp_path / "words.json", tmp_path / "refined.parquet"
    words.write_text(json.dumps({"colour": ["red", "blue"]}), encoding="utf-8")
    write_triplets(
        refined, read_triplets(tiny_triplets)[0], {"settings": {"vocabulary": str(words)}, "question_types": []}
    )
    recipes.write_text(json.dumps({"recipes": [{"name": "x", "mine": {"refined": str(refined)}}]}), encoding="utf-8")
    run()
    assert run.given[0].options.vocabulary == words
    words.write_text(json.dumps({"colour": ["red", "green"]}), encoding="utf-8")
    run()
    assert run.calls == [("mine", 0), ("train", 0)]


def test_an_encoder_that_changed_behind_its_fingerprint_makes_another_cell(run, tiny_catalog, tiny_encoder, tmp_path):
    catalog, encoder = tmp_path / "catalog", tmp_path / "encoder"
    shutil.copytree(tiny_catalog, catalog)
    shutil.copytree(tiny_encoder, encoder)
    note = json.loads((catalog / "catalog.json").read_text("utf-8"))
    note["encoder"]["name"] = str(encoder)
    write_json(catalog / "catalog.json", note)
    once = [("mine", 0), ("train", 0)]

    def calls() -> list[tuple[str, int]]:
        run(catalogs={"wardrobe": catalog}, only=("full",))
        return list(run.calls)

    assert calls() == once
    config = json.loads((encoder / "config.json").read_text("utf-8"))
    write_json(encoder / "config.json", config | {"logit_scale": config["logit_scale"] * 2})
    assert calls() == once
    (encoder / "words.safetensors").unlink()
    assert calls() == once
    (encoder / "model.safetensors").write_bytes((encoder / "model.safetensors").read_bytes() + b" ")
    assert calls() == once
    (encoder / "learning-curve.png").write_bytes(b"")
    assert calls() == []


def test_queries_that_changed_make_another_cell(run, wardrobe_world, tmp_path):
    world = tmp_path / "world"
    world.mkdir()
    (world / "images").symlink_to(wardrobe_world / "images")
    for name in ("val.txt", "queries.val.jsonl"):
        shutil.copy(wardrobe_world / name, world / name)
    run(roots={"wardrobe": world}, only=("full",))
    lines = (world / "queries.val.jsonl").read_text("utf-8").splitlines()
    (world / "queries.val.jsonl").write_text("\n".join(lines[:-1]), encoding="utf-8")
    run(roots={"wardrobe": world}, only=("full",))
    assert run.calls == [("train", 0)]  # what was mined does not depend on what is asked
    run(roots={"wardrobe": world}, only=("full",))
    assert run.calls == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"recipes": [{"name": "a", "train": {"bnak": 0}}]}, r"recipe 'a': train has no option 'bnak'; it has"),
        ({"recipes": [{"name": "a"}], "mine": {"seed": 1}}, "the file: mine has no option 'seed'"),
        ({"recipes": [{"name": "a"}, {"name": "a"}]}, "two recipes 'a'"),
        ({"recipes": [{"train": {}}]}, 'recipe 1 needs a "name"'),
        ({"recipes": [{"name": "a", "tarin": {}}]}, "unknown field 'tarin'"),
        ({"recipes": [{"name": "a", "train": []}]}, "must be an object"),
        ({"recipes": [{"name": "a", "train": {"epochs": "3"}}]}, "train epochs: '3' has another type than 9"),
        ({"recipes": [{"name": "a", "train": {"without": "concepts"}}]}, "'concepts' has another type than"),
        ({"recipes": [{"name": "a", "train": {"epochs": True}}]}, "True has another type than 9"),
        ({"recipes": [{"name": "a", "mine": {"vocabulary": 2}}]}, "2 has another type than None"),
        (
            {"recipes": [{"name": "a", "mine": {"low": 2}}]},
            "mine has no option 'low'; it has vocabulary, .*, min_probability,",
        ),
        ({"recipes": [{"name": "a", "mine": {"min_probability": 2}}]}, "'a': mine: --min-probability must be"),
        ({"recipes": [{"name": "a", "mine_again": {"changes": 2}}]}, "needs refine"),
        (
            {"recipes": [{"name": "a", "refine": {}, "mine_again": {"refined": "x"}}]},
            "mine_again has no option 'refined'",
        ),
        ({"recipes": [{"name": "a", "train": {}, "finetune": {}}]}, "give either train or finetune"),
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
        ({"only": ("gone",)}, "no recipe 'gone'"),
        ({"catalogs": {}}, "wardrobe: also give the catalog"),
        ({"roots": {}}, "at least one benchmark"),
        ({"roots": {"genecis": "x"}}, "no split 'val'"),
    ],
)
def test_runs_that_make_no_sense(run, options, message):
    with pytest.raises(UsageError, match=message):
        run(**options)


def test_a_recipe_may_train_the_encoder(run, recipes):
    content = {"train": {"epochs": 1}, "recipes": [{"name": "full"}, {"name": "encoder", "finetune": {"distill": 2}}]}
    recipes.write_text(json.dumps(content), encoding="utf-8")
    run()
    assert run.calls == [("mine", 0), ("train", 0), ("finetune", 0)]
    assert run.given[2].options == FinetuneOptions(distill=2)
    run()
    assert run.calls == []


@pytest.mark.parametrize("name", ["ablation.json", "levers.json"])
def test_the_recipes_that_ship_are_sound(name):
    recipes = load_recipes(Path(__file__).parents[1] / "bench" / name)
    assert recipes[0].name == "full"
    assert not recipes[0].train
    assert all(replace(one, name="full") != recipes[0] for one in recipes[1:])
