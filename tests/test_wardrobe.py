import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest

from triptych.benchmarks.datasets.wardrobe.captions import caption, modification, relative_captions
from triptych.benchmarks.datasets.wardrobe.drawing import draw
from triptych.benchmarks.datasets.wardrobe.garments import Garment, changes, vocabulary
from triptych.benchmarks.datasets.wardrobe.lines import design
from triptych.benchmarks.datasets.wardrobe.world import write_wardrobe
from triptych.core.errors import UsageError

LINES = {"pretrain": 4, "unlabelled": 3, "val": 9, "test": 9}
SIZE = 48


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    write_wardrobe(out, seed=5, lines=LINES, size=SIZE, workers=1)
    return out


def contents(out: Path) -> dict[str, str]:
    """The hash of every file but the note, which carries the time."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "world.json"
    }


def truth(out: Path) -> dict[str, dict[str, str]]:
    with (out / "garments.csv").open(encoding="utf-8", newline="") as table:
        return {row["image"]: row for row in csv.DictReader(table)}


def queries(out: Path, split: str) -> list[dict]:
    return [json.loads(line) for line in (out / f"queries.{split}.jsonl").read_text("utf-8").splitlines()]


def names(out: Path, split: str) -> list[str]:
    return (out / f"{split}.txt").read_text("utf-8").splitlines()


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(world, tmp_path):
    write_wardrobe(tmp_path, seed=5, lines=LINES, size=SIZE, workers=2)
    assert contents(tmp_path) == contents(world)


def test_another_seed_gives_other_designs(world, tmp_path):
    write_wardrobe(tmp_path, seed=6, lines={"val": 2}, size=SIZE, workers=1)
    lines = {row["line"] for row in truth(world).values()}
    assert lines.isdisjoint(row["line"] for row in truth(tmp_path).values())


def test_a_split_is_the_same_whatever_else_is_asked_for(world, tmp_path):
    write_wardrobe(tmp_path, seed=5, lines={"val": LINES["val"]}, size=SIZE, workers=1)

    def garments(out: Path) -> list[tuple[str, ...]]:
        rows = [row for row in truth(out).values() if row["split"] == "val"]
        return sorted(tuple(value for key, value in row.items() if key != "image") for row in rows)

    assert garments(tmp_path) == garments(world)
    assert not (tmp_path / "pretrain.csv").exists()


def test_an_interrupted_world_is_finished_to_the_same_bytes_and_keeps_what_is_there(world, tmp_path):
    write_wardrobe(tmp_path, seed=5, lines=LINES, size=SIZE, workers=1)
    before = contents(tmp_path)
    pictures = sorted((tmp_path / "images").iterdir())
    for picture in pictures[::3]:
        picture.unlink()
    (tmp_path / "world.json").unlink()
    kept = {picture: picture.stat().st_mtime_ns for picture in pictures if picture.exists()}
    write_wardrobe(tmp_path, seed=5, lines=LINES, size=SIZE, workers=1)
    assert contents(tmp_path) == before
    assert {picture: picture.stat().st_mtime_ns for picture in kept} == kept
    assert (tmp_path / "world.json").exists()


@pytest.mark.parametrize(
    "other",
    [{"seed": 6}, {"size": 64}, {"views": 3}, {"lines": {"val": 1}}],
)
def test_a_folder_with_another_world_is_refused_and_left_alone(world, other):
    before = contents(world)
    with pytest.raises(UsageError, match="other settings"):
        write_wardrobe(world, **{"seed": 5, "lines": LINES, "size": SIZE, "workers": 1} | other)
    assert contents(world) == before


@pytest.mark.parametrize(
    "senseless",
    [
        {"lines": {"train": 3}},
        {"lines": {}},
        {"lines": {"val": -1}},
        {"views": 0},
        {"size": 4},
        {"seed": -1},
        {"workers": 0},
    ],
)
def test_senseless_arguments_are_refused_before_anything_is_written(tmp_path, senseless):
    with pytest.raises(UsageError):
        write_wardrobe(tmp_path / "out", **senseless)
    assert not (tmp_path / "out").exists()


def test_splits_share_no_line_and_cover_every_picture(world):
    rows = truth(world)
    listed = {split: names(world, split) for split in LINES}
    for split, pictures in listed.items():
        assert pictures == sorted(pictures)
        assert {rows[name]["split"] for name in pictures} == {split}
        assert len({rows[name]["line"] for name in pictures}) == LINES[split]
    assert len({row["line"] for row in rows.values()}) == sum(LINES.values())
    assert sorted(name for pictures in listed.values() for name in pictures) == sorted(
        path.name for path in (world / "images").iterdir()
    )


def test_names_do_not_follow_the_lines(world):
    rows = truth(world)
    in_order = [rows[name]["line"] for name in names(world, "test")]
    assert in_order != sorted(in_order)


def test_captions_name_the_kind_and_only_what_is_true(world):
    rows = truth(world)
    with (world / "pretrain.csv").open(encoding="utf-8", newline="") as table:
        captions = {row["image"]: row["caption"] for row in csv.DictReader(table)}
    assert sorted(captions) == names(world, "pretrain")
    assert len(set(captions.values())) > len(captions) / 2
    for name, text in captions.items():
        words = text.replace(",", " ").split()
        assert rows[name]["kind"] in words
        assert [word for word in vocabulary()["colour"] if word in words] in ([rows[name]["colour"]], [])


@pytest.mark.parametrize("split", ["val", "test"])
def test_targets_are_every_picture_of_the_changed_garment_and_nothing_else_differs(world, split):
    rows = truth(world)
    asked = queries(world, split)
    attributes = list(vocabulary())
    assert asked
    for query in asked:
        reference, target = rows[query["reference"]], rows[query["targets"][0]]
        assert reference["split"] == split
        assert query["targets"] == sorted(n for n in rows if rows[n]["garment"] == target["garment"])
        assert reference["line"] == target["line"]
        assert 1 <= len(query["change"]) <= 2
        assert {name: target[name] for name in attributes if target[name] != reference[name]} == query["change"]
        assert query["modification"]


def test_garments_of_a_line_differ_in_words():
    for line in range(60):
        garments = design(line, Random(line))
        assert 3 <= len(garments) <= 5
        assert len(set(garments)) == len(garments)


def test_val_and_test_ask_in_different_words():
    rng = Random(1)
    said: dict[str, set[str]] = {"val": set(), "test": set()}
    for line in range(400):
        garments = design(line, rng)
        for reference, target in pairwise(garments):
            if not 1 <= len(changes(reference, target)) <= 2:
                continue
            for voice, texts in said.items():
                texts.add(modification(reference, target, voice, rng))
                texts.update(relative_captions(reference, target, voice, rng))
    assert min(map(len, said.values())) > 300
    assert not said["val"] & said["test"]
    assert not [text for text in said["val"] | said["test"] if "{" in text or " a orange" in text]


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_fashioniq_files_say_the_same_in_their_own_way(world, split):
    rows = truth(world)
    known = {(query["reference"], query["targets"][0]) for query in queries(world, split)}
    lines = {(rows[reference]["garment"], rows[target]["garment"]) for reference, target in known}
    seen = 0
    for category in ("dress", "shirt", "toptee"):
        gallery = json.loads((world / "image_splits" / f"split.{category}.{split}.json").read_text("utf-8"))
        garments = [rows[f"{name}.jpg"]["garment"] for name in gallery]
        assert len(set(garments)) == len(garments)
        for entry in json.loads((world / "captions" / f"cap.{category}.{split}.json").read_text("utf-8")):
            assert {entry["target"], entry["candidate"]} <= set(gallery)
            assert len(entry["captions"]) == 2
            assert entry["captions"][0] != entry["captions"][1]
            pair = (rows[f"{entry['candidate']}.jpg"]["garment"], rows[f"{entry['target']}.jpg"]["garment"])
            assert pair in lines
            seen += 1
    assert seen


def test_the_note_counts_what_is_there(world):
    note = json.loads((world / "world.json").read_text("utf-8"))
    assert note["settings"]["lines"] == LINES
    assert note["pictures"] == {split: len(names(world, split)) for split in LINES}
    assert note["queries"] == {split: len(queries(world, split)) for split in ("val", "test")}


TEE = Garment("t-shirt", "red", "plain", "short-sleeved", "crew neck", "", "star", line=3)


def pixels(garment: Garment, view: int) -> np.ndarray:
    return np.asarray(draw(garment, view, 64), dtype=float)


def test_a_drawing_is_repeatable_and_square():
    picture = draw(TEE, 1, 64)
    assert (picture.size, picture.mode) == ((64, 64), "RGB")
    assert picture.tobytes() == draw(TEE, 1, 64).tobytes()


def test_views_of_a_garment_differ():
    assert np.abs(pixels(TEE, 1) - pixels(TEE, 2)).mean() > 4


@pytest.mark.parametrize(
    "change",
    [
        {"colour": "blue"},
        {"pattern": "striped"},
        {"sleeve": "sleeveless"},
        {"sleeve": "long-sleeved"},
        {"neckline": "v-neck"},
        {"print": "none"},
        {"print": "cat"},
        {"line": 4},
    ],
)
def test_every_attribute_and_the_line_show(change):
    # The view's seed also depends on the line; within one, only the change can make the difference.
    assert np.abs(pixels(TEE, 1) - pixels(replace(TEE, **change), 1)).max() > 40


def test_every_kind_can_be_drawn_with_every_value():
    rng = Random(2)
    drawn = {name: set() for name in vocabulary()}
    for line in range(260):
        for garment in design(line, rng)[:2]:
            assert np.asarray(draw(garment, 0, 16)).std() > 5
            for name, value in garment.attributes().items():
                drawn[name] |= {value} - {""}
    assert {name: sorted(values) for name, values in drawn.items()} == {
        name: sorted(words) for name, words in vocabulary().items()
    }


def test_a_caption_varies_with_its_seed_and_repeats_with_it():
    texts = [caption(TEE, seed) for seed in range(40)]
    assert texts == [caption(TEE, seed) for seed in range(40)]
    assert len(set(texts)) > 25
    assert any("star" in text for text in texts)
    assert any("star" not in text for text in texts)


def test_an_unguarded_script_is_told_what_to_do(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import triptych\n"
        "try:\n"
        "    triptych.write_wardrobe('world', lines={'test': 20}, size=16, workers=2)\n"
        "except triptych.TriptychError as error:\n"
        "    print(error)\n",
        encoding="utf-8",
    )
    shown = subprocess.run([sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert '__name__ == "__main__"' in shown.stdout
