"""Rounds of a command: begun, killed a few times, run to its end, and compared with an undisturbed run."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hostile
from kills.commands import RESUMED, Command, prepare
from kills.processes import STUCK, WrongError, compute, start, wait
from kills.service import added, send_all

COMMANDS = ("index", "mine", "mine-chat", "pretrain", "train", "adds")
HEADER = f"{'command':<10}{'kills':>7}{'rounds':>9}{'equal':>8}{'seconds':>9}"
_IN_LEARNING = 0.75  # of the kills of what learns; the others fall anywhere, the export included
_MOST_ADDS = 4  # kills of the service before all pictures are sent


@dataclass
class Count:
    """The result of killing one command."""

    command: str
    kills: int = 0
    rounds: int = 0
    wrong: int = 0
    seconds: float = 0.0
    why: str = ""

    def line(self) -> str:
        """A row of the table."""
        equal = self.rounds - self.wrong
        return f"{self.command:<10}{self.kills:>7}{self.rounds:>9}{equal:>8}{self.seconds:>9.0f}  {self.why}".rstrip()


def kill_commands(folder: Path, commands: Sequence[str], kills: int, seed: int) -> list[Count]:
    """Kill each command this many times and report the results. Their inputs are made first."""
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    compute(prepare, inputs, log=folder / "prepare.log")
    server = start(hostile.serve, inputs, 0.0, 0.01, log=folder / "server.log")
    while not (inputs / "url").exists():
        time.sleep(0.05)
    counts, shares = [], dict.fromkeys(_with_what_they_read(commands), 0)
    shares |= {command: kills // len(commands) + (n < kills % len(commands)) for n, command in enumerate(commands)}
    try:
        for command in (name for name in COMMANDS if name in shares):
            count, chance = Count(command), random.Random(f"{seed} {command}")
            (inputs / f"{command}-killed").mkdir()
            began = time.monotonic()
            try:
                rounds = _adds if command == "adds" else _resumed
                rounds(inputs, count, shares[command], chance)
            except WrongError as error:
                count.wrong += 1
                count.why = str(error)
            count.seconds = time.monotonic() - began
            counts.append(count)
            print(count.line(), flush=True)
    finally:
        server.kill()
        server.join()
    return counts


def _with_what_they_read(commands: Sequence[str]) -> set[str]:
    """The commands, and those that make what they read."""
    reads = {"mine": ("index",), "train": ("index", "mine")}
    return {*commands, *(other for command in commands for other in reads.get(command, ()))}


def _resumed(inputs: Path, count: Count, kills: int, chance: random.Random) -> None:
    """Rounds of a command that goes on where it stopped."""
    command = RESUMED[count.command](inputs)
    expected, learning, whole = _undisturbed(command, inputs / count.command)
    pace = 1.0  # of the machine, against that of the undisturbed run

    def attempt(out: Path, most: int) -> None:
        nonlocal pace
        out.mkdir()
        log = out.with_suffix(".log")
        for n in range(min(chance.randint(1, command.most_kills), most)):
            limit = learning if chance.random() < _IN_LEARNING else whole
            seconds = pace * chance.uniform(0, limit)
            began = time.monotonic()
            running = _killed(command, out, seconds)
            if n == 0:  # it began with nothing
                pace = min(1.0, 1.1 * pace) if running else (time.monotonic() - began) / whole
            if not running:
                break
            count.kills += 1
        command.before(out)
        wait(start(command.run, out, log=log), log)
        command.after(out)
        if compute(command.result, out, log=log) != expected:
            raise WrongError("the result differs")

    _rounds(attempt, inputs / f"{count.command}-killed", count, kills)


def _killed(command: Command, out: Path, seconds: float) -> bool:
    """Whether it was still running after so many seconds, and was killed then. Raises WrongError where it failed."""
    command.before(out)
    log = out.with_suffix(".log")
    process = start(command.run, out, log=log)
    process.join(seconds)
    running = process.exitcode is None
    if running:
        process.kill()
        process.join()
    else:
        wait(process, log)
    command.after(out)
    return running


def _undisturbed(command: Command, out: Path) -> tuple[Any, float, float]:
    """The result without a kill, the seconds until only an export was left, and the seconds in all."""
    out.mkdir()
    began, log, learning = time.monotonic(), out.with_suffix(".log"), 0.0
    process = start(command.run, out, log=log)
    while process.exitcode is None and time.monotonic() < began + STUCK:
        process.join(0.02)
        if not learning and command.learnt(out):
            learning = time.monotonic() - began
    wait(process, log)
    whole = time.monotonic() - began
    return compute(command.result, out, log=log), learning or whole, whole


def _adds(inputs: Path, count: Count, kills: int, chance: random.Random) -> None:
    """Rounds of sending all pictures to a service that is killed meanwhile."""
    folder = inputs / "adds-killed"
    _, whole = send_all(folder / "undisturbed", [])
    expected = compute(added, folder / "undisturbed", log=folder / "undisturbed.log")

    def attempt(out: Path, most: int) -> None:
        # A part of the time, lest one kill be all that a round has work for.
        killed, _ = send_all(out, [chance.uniform(0, whole / 3) for _ in range(min(_MOST_ADDS, most))])
        count.kills += killed
        if compute(added, out, log=out.with_suffix(".log")) != expected:
            raise WrongError("the catalog differs, though all was acknowledged")

    _rounds(attempt, folder, count, kills)


def _rounds(attempt: Callable[[Path, int], None], folder: Path, count: Count, kills: int) -> None:
    """Attempts in new folders, each with at most the kills that are left, until there were as many as wanted."""
    while count.kills < kills:
        count.rounds += 1
        before = count.kills
        try:
            attempt(folder / str(count.rounds), kills - count.kills)
        except WrongError as error:
            count.wrong += 1
            count.why = count.why or f"round {count.rounds}: {error}"
            if count.kills == before:
                count.kills += 1  # so that it ends
