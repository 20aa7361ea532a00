"""Published rows: as data, run again, and side by side."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

import triptych
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, UsageError
from triptych.evaluation.reproduction import running
from triptych.evaluation.reproduction.pages import format_recipes, format_reproduction
from triptych.evaluation.reproduction.recipes import load_recipes

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "published-rows.md"


def recipe(encoder, **fields):
    """A recipe of three baselines on the wardrobe, of which one was published."""
    published = {"method": "text", "task": "edits", "metrics": {"R@10": 50.0, "R@7": 1.0}, "source": "paper"}
    runs = [{"benchmark": "wardrobe", "split": split} for split in ("val", "test")]
    runs[1]["published"] = [published]
    return {
        "row": "small",
        "name": "A small encoder",
        "eval": {"encoder": str(encoder), "methods": ["picture", "text", "sum"], "weight": 0.5},
        "on": runs,
    } | fields


@pytest.fixture
def write(tmp_path):
    def recipes(*entries, sources=None):
        path = tmp_path / "recipes.json"
        path.write_text(json.dumps({"sources": sources or {"paper": {"cite": "A paper, 2026"}}, "recipes": entries}))
        return path

    return recipes


def test_published_and_measured_figures_stand_side_by_side_and_nothing_runs_twice(
    write, tiny_encoder, wardrobe_world, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    calls = []

    def counted(benchmark, chosen, **options):
        calls.append(options["output"].name)
        return triptych.evaluate(benchmark, chosen, **options)

    monkeypatch.setattr(running, "evaluate", counted)
    asked = {
        "roots": {"wardrobe": wardrobe_world},
        "out": tmp_path / "out",
        "recipes": write(recipe(tiny_encoder)),
        "runtime": Runtime(1),
    }
    first = triptych.reproduce(**asked)
    assert calls == ["small.wardrobe.val.json", "small.wardrobe.test.json"]
    assert [step.status for step in first.steps] == ["measured", "measured"]
    assert json.loads((tmp_path / "out" / "reproduction.json").read_text()) == asdict(first)
    measured = json.loads((tmp_path / "out" / calls[1]).read_text())["rows"][1]
    figures = {(figure.method, figure.metric): figure for figure in first.figures if figure.split == "test"}
    both = figures["text", "R@10"]
    assert (both.published, both.measured) == (50.0, measured["metrics"]["R@10"])
    assert both.source == "A paper, 2026; not checked"
    assert (figures["text", "R@7"].published, figures["text", "R@7"].measured) == (1.0, None)
    assert (figures["sum", "R@1"].published, figures["sum", "R@1"].source) == (None, None)
    line = next(line for line in format_reproduction(first).splitlines() if " test " in line and "50.00" in line)
    assert f"{measured['metrics']['R@10'] - 50:+.2f}" in line

    # A row whose result file is there is not run again; one whose file is gone is.
    (tmp_path / "out" / calls.pop(0)).unlink()
    second = triptych.reproduce(["small"], **asked)
    assert calls == ["small.wardrobe.test.json", "small.wardrobe.val.json"]
    assert [step.status for step in second.steps] == ["measured", "measured before"]
    assert second.figures == first.figures


def test_a_step_that_fails_does_not_stop_the_others(write, tiny_encoder, wardrobe_world, tmp_path):
    broken = recipe(tmp_path / "nowhere", row="broken")
    path = write(broken, recipe(tiny_encoder))
    program = [sys.executable, "-c", "from triptych.cli import main; main()", "reproduce"]
    options = ["--root", f"wardrobe={wardrobe_world}", "--out", tmp_path / "out", "--recipes", path, "--threads", "1"]
    shown = subprocess.run([*program, *options], capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    assert shown.stderr.strip().splitlines()[-1].startswith("triptych: 2 of 4 steps failed")
    assert "Traceback" not in shown.stderr
    assert "failed: --encoder" in shown.stdout
    assert (tmp_path / "out" / "small.wardrobe.test.json").exists()
    assert not (tmp_path / "out" / "broken.wardrobe.test.json").exists()


def test_a_result_file_of_something_else_is_not_taken(write, tiny_encoder, wardrobe_world, tmp_path):
    out = tmp_path / "out"
    (out / "small.wardrobe.val.json").parent.mkdir()
    (out / "small.wardrobe.val.json").write_text('{"rows": []}')
    settings = {"root": "elsewhere", "split": "test", "composers": []}
    (out / "small.wardrobe.test.json").write_text(json.dumps({"made_by": {"settings": settings}}))
    result = triptych.reproduce(
        roots={"wardrobe": wardrobe_world}, out=out, recipes=write(recipe(tiny_encoder)), runtime=Runtime(1)
    )
    statuses = [step.status for step in result.steps]
    assert "not a result file" in statuses[0]
    assert "made with other root" in statuses[1]


def test_what_only_a_server_can_score_becomes_a_submission_for_each_method(
    write, wardrobe_world, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    calls = []

    def submitted(benchmark, chosen, **options):
        options |= vars(chosen)
        calls.append(options)
        options["output"].parent.mkdir(exist_ok=True)
        settings = {"root": str(options["root"]), "split": options["split"], "composers": []}
        options["output"].write_text(json.dumps({"rows": [], "made_by": {"settings": settings}}))

    monkeypatch.setattr(running, "evaluate", submitted)
    run = {"benchmark": "circo", "split": "test", "server": True, "settings": ["picture=padded"]}
    run["published"] = [{"method": "sum", "task": "relative", "metrics": {"mAP@5": 2.65}, "source": "paper"}]
    asked = {
        "roots": {"circo": wardrobe_world},
        "out": tmp_path / "out",
        "recipes": write(recipe("wardrobe", on=[run])),
    }
    result = triptych.reproduce(catalogs={"circo": "catalog"}, **asked)
    assert [call["methods"] for call in calls] == [("picture",), ("text",), ("sum",)]
    assert {str(call["catalog"]) for call in calls} == {"catalog"}
    assert calls[2]["settings"] == ("picture=padded",)
    assert calls[2]["submission"] == tmp_path / "out" / "small.circo.test.sum"
    assert {step.status for step in result.steps} == {"submission written"}
    (figure,) = result.figures
    assert (figure.published, figure.measured) == (2.65, None)
    triptych.reproduce(**asked)
    assert len(calls) == 3


def test_a_composer_takes_its_own_row(write, tiny_composer, wardrobe_world, tmp_path):
    ours = recipe("wardrobe", row="ours", eval={"composer": True})
    ours["on"][1]["published"][0]["method"] = ""
    asked = {
        "roots": {"wardrobe": wardrobe_world},
        "out": tmp_path / "out",
        "recipes": write(ours),
        "runtime": Runtime(1),
    }
    with pytest.raises(UsageError, match="nothing to run"):
        triptych.reproduce(**asked)
    with pytest.raises(UsageError, match="needs --composer"):
        triptych.reproduce(["ours"], **asked)
    result = triptych.reproduce(composer=tiny_composer, **asked)
    (figure,) = (each for each in result.figures if each.published == 50.0)
    assert figure.measured is not None
    assert figure.method is None


def test_rows_of_others_are_shown_and_not_run(write, wardrobe_world, tmp_path):
    others = recipe("", external={"code": "https://example.org/code", "command": "python run.py"})
    del others["eval"]
    path = write(others)
    result = triptych.reproduce(roots={"wardrobe": wardrobe_world}, out=tmp_path / "out", recipes=path)
    assert result.steps == []
    assert {figure.published for figure in result.figures} == {50.0, 1.0}
    assert {figure.measured for figure in result.figures} == {None}
    assert "python run.py" in format_recipes(load_recipes(path))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"rows": ["magic"], "roots": {"cirr": "."}}, "no row 'magic'"),
        ({"roots": {"imagenet": "."}}, "no row for 'imagenet'"),
        ({"roots": {}}, "nothing to run"),
    ],
)
def test_what_makes_no_sense(asked, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        triptych.reproduce(asked.pop("rows", ()), **asked, out=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"recipes": [{"row": "a"}]}',
        '{"recipes": 7}',
        '{"recipes": [{"row": "a", "name": "A", "eval": {}, "on": []}]}',
        '{"recipes": [{"row": "a", "name": "A", "eval": {"methods": "sum"}, "on": []}]}',
    ],
)
def test_what_are_no_recipes_is_one_line(tmp_path, content):
    path = tmp_path / "recipes.json"
    path.write_text(content)
    with pytest.raises(DataError, match="not a recipes file") as refused:
        load_recipes(path)
    assert "\n" not in str(refused.value)


def test_a_row_stands_once(write):
    with pytest.raises(DataError, match="same row"):
        load_recipes(write(recipe("wardrobe"), recipe("wardrobe")))


def test_the_recipes_that_ship_say_where_every_figure_is_from():
    recipes = load_recipes()
    assert {"clip-b32", "clip-l14", "clip-h14", "siglip2-b16", "icir-l14", "bge-vl-base", "triptych"} <= {
        one.row for one in recipes
    }
    for one in recipes:
        assert one.runnable != bool(one.command), one.row
        for run in one.runs:
            assert run.benchmark in {"fashioniq", "cirr", "circo", "genecis", "icir", "pinpoint"}
            local = run.benchmark in {"genecis", "icir", "pinpoint"}
            assert run.server == (run.split in {"test1", "test"} and not local)
            for published in run.published:
                assert published.method in one.methods or not published.method
                assert "checked against" in published.source
                assert all(0 < value < 100 for value in published.metrics.values())
                cuts = [value for name, value in published.metrics.items() if name.startswith("R@")]
                assert cuts == sorted(cuts), one.row


def test_the_page_shows_the_recipes_as_they_are():
    assert format_recipes(load_recipes()) in PAGE.read_text("utf-8"), (
        "docs/reference/published-rows.md is behind the recipes: paste what `triptych reproduce --list` prints"
    )
