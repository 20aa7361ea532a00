"""The training loop by itself: what a run does, how it goes on, and what watches it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from triptych.core import environment
from triptych.core.errors import UsageError
from triptych.training import loop
from triptych.training.callbacks import Callback, EarlyStop, JsonLines, Run, best_epoch, callbacks_of
from triptych.training.loop import Learner, LoopOptions, fit, warmup_cosine, warmup_linear
from triptych.training.options import LogOptions, LossOptions, TrainOptions
from triptych.training.settings import Settings


@dataclass(frozen=True)
class Chosen:
    a: int = 1


class Line(Learner):
    """A line through points of noise, with dropout on what it reads."""

    name = "line"

    def __init__(self, recalls: tuple[float, ...] = ()) -> None:
        torch.manual_seed(0)
        self.module = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
        self.optimizer = torch.optim.AdamW([{"params": list(self.module.parameters()), "peak": 0.1}])
        self.recalls = recalls
        self.validated = 0
        self.seen: list[int] = []

    def step(self, step: int) -> list[float]:
        points = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        loss = (self.module(points) - points.sum(dim=1, keepdim=True)).square().mean()
        loss.backward()
        self.seen.append(step)
        return [loss.item()]

    def validate(self) -> dict[str, float]:
        self.validated += 1
        return {"R@10": self.recalls[self.validated - 1]}

    @property
    def weights(self) -> torch.Tensor:
        return torch.cat([weight.detach().flatten() for weight in self.module.parameters()])


class Interrupt(Callback):
    """Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, run: Run, losses: object) -> None:
        if run.step == self.step:
            raise KeyboardInterrupt


def run(out: Path, learner: Line | None = None, callbacks=(), **options) -> tuple[Line, Run]:
    learner = learner or Line()
    out.mkdir(exist_ok=True)
    return learner, fit(learner, LoopOptions(**{"steps": 12} | options), out, Settings(Chosen()), callbacks)


def test_a_stopped_run_ends_with_the_same_weights(tmp_path, capfd):
    whole, ended = run(tmp_path / "whole", checkpoint_every=5)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", callbacks=[Interrupt(8)], checkpoint_every=5)
    assert "line: stopped at step 8 of 12; the same command goes on" in capfd.readouterr().err
    resumed, again = run(tmp_path / "stopped", checkpoint_every=5)
    assert "line: going on from step 5 of 12" in capfd.readouterr().err
    assert resumed.seen == list(range(5, 12))
    assert torch.equal(whole.weights, resumed.weights)
    assert again.losses == ended.losses
    assert len(ended.losses) == 1
    again.clean()
    assert not list((tmp_path / "stopped").iterdir())


def test_other_settings_are_refused(tmp_path):
    run(tmp_path, checkpoint_every=5)
    with pytest.raises(UsageError, match="unfinished run with other settings"):
        fit(Line(), LoopOptions(steps=12), tmp_path, Settings(Chosen(a=2)))
    with pytest.raises(UsageError, match="unfinished run with other settings"):
        loop.require_same_run(tmp_path, Settings(Chosen(a=2)))
    loop.require_same_run(tmp_path, Settings(Chosen()))


def test_an_unfinished_run_of_an_older_version_goes_on_if_a_new_option_has_its_default():
    old = {"epochs": 9, "most_steps": 600, "loss": {"temperature": 0.07}}
    options = TrainOptions(epochs=9)
    current = Settings(options)
    assert current.agree_with(old)
    assert current.agree_with(json.loads(json.dumps(current)))
    assert not current.agree_with(old | {"most_steps": 500})
    assert not current.agree_with(old | {"loss": {"temperature": 0.1}})
    assert not current.agree_with(old | {"an option that is gone": 1})
    assert not Settings(replace(options, tune_text=True)).agree_with(old)
    assert not Settings(replace(options, loss=LossOptions(symmetric=True))).agree_with(old)


def test_it_ends_with_the_best_epoch(tmp_path):
    two, _ = run(tmp_path / "two", Line((10.0, 30.0)), steps=6, epoch_steps=3, checkpoint_every=None)
    recalls = (10.0, 30.0, 30.0, 20.0)
    three, ended = run(tmp_path / "three", Line(recalls), epoch_steps=3, best_by="R@10", checkpoint_every=None)
    assert [epoch["R@10"] for epoch in ended.history] == [*recalls]
    assert best_epoch(ended.history, "R@10") == 2  # the last of equals
    last, _ = run(tmp_path / "last", Line(recalls), epoch_steps=3, checkpoint_every=None)
    assert not torch.equal(three.weights, last.weights)
    assert not torch.equal(three.weights, two.weights)
    assert ended.losses == []


