"""The one training loop: learning rates, clipping, checkpoints, epochs, and how a run is resumed."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from triptych.core.errors import FailureError
from triptych.core.progress import progress, say
from triptych.training.callbacks import Callback, Run
from triptych.training.checkpoints import load_checkpoint, read_checkpoint, save_checkpoint
from triptych.training.processes import is_first, of_first, process_count, process_rank, step_seed, wait_for_all
from triptych.training.settings import Settings

Schedule = Callable[[int, int], float]
"""Maps a step, from 0, and the number of steps to the factor of the peak learning rate."""

_WEIGHT_DECAY = 0.05  # of AdamW, for matrices; not tuned


def warmup_cosine(step: int, steps: int) -> float:
    """The factor of the peak learning rate at a step: a linear warm-up over 5 %, then half a cosine down to zero."""
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def warmup_linear(step: int, steps: int) -> float:
    """The factor of the peak learning rate at a step: a linear warm-up over 5 %, times a linear decay to zero."""
    return min(1.0, 20 * (step + 1) / steps) * (1 - step / steps)


@dataclass(frozen=True)
class LoopOptions:
    """Options of the training loop."""

    steps: int
    epoch_steps: int | None = None
    """Steps of an epoch, at the end of which the learner is validated; None if there are no epochs."""
    seed: int = 0
    schedule: Schedule = warmup_cosine
    clip: Literal["all", "group", "none"] = "all"
    """Whether gradients are clipped to a norm of 1: all together, each group of weights by itself, or not at all."""
    checkpoint_every: int | None = 100
    """Steps between checkpoints; None writes them only at the ends of epochs, where they are always written."""
    keep_losses: int | None = 1
    """How many of the last steps' losses a run without epochs keeps; None keeps all."""
    best_by: str | None = None
    """The metric that selects the best epoch, whose weights are loaded in the end; None for the last weights."""


class Learner(Protocol):
    """A model with its data and its loss."""

    name: str
    """The name that messages give the run."""
    module: nn.Module
    """The module whose weights are trained and stored in checkpoints."""
    optimizer: torch.optim.Optimizer
    """The optimizer. Each of its parameter groups has the key `peak`, the learning rate that the schedule scales."""

    def train(self) -> None:
        """Switch the model to training mode."""
        self.module.train()

    def step(self, step: int) -> list[float]:
        """Add the gradients of a step's loss, and return the losses of its batches.

        The data depend only on the seed and the number of the step, so a resumed run repeats them. Torch is seeded
        before each step.
        """
        ...

    def validate(self) -> dict[str, float]:
        """Compute the metrics at the end of an epoch."""
        return {}


