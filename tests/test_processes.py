"""Training by two processes, as `torchrun` starts them, against one."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from triptych.core.environment import Runtime, is_first_process
from triptych.core.errors import FailureError, UsageError
from triptych.core.progress import say
from triptych.training.callbacks import JsonLines, callbacks_of
from triptych.training.grad_cache import backward
from triptych.training.loop import Learner, LoopOptions, fit
from triptych.training.options import PretrainOptions
from triptych.training.pretraining import pretrain
from triptych.training.processes import Replicas, first_ahead, gathered, joined, own_part
from triptych.training.settings import Settings

CPU = torch.device("cpu")
OPTIONS = LoopOptions(8, 4, checkpoint_every=3, best_by="R@10")


class Pairs(Learner):
    """Two maps that bring pairs of noise together, against every other pair of the batch; 7 rows a batch."""

    name = "pairs"

    def __init__(self, chunk: int | None = None, *, cached: bool = False) -> None:
        torch.manual_seed(0)
        maps = {name: torch.nn.Linear(5, 4) for name in ("left", "right", "sometimes")}
        self.module = torch.nn.ModuleDict(maps)
        self.scale = torch.nn.Parameter(torch.tensor(3.0))
        self.module.register_parameter("scale", self.scale)
        self.optimizer = torch.optim.SGD([{"params": list(self.module.parameters()), "peak": 0.1}])
        self.replicas = Replicas(self.module)
        self.chunk, self.cached = chunk, cached
        self.losses: list[float] = []

    def step(self, step: int) -> list[float]:
        rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(step))
        left, right = self.module["left"], self.module["right"]
        if step % 2:  # some weights have no part in each step

            def left(rows: torch.Tensor) -> torch.Tensor:
                return self.module["left"](rows) + self.module["sometimes"](rows)

        if self.cached:
            inputs = [(left, rows), (right, rows)]
            loss = backward(inputs, self.loss_of, seed=step, chunk=self.chunk, replicas=self.replicas)
        else:
            whole = self.replicas(
                lambda: self.loss_of(*(gathered(tower(rows[own_part(7)]), 7) for tower in (left, right)))
            )
            whole.backward()
            loss = whole.item()
        self.losses.append(loss)
        return [loss]

    def loss_of(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self.scale * F.normalize(left) @ F.normalize(right).T, torch.arange(7))

    def validate(self) -> dict[str, float]:
        return {"R@10": float(len(self.losses))}


LEARNERS: dict[str, Callable[[], Pairs]] = {
    "plain": Pairs,
    "cached": lambda: Pairs(cached=True),
    "chunks": lambda: Pairs(2, cached=True),
}


def in_two_processes(work: Callable[[int], None]) -> list[int]:
    """Run `work` in two processes that know of each other as those of `torchrun` do; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(rank: int) -> None:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        with joined(CPU):
            work(rank)

    started = [multiprocessing.get_context("fork").Process(target=run, args=(rank,)) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    return [process.exitcode if process.exitcode is not None else -1 for process in started]


def learn(out: Path, learner: Pairs, options: LoopOptions = OPTIONS) -> Pairs:
    out.mkdir(exist_ok=True)
    fit(learner, options, out, Settings(PretrainOptions()))
    return learner


def weights(learner: Pairs) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in learner.module.parameters()])


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize("kind", ["plain", "chunks", pytest.param("cached", marks=pytest.mark.slow)])
def test_two_processes_learn_what_one_does(tmp_path, kind):
    alone = learn(tmp_path / "alone", LEARNERS[kind]())

    def work(rank: int) -> None:
        learner = learn(tmp_path / "together", LEARNERS[kind]())
        torch.save((torch.tensor(learner.losses), weights(learner)), tmp_path / f"{rank}.pt")

    assert in_two_processes(work) == [0, 0]
    (losses, first), (_, second) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.allclose(losses, torch.tensor(alone.losses), atol=1e-5, rtol=0)
    assert torch.allclose(first, weights(alone), atol=1e-5, rtol=0)
    assert torch.equal(first, second)  # bit by bit, or they would drift apart


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_run_of_two_processes_goes_on_with_one(tmp_path):
    whole = learn(tmp_path / "whole", Pairs())

    def stopped(rank: int) -> None:
        learner = Pairs()
        seen = learner.step

        def step(number: int) -> list[float]:
            if number == 5:
                raise SystemExit(9)
            return seen(number)

        learner.step = step  # type: ignore[method-assign]
        learn(tmp_path / "out", learner)

    assert in_two_processes(stopped) == [9, 9]
    again = learn(tmp_path / "out", Pairs())
    assert len(again.losses) == 4  # from the checkpoint of step 4
    assert torch.allclose(weights(again), weights(whole), atol=1e-5, rtol=0)


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_processes_that_share_no_folder_are_told(tmp_path):
    learn(tmp_path / "0", Pairs(), LoopOptions(3, checkpoint_every=3))

    def work(rank: int) -> None:
        try:
            learn(tmp_path / str(rank), Pairs())
        except FailureError as error:
            (tmp_path / "said.txt").write_text(str(error), encoding="utf-8")

    # The first one would go on, and ends where the other has left.
    _, second = in_two_processes(work)
    assert second == 0
    said = (tmp_path / "said.txt").read_text("utf-8")
    assert "process 1 of 2 begins at step 0, but the first one at 3; give a folder that all machines share" in said


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_the_first_process_is_ahead_where_it_writes_for_all(tmp_path):
    def work(rank: int) -> None:
        with first_ahead():
            if rank == 1:
                assert (tmp_path / "made").exists()
            (tmp_path / "made").touch()

    assert in_two_processes(work) == [0, 0]


