"""The whole path of a published row: a CLIP with random weights, made pictures, the official annotations of CIRR."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

import triptych
from made_benchmarks import read, write, write_picture
from tiny_clip import build_small_clip
from triptych.core.environment import Runtime

DATA = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data"))
CLIP = DATA / "clip-vit-base-patch32-tokenizer"

pytest.importorskip("transformers", reason="needs the extra hf")
pytestmark = pytest.mark.skipif(
    not ((DATA / "cirr").is_dir() and CLIP.is_dir()),
    reason=f"no CIRR annotations or no tokenizer of CLIP in {DATA}; set TRIPTYCH_DATA",
)


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_small_clip(tmp_path_factory.mktemp("clip"), CLIP)


@pytest.fixture(scope="module")
def cirr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official annotations over a made picture for each that they name."""
    root = tmp_path_factory.mktemp("CIRR")
    for folder in ("captions", "image_splits"):
        (root / folder).symlink_to((DATA / "cirr" / folder).resolve())
    for split in ("val", "test1"):
        for number, file in enumerate(read(root / "image_splits" / f"split.rc2.{split}.json").values()):
            write_picture(root / file, number, (16, 16))
    return root


@pytest.mark.slow
def test_a_row_from_recipe_to_table(small_clip: Path, cirr: Path, tmp_path: Path) -> None:
    published = {"method": "text", "task": "relative", "metrics": {"R@1": 21.81}, "source": "paper"}
    runs = [{"benchmark": "cirr", "split": "val"}, {"benchmark": "cirr", "split": "test1", "server": True}]
    made = {"encoder": f"hf:{small_clip}", "methods": ["text"]}
    entry = {"row": "random-clip", "name": "CLIP, random", "eval": made, "on": runs}
    runs[1]["published"] = [published]
    recipes = write(tmp_path / "recipes.json", {"sources": {"paper": {"cite": "A paper"}}, "recipes": [entry]})

    result = triptych.reproduce(roots={"cirr": cirr}, out=tmp_path / "out", recipes=recipes, runtime=Runtime(1))
    assert [step.status for step in result.steps] == ["measured", "submission written"]
    measured = {figure.metric: figure.measured for figure in result.figures if figure.split == "val"}
    assert {"R@1", "R@50", "R_subset@1", "Avg"} <= measured.keys()
    # Random weights know nothing: of the 2,296 pictures that may answer, any is as good as any.
    assert measured["R@50"] < 10
    assert 10 < measured["R_subset@1"] < 30
    (row,) = read(tmp_path / "out" / "random-clip.cirr.val.json")["rows"]
    assert (row["queries"], row["gallery"], row["unreadable"]) == (4181, 2297, 0)
    assert row["text_only"] == row["metrics"]
    assert row["protocol"]["reference"] == "removed"

    # What it wrote for the server is as the server wants it.
    submission = triptych.score(
        "cirr", root=cirr, split="test1", submission=tmp_path / "out/random-clip.cirr.test1.text"
    )
    assert submission.submission.queries == 4148
    table = triptych.table([tmp_path / "out" / "random-clip.cirr.val.json"])
    assert f"{row['metrics']['R@1']:.2f}" in table
    assert json.loads((tmp_path / "out" / "reproduction.json").read_text("utf-8")) == asdict(result)