def test_all_losses_are_kept_where_they_are_wanted(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, callbacks=[Interrupt(8)], checkpoint_every=5, keep_losses=None)
    _, ended = run(tmp_path, checkpoint_every=5, keep_losses=None)
    assert len(ended.losses) == 12
    assert ended.losses == run(tmp_path / "whole", keep_losses=None)[1].losses


def test_gradients_are_clipped_together_by_group_or_not(tmp_path):
    found = {clip: run(tmp_path / clip, clip=clip, steps=1)[0] for clip in ("all", "group", "none")}
    norms = {clip: torch.cat([w.grad.flatten() for w in one.module.parameters()]).norm() for clip, one in found.items()}
    assert norms["none"] > 1.5
    assert norms["all"].item() == norms["group"].item() == pytest.approx(1, abs=1e-3)


def test_a_log_has_each_step_once(tmp_path):
    log = tmp_path / "log.jsonl"
    options = {"epoch_steps": 4, "checkpoint_every": None}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", Line((1.0, 2.0, 3.0)), [JsonLines(log), Interrupt(7)], **options)
    with log.open("a", encoding="utf-8") as file:
        file.write('{"step": 8, "lo')  # killed while it was written
    run(tmp_path / "out", Line((2.0, 3.0)), [JsonLines(log)], **options)
    lines = lines_of(log)
    assert [line["step"] for line in lines if "epoch" not in line] == list(range(1, 13))
    every = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert all(line["rate"] > 0 and line["steps"] == 12 for line in every if "epoch" not in line)
    assert next(line["eta"] for line in every if line["step"] == 12) == 0
    assert [(line["step"], line["epoch"], line["R@10"]) for line in lines if "epoch" in line] == [
        (4, 1, 1.0), (8, 2, 2.0), (12, 3, 3.0)
    ]  # fmt: skip
    whole = tmp_path / "whole.jsonl"
    run(tmp_path / "whole", Line((1.0, 2.0, 3.0)), [JsonLines(whole)], **options)
    assert lines_of(whole) == lines
    run(tmp_path / "other", Line((1.0, 2.0, 3.0)), [JsonLines(log)], **options)
    assert lines_of(log) == lines_of(whole)  # a new run begins a new file


def lines_of(log: Path) -> list[dict[str, Any]]:
    """A log without what depends on how fast the machine is."""
    every = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name not in ("rate", "eta")} for line in every]


def test_tensorboard_shows_losses_and_epochs(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    callbacks = callbacks_of(LogOptions(tensorboard=tmp_path / "board"))
    options = {"epoch_steps": 4, "checkpoint_every": None}
    _, ended = run(tmp_path / "out", Line((1.0, 2.0, 3.0)), callbacks, **options)
    board = EventAccumulator(str(tmp_path / "board")).Reload()
    assert [event.step for event in board.Scalars("loss")] == list(range(1, 13))
    recalls = board.Scalars("epoch/R@10")
    assert [(event.step, event.value) for event in recalls] == [(4, 1.0), (8, 2.0), (12, 3.0)]
    assert len(ended.history) == 3


def test_a_log_for_tensorboard_needs_its_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "find_spec", lambda module: None)
    with pytest.raises(UsageError, match=r"--tensorboard needs .*extra tensorboard"):
        callbacks_of(LogOptions(tensorboard=tmp_path))


def test_a_run_that_gets_no_better_stops_early(tmp_path):
    options = {"epoch_steps": 3, "best_by": "R@10", "checkpoint_every": None}
    learner, ended = run(tmp_path, Line((10.0, 30.0, 30.0, 20.0)), [EarlyStop("R@10", 1)], **options)
    assert (ended.step, len(ended.history)) == (9, 3)
    assert learner.seen[-1] == 8
    # Killed after that and before anything was written, it takes no further step.
    again, ended = run(tmp_path, Line(), [EarlyStop("R@10", 1)], **options)
    assert (again.seen, len(ended.history)) == ([], 3)
    assert torch.equal(again.weights, learner.weights)


def test_schedules():
    for schedule in (warmup_cosine, warmup_linear):
        shares = [schedule(step, 100) for step in range(100)]
        assert shares[0] == pytest.approx(0.2, abs=0.01)
        assert shares.index(max(shares)) in (4, 5)
        assert 0.9 < max(shares) <= 1
        assert 0 <= shares[-1] < 0.02
