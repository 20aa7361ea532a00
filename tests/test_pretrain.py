import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from triptych.core.environment import Runtime
from triptych.core.errors import DataError, FailureError, UsageError
from triptych.core.files import locked
from triptych.training.learners import pretraining as learning
from triptych.training.options import PretrainOptions
from triptych.training.pretraining import pretrain

TINY = PretrainOptions(start="scratch", size=32, width=4, epochs=1, batch_size=16)
ONE_THREAD = Runtime(threads=1)


@pytest.fixture
def pairs(wardrobe_world: Path, tmp_path: Path) -> Path:
    """The first 60 pairs."""
    path = tmp_path / "pairs.csv"
    path.write_text("".join((wardrobe_world / "pretrain.csv").read_text("utf-8").splitlines(True)[:61]), "utf-8")
    return path


def test_it_learns(tiny_pretraining):
    _, result = tiny_pretraining
    # Chance among the 10 held-out pictures is 10 and 50 percent.
    assert result.held_out == 10
    assert result.held_out_recall["R@1"] >= 30
    assert result.held_out_recall["R@5"] >= 80
    assert result.skipped == 0


def test_the_folder_is_whole_and_says_what_made_it(tiny_pretraining):
    out, result = tiny_pretraining
    names = {path.name for path in out.iterdir()} - {".lock"}
    assert names == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "picture.onnx",
        "text.onnx",
        "words.safetensors",
        "training_statistics.safetensors",
    }
    note = json.loads((out / "config.json").read_text())["made_by"]
    assert note["command"] == "pretrain"
    assert note["settings"]["seed"] == 0
    assert note["settings"]["epochs"] == 25
    assert note["held_out_recall"] == result.held_out_recall


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"picture,caption\na.jpg,red\n", "columns image and caption"),
        (b"", "columns image and caption"),
        (b"image,caption\na.jpg,red\nb.jpg,  \n", "pairs.csv:3"),
        (b"image,caption\na.jpg,red\n,blue\n", "pairs.csv:3"),
        (b"image,caption\na.jpg\n", "pairs.csv:2"),
        (b"image,caption\na.jpg,\xff\xfe\n", "not a readable CSV"),
        (b"image,caption\n", "only 0 usable pairs"),
    ],
)
def test_a_bad_table_is_named(tmp_path, content, message):
    path = tmp_path / "pairs.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        pretrain(path, tmp_path, tmp_path / "out")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        pretrain(tmp_path / "none.csv", tmp_path, tmp_path / "out")


@pytest.mark.parametrize("setting", [{"size": 40}, {"size": 16}, {"epochs": 0}, {"batch_size": 1}, {"width": 1}])
def test_settings_that_make_no_sense(setting):
    with pytest.raises(UsageError):
        replace(TINY, **setting)


def test_too_few_pairs(wardrobe_world, pairs, tmp_path):
    pairs.write_text("".join(pairs.read_text("utf-8").splitlines(True)[:50]), "utf-8")
    with pytest.raises(DataError, match="only 49 usable pairs"):
        pretrain(pairs, wardrobe_world / "images", tmp_path / "out", PretrainOptions(start="scratch", size=32))


def test_a_bad_picture_is_skipped_and_counted(wardrobe_world, pairs, tmp_path, capfd):
    lines = pairs.read_text("utf-8").splitlines()
    names = [line.split(",", 1)[0] for line in lines[1:]]
    images = tmp_path / "images"
    images.mkdir()
    for name in names:
        shutil.copy(wardrobe_world / "images" / name, images)
    (images / names[4]).write_bytes(b"no picture")
    (images / names[7]).unlink()
    result = pretrain(pairs, images, tmp_path / "out", TINY, runtime=ONE_THREAD)
    assert (result.pairs, result.skipped) == (58, 2)
    said = capfd.readouterr().err
    assert f"skipped {names[4]!r}" in said
    assert f"skipped {names[7]!r}" in said


def interrupt_after(monkeypatch, steps):
    """Make `pretrain` stop after so many steps, with a checkpoint of every one."""
    real = learning.batch_rows

    def rows(count, batch_size, step, seed):
        if step == steps:
            raise KeyboardInterrupt
        return real(count, batch_size, step, seed)

    monkeypatch.setattr(learning, "_CHECKPOINT_STEPS", 1)
    monkeypatch.setattr(learning, "batch_rows", rows)


def test_an_unfinished_run_is_finished_only_with_its_settings(wardrobe_world, pairs, tmp_path, monkeypatch):
    images, out = wardrobe_world / "images", tmp_path / "out"
    with monkeypatch.context() as patched:
        interrupt_after(patched, 2)
        with pytest.raises(KeyboardInterrupt):
            pretrain(pairs, images, out, TINY, runtime=ONE_THREAD)
    unfinished = (out / "checkpoint.safetensors").read_bytes()
    for other in ({"epochs": 2}, {"seed": 1}, {"batch_size": 8}, {"width": 8}, {"size": 48}):
        with pytest.raises(UsageError, match="unfinished run with other settings"):
            pretrain(pairs, images, out, replace(TINY, **other), runtime=ONE_THREAD)
    pairs.write_text(pairs.read_text("utf-8").replace("red", "crimson"), "utf-8")
    with pytest.raises(UsageError, match="unfinished run with other settings"):
        pretrain(pairs, images, out, TINY, runtime=ONE_THREAD)
    assert (out / "checkpoint.safetensors").read_bytes() == unfinished


def test_an_unfinished_run_is_not_finished_on_other_pictures(wardrobe_world, pairs, tmp_path, monkeypatch):
    images, out = tmp_path / "images", tmp_path / "out"
    shutil.copytree(wardrobe_world / "images", images)
    with monkeypatch.context() as patched:
        interrupt_after(patched, 2)
        with pytest.raises(KeyboardInterrupt):
            pretrain(pairs, images, out, TINY, runtime=ONE_THREAD)
    first, second = (line.split(",", 1)[0] for line in pairs.read_text("utf-8").splitlines()[1:3])
    shutil.copy(images / first, images / second)
    with pytest.raises(UsageError, match="unfinished run with other settings"):
        pretrain(pairs, images, out, TINY, runtime=ONE_THREAD)


def test_a_damaged_checkpoint_is_one_line(wardrobe_world, pairs, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "checkpoint.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match="delete it to start over") as raised:
        pretrain(pairs, wardrobe_world / "images", out, TINY, runtime=ONE_THREAD)
    assert "\n" not in str(raised.value)


def test_one_run_at_a_time(wardrobe_world, pairs, tmp_path):
    with locked(tmp_path / "out"), pytest.raises(FailureError, match="another run"):
        pretrain(pairs, wardrobe_world / "images", tmp_path / "out", TINY, runtime=ONE_THREAD)