def fit(
    learner: Learner,
    options: LoopOptions,
    out: Path,
    settings: Settings,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train a learner, from the last checkpoint in `out` if there is one.

    A run that was interrupted or killed, and is called again with the same arguments, ends with the same weights, bit
    by bit. The caller holds the lock of `out`, and calls `Run.clean` once it has written the results.

    Several processes (`training.processes`) do each step together. The first one validates and writes checkpoints. A
    run may be resumed with more or fewer of them; only rounding differs.

    Args:
        learner: the learner. Afterwards its module has the last weights, or the best ones by `options.best_by`.
        options: epochs, clipping, checkpoints and the schedule.
        out: the folder of checkpoints.
        settings: everything that decides the result. A checkpoint with other settings is refused.
        callbacks: objects that are called during the run.

    Returns:
        The finished run.

    Raises:
        UsageError: the checkpoint has other settings.
        DataError: the checkpoint cannot be read.
        FailureError: a loss, gradient or metric is not finite, or processes have read different checkpoints.
    """
    run = Run(learner.name, out, options.steps)
    done = load_checkpoint(run.checkpoint, learner.module, learner.optimizer, settings=settings)
    if done:
        run.step, run.losses, run.history = done["step"], done["losses"], done["history"]
        say(f"{run.name}: going on from step {run.step} of {run.steps}")
    _require_together(run)
    for callback in callbacks:
        callback.on_start(run)
    try:
        ahead = range(run.step, run.steps)
        for step in progress(ahead, run.name, total=run.steps, unit="step", done=run.step):
            if run.stop:
                break
            _advance(run, learner, options, step, callbacks)
            if _end_epoch(run, learner, options, settings, callbacks) or _is_due(run, options):
                _save(run, run.checkpoint, learner, settings, losses=run.losses, history=run.history)
    except KeyboardInterrupt:
        say(f"{run.name}: stopped at step {run.step} of {run.steps}; the same command goes on from the last checkpoint")
        raise
    wait_for_all()  # until the first process has written
    if options.best_by:
        load_checkpoint(run.best, learner.module, learner.optimizer, settings=settings)
    wait_for_all()  # until all have read the checkpoint
    return run


def _require_together(run: Run) -> None:
    """Raise FailureError where processes that train together do not begin at one step."""
    first = of_first(run.step)
    if run.step != first:
        raise FailureError(
            f"{run.out}: process {process_rank()} of {process_count()} begins at step {run.step}, but the first one "
            f"at {first}; give a folder that all machines share"
        )


def _save(run: Run, path: Path, learner: Learner, settings: Settings, **progress: Any) -> None:
    """Write a checkpoint. Of several processes, only the first one writes."""
    if is_first():
        save_checkpoint(path, learner.module, learner.optimizer, settings=settings, step=run.step, **progress)


def require_same_run(out: Path, settings: Settings) -> None:
    """Check the settings as `fit` does, for callers with long work before it.

    Raises:
        UsageError: `out` holds an unfinished run with other settings.
    """
    read_checkpoint(Run("", out, 0).checkpoint, settings)


def _advance(run: Run, learner: Learner, options: LoopOptions, step: int, callbacks: Sequence[Callback]) -> None:
    """Take one step."""
    groups = learner.optimizer.param_groups
    for group in groups:
        group["lr"] = group["peak"] * options.schedule(step, options.steps)
    torch.manual_seed(step_seed((options.seed * 1_000_003 + step) % 2**63))
    learner.optimizer.zero_grad(set_to_none=True)
    learner.train()
    losses = learner.step(step)
    _require_finite(run, losses, f"the loss of step {step + 1}")
    norms = _clipped(learner, options)
    _require_finite(run, norms, f"the gradient of step {step + 1}")
    learner.optimizer.step()
    run.step = step + 1
    run.losses += losses
    if options.epoch_steps is None and options.keep_losses is not None:
        del run.losses[: -options.keep_losses]
    for callback in callbacks:
        callback.on_step(run, losses)


def _clipped(learner: Learner, options: LoopOptions) -> list[float]:
    """Clip the gradients as the options say. Returns the norms before clipping."""
    weights: list[Iterable[Tensor]] = [learner.module.parameters()]
    if options.clip == "group":
        weights = [group["params"] for group in learner.optimizer.param_groups]
    if options.clip != "none":
        return [float(torch.nn.utils.clip_grad_norm_(part, 1.0)) for part in weights]
    slopes = [weight.grad for part in weights for weight in part if weight.grad is not None]
    return [float(torch.stack([slope.detach().norm() for slope in slopes]).norm())] if slopes else []


def _require_finite(run: Run, values: Iterable[float], what: str) -> None:
    """Check that numbers are finite, before anything made of them is kept.

    Raises:
        FailureError: a number is not finite.
    """
    wrong = [value for value in values if not math.isfinite(value)]
    if not wrong:
        return
    kept = f"; {run.checkpoint} holds an earlier step" if run.checkpoint.exists() else ""
    raise FailureError(
        f"{run.name}: {what} of {run.steps} is not finite ({wrong[0]}), and nothing of it was stored{kept}; "
        "try another seed or a higher temperature, and check the data"
    )


def _end_epoch(
    run: Run, learner: Learner, options: LoopOptions, settings: Settings, callbacks: Sequence[Callback]
) -> bool:
    """If an epoch has ended, validate it, and store its weights if it is the best. Returns whether one has ended."""
    if options.epoch_steps is None or run.step % options.epoch_steps:
        return False
    measured = learner.validate() if is_first() else {}
    metrics = of_first({"loss": float(np.mean(run.losses)), **measured})
    for name, value in metrics.items():
        _require_finite(run, [value], f"{name} at step {run.step}")
    run.history.append(metrics)
    run.losses.clear()
    if options.best_by and metrics[options.best_by] >= max(epoch[options.best_by] for epoch in run.history):
        _save(run, run.best, learner, settings)
    for callback in callbacks:
        callback.on_epoch(run, metrics)
    return True


def _is_due(run: Run, options: LoopOptions) -> bool:
    return options.checkpoint_every is not None and run.step % options.checkpoint_every == 0


def weight_groups(module: nn.Module, peak: float) -> list[dict[str, Any]]:
    """Parameter groups for all weights at one peak rate. Matrices decay; biases, norms and the temperature do not."""
    weights = list(module.parameters())
    return [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": _WEIGHT_DECAY, "peak": peak},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0, "peak": peak},
    ]


def batch_rows(count: int, batch_size: int, step: int, seed: int) -> Tensor:
    """The rows of one step. Each epoch is shuffled differently, and its incomplete last batch is dropped."""
    epoch, position = divmod(step, count // batch_size)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 7919 + epoch))
    return order[position * batch_size : (position + 1) * batch_size]
