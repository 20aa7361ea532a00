"""Messages through `logging`, and the log of progress."""

import json
import logging

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from triptych.cli import app
from triptych.cli.options import logged
from triptych.core import progress as module
from triptych.core.progress import progress, progress_log, say


def test_messages_go_to_standard_error_and_to_any_handler(capsys, caplog):
    logger = logging.getLogger("triptych")
    logger.addHandler(caplog.handler)
    try:
        say("two\nlines")
    finally:
        logger.removeHandler(caplog.handler)
    assert capsys.readouterr() == ("", "two lines\n")
    assert [(record.name, record.levelname, record.message) for record in caplog.records][-1] == (
        "triptych", "INFO", "two lines"
    )  # fmt: skip


def test_a_log_of_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LOGGED", 0.0)
    log = tmp_path / "log.jsonl"
    with progress_log(log):
        say("begins")
        assert list(progress("abc", "index", total=5, unit="picture", done=2)) == ["a", "b", "c"]
    say("not in it")
    first, *lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert first == {"message": "begins"}
    assert [line["done"] for line in lines] == [3, 4, 5, 5]
    assert all((line["work"], line["unit"], line["total"]) == ("index", "picture", 5) for line in lines)
    assert lines[-1]["eta"] == 0
    assert lines[-1]["rate"] > 0


def test_long_commands_keep_such_a_log(tmp_path):
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    trainers = ("train", "finetune", "pretrain", "train-inversion", "adapt-encoder", "judge")
    for name in ("index", "reencode", "mine", "mine-chat", "refine", "eval", "ablate", "reproduce", "demo", *trainers):
        assert "--log-json" in {flag for parameter in commands[name].params for flag in parameter.opts}, name

    @logged
    def command(word: str) -> None:
        say(word)

    log = tmp_path / "log.jsonl"
    command(word="one", log_json=log)
    command(word="two")
    command(word="three", log_json=log)
    assert [json.loads(line)["message"] for line in log.read_text("utf-8").splitlines()] == ["one", "three"]


def test_a_log_of_index(tmp_path):
    (tmp_path / "photos").mkdir()
    for shade in range(3):
        Image.new("RGB", (8, 8), (shade, 0, 0)).save(tmp_path / "photos" / f"{shade}.png")
    log, words = tmp_path / "log.jsonl", ["index", str(tmp_path / "photos"), "--catalog", str(tmp_path / "catalog")]
    result = CliRunner().invoke(app, [*words, "--encoder", "wardrobe", "--threads", "1", "--log-json", str(log)])
    assert result.exit_code == 0, result.output
    (last,) = [line for line in map(json.loads, log.read_text("utf-8").splitlines()) if line.get("work") == "index"][
        -1:
    ]
    assert (last["done"], last["total"], last["unit"], last["eta"]) == (3, 3, "picture", 0)


def test_a_log_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="No such file"), progress_log(tmp_path / "no" / "log"):
        pass
