"""Work in processes of their own, forked from one that has the libraries loaded."""

import contextlib
import faulthandler
import importlib
import json
import multiprocessing
import os
import signal
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import tqdm

STUCK = 600.0  # seconds after which a run that is not killed is stuck
_LIBRARIES = ("onnx", "onnxruntime", "triptych.serving.server", "uvicorn", "httpx2", "triptych.mining.chat.session",
              "triptych.chat.client")  # fmt: skip
_OF_TRAINING = ("onnxscript.optimizer", "matplotlib.figure", "torch.export", "torch._dynamo",
                "torch.onnx._internal.exporter._compat")  # fmt: skip
_FORKS = multiprocessing.get_context("fork")


class WrongError(Exception):
    """A round did not end as it must."""


def load_libraries(*, training: bool) -> None:
    """Import here, once, what every process would import; with `training`, also what an export prepares."""
    for module in (*_LIBRARIES, *(_OF_TRAINING if training else ())):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    if training:
        import torch

        from triptych.core.onnx_graph import export_graph

        # The first export in a process takes seconds more than the next.
        with tempfile.TemporaryDirectory() as folder:
            network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.LayerNorm(4), torch.nn.GELU())
            export_graph(network, [torch.zeros(2, 4)], Path(folder) / "graph.onnx")


def start(work: Callable[..., None], *arguments: Any, log: Path) -> Any:
    """A process that does this; what it prints goes into the log."""

    def quiet() -> None:
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        faulthandler.register(signal.SIGUSR1)
        tqdm.tqdm.set_lock(threading.RLock())  # tqdm's own is shared by forks: one killed while it holds it stops all
        try:
            work(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    process = _FORKS.Process(target=quiet, daemon=True)
    process.start()
    return process


def compute(work: Callable[..., Any], *arguments: Any, log: Path) -> Any:
    """The result of a function, as JSON, computed in a process of its own, since the
    process that forks must have no threads."""
    file = log.with_name(f"{uuid4().hex}.json")
    process = start(lambda: file.write_text(json.dumps(work(*arguments)), encoding="utf-8"), log=log)
    wait(process, log)
    content = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return content


def wait(process: Any, log: Path) -> None:
    """Wait for a run that is not killed.

    Raises:
        WrongError: it fails or is stuck.
    """
    process.join(STUCK)
    if process.exitcode is None:
        os.kill(process.pid, signal.SIGUSR1)  # where it stands, into the log
        process.join(1)
        process.kill()
        raise WrongError(f"stuck for {STUCK:g} s: {end_of(log)}")
    if process.exitcode:
        raise WrongError(f"it failed: {end_of(log)}")


def end_of(log: Path) -> str:
    """The last lines that a process printed."""
    lines = log.read_text("utf-8", "replace").replace("\r", "\n").split("\n") if log.exists() else []
    return " | ".join(line for line in lines[-4:] if line.strip())[-400:]
