"""The state of a training run, and callbacks: a log of JSON lines, and early stopping."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from triptych.core.environment import is_first_process, require_extra
from triptych.core.errors import DataError
from triptych.core.files import atomic
from triptych.training.options import Log, LogOptions

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


@dataclass
class Run:
    """The progress of a run of the training loop."""

    name: str
    """The name that messages give the run."""
    out: Path
    """The folder of the run's checkpoint."""
    steps: int
    """The number of steps in all."""
    step: int = 0
    """The number of steps done."""
    losses: list[float] = field(default_factory=list)
    """The losses of this epoch's steps, or, without epochs, of the last steps (`LoopOptions.keep_losses`)."""
    history: list[dict[str, float]] = field(default_factory=list)
    """The mean loss and the validation metrics of each epoch."""
    stop: bool = False
    """True if a callback has ended the run: no further step is taken."""

    @property
    def checkpoint(self) -> Path:
        """The file from which a killed run goes on."""
        return self.out / "checkpoint.safetensors"

    @property
    def best(self) -> Path:
        """The file with the weights of the best epoch."""
        return self.out / "best.safetensors"

    def clean(self) -> None:
        """Remove both files, once everything that the run made is written."""
        self.checkpoint.unlink(missing_ok=True)
        self.best.unlink(missing_ok=True)


def best_epoch(history: Sequence[Mapping[str, float]], metric: str) -> int:
    """The epoch, from 0, with the highest value of a metric. Of equal epochs it is the last, whose weights are kept."""
    return max(range(len(history)), key=lambda epoch: (history[epoch][metric], epoch))


class Callback:
    """Watches a run. Each method does nothing unless it is overridden."""

    def on_start(self, run: Run) -> None:
        """Called before the first step, after a checkpoint was loaded."""

    def on_step(self, run: Run, losses: Sequence[float]) -> None:
        """Called after each step, before a checkpoint is written, with the losses of the step."""

    def on_epoch(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Called after each epoch, with the metrics that were added to `run.history`."""


class JsonLines(Callback):
    """Writes one JSON object a line: one for each step, and one with the metrics of each epoch.

    A step's line has its number, the number of all steps, its mean loss, the steps per second since this run was
    started or resumed, and the seconds that remain at that rate. A run that goes on from a checkpoint removes later
    lines, so each step is logged once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began, self._first = perf_counter(), 0

    def on_start(self, run: Run) -> None:
        """Begin a new file, or keep the lines up to the checkpoint.

        Raises:
            DataError: the file is no such log.
        """
        self._began, self._first = perf_counter(), run.step
        goes_on = run.step > 0 and self._path.exists()
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True) if goes_on else []
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= run.step]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise DataError(f"{self._path}: is the log of another run; give another file with --log-json") from None
        with atomic(self._path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")

    def on_step(self, run: Run, losses: Sequence[float]) -> None:
        """Write the step."""
        rate = (run.step - self._first) / max(1e-9, perf_counter() - self._began)
        times = {"rate": round(rate, 4), "eta": round((run.steps - run.step) / rate, 1)}
        self._write({"step": run.step, "steps": run.steps, "loss": sum(losses) / len(losses), **times})

    def on_epoch(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Write the epoch's metrics."""
        self._write({"step": run.step, "epoch": len(run.history), **metrics})

    def _write(self, facts: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(facts) + "\n")


class TensorBoard(Callback):
    """Writes the loss of each step and the metrics of each epoch for TensorBoard.

    A run that goes on from a checkpoint continues its curves. TensorBoard hides earlier values of repeated steps.

    Raises:
        UsageError: the extra `tensorboard` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require_extra("tensorboard", "--tensorboard")
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def on_start(self, run: Run) -> None:
        """Open the folder."""
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(self._folder), purge_step=run.step + 1 if run.step else None)

    def on_step(self, run: Run, losses: Sequence[float]) -> None:
        """Write the step's mean loss."""
        self._write("loss", sum(losses) / len(losses), run.step)
        if self._writer and run.step == run.steps:
            self._writer.flush()

    def on_epoch(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Write the epoch's metrics."""
        for name, value in metrics.items():
            self._write(f"epoch/{name}", value, run.step)
        if self._writer:
            self._writer.flush()

    def _write(self, name: str, value: float, step: int) -> None:
        if self._writer:
            self._writer.add_scalar(name, value, step)


class EarlyStop(Callback):
    """Stops a run after `patience` epochs without an improvement of a metric over the best epoch before them."""

    def __init__(self, metric: str, patience: int) -> None:
        self._metric = metric
        self._patience = patience

    def on_start(self, run: Run) -> None:
        """Stop at once if the run had been stopped before it was killed."""
        if run.history:
            self.on_epoch(run, run.history[-1])

    def on_epoch(self, run: Run, metrics: Mapping[str, float]) -> None:
        """Compare the epochs so far."""
        values = [epoch[self._metric] for epoch in run.history]
        first_best = values.index(max(values))
        run.stop = len(values) - 1 - first_best >= self._patience


def callbacks_of(log: Log, patience: int | None = None, metric: str = "R@10") -> list[Callback]:
    """The callbacks for the options `--log-json`, `--tensorboard` and
    `--patience`. Only the first process keeps logs."""
    wanted = log if isinstance(log, LogOptions) else LogOptions(json_lines=Path(log) if log is not None else None)
    callbacks: list[Callback] = []
    if wanted.json_lines and is_first_process():
        callbacks.append(JsonLines(wanted.json_lines))
    if wanted.tensorboard and is_first_process():
        callbacks.append(TensorBoard(wanted.tensorboard))
    return callbacks if patience is None else [*callbacks, EarlyStop(metric, patience)]