def test_the_first_process_alone_speaks_and_logs(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, speaks in (("0", True), ("1", False)):
        monkeypatch.setenv("RANK", rank)
        say("a word")
        assert is_first_process() == speaks
        assert (capsys.readouterr().err == "a word\n") == speaks
        assert [type(one) for one in callbacks_of(tmp_path / "log")] == ([JsonLines] if speaks else [])


def test_what_runs_in_one_process_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError, match=r"pretrain runs in one process; .* train and finetune take several"):
        pretrain(tmp_path / "pairs.csv", tmp_path, tmp_path / "out", PretrainOptions(start="scratch"))


PROGRAM = """
import torch
train = torch.nn.Module.train
torch.nn.Module.train = lambda self, mode=True: train(self, False)
from triptych.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "finetune"])
def test_torchrun_trains_as_one_process_does(command, tiny_triplets, tiny_catalog, tmp_path):
    """The whole commands, without dropout, whose masks depend on how a batch is cut."""
    made, losses = {}, {}
    for processes in (1, 2):
        out = tmp_path / str(processes)
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python", "--nproc-per-node", "2"]
        program = [*(start if processes == 2 else []), sys.executable, "-c", PROGRAM, command, str(tiny_triplets)]
        log = tmp_path / f"{processes}.jsonl"
        flags = ["--catalog", tiny_catalog, "--out", out, "--epochs", 1, "--batch-size", 400, "--threads", 1]
        flags += ["--log-json", log]
        done = subprocess.run([*program, *map(str, flags)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert done.stdout.count("held out recall") == 1
        made[processes] = load_file(out / "model.safetensors")
        losses[processes] = [json.loads(line)["loss"] for line in log.read_text("utf-8").splitlines()]
        assert not list(out.glob("*checkpoint*"))
    assert losses[2][0] == pytest.approx(losses[1][0], abs=1e-5)
    assert losses[2] == pytest.approx(losses[1], abs=2e-2)  # rounding grows step by step
    for name, value in made[1].items():
        assert (made[2][name].float() - value.float()).abs().mean() < 1e-3, name


def test_one_process_is_as_before():
    assert own_part(5) == slice(0, 5)
    part = torch.ones(2, 3)
    assert gathered(part, 2) is part
    assert Runtime(device="cpu").torch_device().type == "cpu"
