"""Kill commands at random moments (-9), run them again to their end, and compare with undisturbed runs.

    python bench/faults.py [--kills 1000] [--commands index,mine,mine-chat,pretrain,train,adds] [--chat-calls 2000]
                           [--seed 0] [--folder DIR]

The kills are spread evenly over the commands. A command is begun in an empty folder, killed after a random part of the
time that it takes undisturbed, begun again there, and so on until it ends; what it wrote is then compared with what an
undisturbed run wrote, and the next round begins. `adds` is `triptych serve`, killed while pictures are sent to it: what
it acknowledged must be in the catalog. `mine-chat` asks a server of its own on this machine; no call whose reply was
in the ledger may be made again. With --chat-calls, as many calls are made to a server that fails 30 % of the time.

Inputs are tiny and commits frequent, so that a kill costs a second or two. Each run is a process of its own, forked
from one that has the libraries loaded. Exits with 1 where anything differs, is lost, or is paid for twice.
"""

import argparse
import contextlib
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import socket
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

os.environ["OMP_NUM_THREADS"] = "1"  # before the libraries: a process with threads does not fork well
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from PIL import Image

import hostile
from loopback import noise_catalog
from triptych.benchmarks.datasets.wardrobe.garments import vocabulary
from triptych.benchmarks.datasets.wardrobe.world import write_wardrobe
from triptych.catalog import indexing
from triptych.catalog.catalog import Catalog
from triptych.chat.ledger import ledger_path
from triptych.chat.settings import ChatEndpoint, ChatSettings
from triptych.cli import main as program
from triptych.core.environment import Runtime
from triptych.mining import pipeline as mining
from triptych.mining.chat.pipeline import mine_chat
from triptych.mining.options import ChatMineOptions, MineOptions
from triptych.training.composer import train
from triptych.training.learners import pretraining as learning
from triptych.training.options import PretrainOptions, TrainOptions
from triptych.training.pretraining import pretrain
from triptych.triplets.file import read_triplets

COMMANDS = ("index", "mine", "mine-chat", "pretrain", "train", "adds")
ONE = Runtime(threads=1)
LINES = {"pretrain": 12, "unlabelled": 12}  # some 90 pictures each
ADDED = 12  # pictures sent to the service
STUCK = 600.0  # seconds after which a run that is not killed is stuck
PRELOADED = ("onnx", "onnxruntime", "onnxscript.optimizer", "matplotlib.figure", "torch.export", "torch._dynamo",
             "torch.onnx._internal.exporter._compat", "triptych.serving.server", "uvicorn", "httpx2",
             "triptych.mining.chat.session", "triptych.chat.client")  # fmt: skip
FORKS = multiprocessing.get_context("fork")


@dataclass
class Count:
    """What came of killing one command."""

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


class Wrong(Exception):
    """A round did not end as it must."""


def started(work: Callable[..., None], *arguments: Any, log: Path) -> Any:
    """A process that does this; what it says goes into the log."""

    def quiet() -> None:
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        try:
            work(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    process = FORKS.Process(target=quiet, daemon=True)
    process.start()
    return process


def done(work: Callable[..., Any], *arguments: Any, log: Path) -> Any:
    """What this returns, JSON-ready, in a process of its own: the one that forks is to have no threads."""
    file = log.with_name(f"{uuid4().hex}.json")
    process = started(lambda: file.write_text(json.dumps(work(*arguments)), encoding="utf-8"), log=log)
    ended(process, log)
    content = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return content


def ended(process: Any, log: Path) -> None:
    """Wait for a run that nobody kills. Raises Wrong where it fails or is stuck."""
    process.join(STUCK)
    if process.exitcode is None:
        process.kill()
        raise Wrong(f"stuck for {STUCK:g} s: {tail(log)}")
    if process.exitcode:
        raise Wrong(f"it failed: {tail(log)}")


def tail(log: Path) -> str:
    """The end of what a process said."""
    lines = log.read_text("utf-8", "replace").replace("\r", "\n").split("\n") if log.exists() else []
    return " | ".join(line for line in lines[-4:] if line.strip())[-400:]


def digest(*parts: Any) -> str:
    """What is equal for equal contents."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def listing(folder: Path) -> list[str]:
    """Every file below a folder but locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return sorted(path.relative_to(folder).as_posix() for path in files)


class Stage:
    """A command that goes on where it stopped: what it does in a folder, and what must be equal in the end."""

    def __init__(self, inputs: Path) -> None:
        self.inputs = inputs

    def run(self, out: Path) -> None:
        """Do all of it, or what is left of it; in a process of its own."""
        raise NotImplementedError

    def result(self, out: Path) -> Any:
        """What is compared, JSON-ready."""
        raise NotImplementedError

    def before(self, out: Path) -> None:
        """Called before each run."""

    def after(self, out: Path) -> None:
        """Called after each run, killed or not. Raises Wrong."""


class Index(Stage):
    """`triptych index` with the encoder that ships, 16 pictures a commit."""

    def run(self, out: Path) -> None:
        """Index the unlabelled pictures."""
        indexing._CHUNK = 16
        indexing.index(
            self.inputs / "world" / "unlabelled.txt",
            out / "catalog",
            encoder="wardrobe",
            root=self.inputs / "world" / "images",
            runtime=ONE,
        )

    def result(self, out: Path) -> Any:
        """Entries, vectors, the list of what was rejected, and how many files there are."""
        catalog = Catalog(out / "catalog")
        rejected = (out / "catalog" / "rejected.csv").read_text("utf-8")
        return digest(catalog.entries, catalog.vectors.tolist(), rejected, len(listing(out)))


class Mine(Stage):
    """`triptych mine` with tags, 8 references a commit."""

    def run(self, out: Path) -> None:
        """Mine the catalog of the undisturbed index."""
        mining._CHUNK = 8
        options = MineOptions(vocabulary=self.inputs / "words.json", limit=64, changes=2)
        mining.mine(self.inputs / "index" / "catalog", out / "triplets.parquet", options, runtime=ONE)

    def result(self, out: Path) -> Any:
        """The triplets, and that nothing else is left."""
        return digest(read_triplets(out / "triplets.parquet")[0], listing(out))


class MineChat(Stage):
    """`triptych mine-chat` at a server on this machine."""

    def __init__(self, inputs: Path) -> None:
        super().__init__(inputs)
        self.known: set[str] = set()
        self.seen = 0

    def run(self, out: Path) -> None:
        """Mine a catalog of noise, four calls at once."""
        url = (self.inputs / "url").read_text()
        endpoint = ChatEndpoint(base_url=url, backoff=0.001, max_backoff=0.01, concurrency=4, attempts=12)
        options = ChatMineOptions(group_size=4, limit=16)
        mine_chat(self.inputs / "noise" / "catalog", out / "t.parquet", "loopback", ChatSettings(endpoint), options)

    def result(self, out: Path) -> Any:
        """The triplets, and how the references ended."""
        base = sqlite3.connect(ledger_path(out / "t.parquet"))
        ended = base.execute("SELECT reference, state, reason FROM refs ORDER BY reference").fetchall()
        base.close()
        return digest(read_triplets(out / "t.parquet")[0], ended)

    def before(self, out: Path) -> None:
        """Note which replies are in the ledger."""
        self.known = hostile.recorded(out / "t.parquet")
        self.seen = len(hostile.events(self.inputs))

    def after(self, out: Path) -> None:
        """None of them may have been asked for again."""
        again = sum(event["key"] in self.known for event in hostile.events(self.inputs)[self.seen :])
        if again:
            raise Wrong(f"{again} calls made again though their replies were in the ledger")


class Pretrain(Stage):
    """`triptych pretrain`, a checkpoint every three steps."""

    def run(self, out: Path) -> None:
        """Learn from the captioned pictures."""
        learning._CHECKPOINT_STEPS = 3
        options = PretrainOptions(start="scratch", size=32, width=8, epochs=3, batch_size=16)
        world = self.inputs / "world"
        pretrain(world / "pretrain.csv", world / "images", out / "encoder", options, runtime=ONE)

    def result(self, out: Path) -> Any:
        """The weights, and that no checkpoint is left."""
        return digest((out / "encoder" / "model.safetensors").read_bytes().hex(), listing(out))


class Train(Stage):
    """`triptych train`, whose checkpoints are those of its epochs."""

    def run(self, out: Path) -> None:
        """Learn from the triplets of the undisturbed mine."""
        options = TrainOptions(epochs=5, batch_size=16)
        triplets, catalog = self.inputs / "mine" / "triplets.parquet", self.inputs / "index" / "catalog"
        train(triplets, catalog, out / "composer", options, runtime=ONE)

    def result(self, out: Path) -> Any:
        """The weights, what was measured on the way, and that no checkpoint is left."""
        composer = out / "composer"
        history = json.loads((composer / "config.json").read_text("utf-8"))["history"]
        return digest((composer / "model.safetensors").read_bytes().hex(), history, listing(out))


class Adds(Stage):
    """Pictures sent to `triptych serve` one by one; what is killed is the service."""

    def run(self, out: Path) -> None:
        """Serve a copy of the catalog at the port that is named beside it."""
        sys.argv = ["triptych", "serve", "--catalog", str(out / "catalog"), "--port", (out / "port").read_text()]
        sys.argv += ["--threads", "1"]
        program()

    def result(self, out: Path) -> Any:
        """What was added, by content, with its vectors; and the files."""
        catalog = Catalog(out / "catalog")
        added = {name: row for name, row in catalog.row_of.items() if name.startswith("uploads/")}
        vectors = {name: catalog.vectors[row].round(5).tolist() for name, row in added.items()}
        files = sorted(path.name for path in (out / "pictures" / "uploads").iterdir() if path.suffix == ".png")
        return {"names": sorted(added), "digest": digest(vectors, files)}


STAGES: dict[str, type[Stage]] = {
    "index": Index,
    "mine": Mine,
    "mine-chat": MineChat,
    "pretrain": Pretrain,
    "train": Train,
}


def prepare(folder: Path) -> None:
    """The inputs of all commands but those that other commands make."""
    write_wardrobe(folder / "world", lines=LINES, size=48, workers=1)
    words = {group: words[:6] for group, words in vocabulary().items() if group in ("colour", "kind", "pattern")}
    (folder / "words.json").write_text(json.dumps(words), encoding="utf-8")
    noise_catalog(folder / "noise", 24)


def undisturbed(stage: Stage, out: Path) -> tuple[Any, float]:
    """The result without a kill, and the seconds that it took."""
    out.mkdir()
    began, log = time.monotonic(), out.with_suffix(".log")
    process = started(stage.run, out, log=log)
    ended(process, log)
    seconds = time.monotonic() - began
    return done(stage.result, out, log=log), seconds


def disturbed(stage: Stage, folder: Path, count: Count, kills: int, chance: random.Random) -> None:
    """Rounds until there were so many kills; the last one is let come to its end."""
    began = time.monotonic()
    wanted, whole = undisturbed(stage, folder.with_name(count.command))
    while count.kills < kills:
        count.rounds += 1
        out = folder / str(count.rounds)
        try:
            _round(stage, out, count, kills, whole, chance)
            if done(stage.result, out, log=out.with_suffix(".log")) != wanted:
                raise Wrong("the result differs")
        except Wrong as error:
            count.wrong += 1
            count.why = count.why or f"round {count.rounds}: {error}"
    count.seconds = time.monotonic() - began


def _round(stage: Stage, out: Path, count: Count, kills: int, whole: float, chance: random.Random) -> None:
    out.mkdir(parents=True)
    log = out.with_suffix(".log")
    while True:
        stage.before(out)
        process = started(stage.run, out, log=log)
        if count.kills < kills:
            process.join(chance.uniform(0, whole))
        if count.kills >= kills or process.exitcode is not None:
            ended(process, log)
            stage.after(out)
            return
        process.kill()
        process.join()
        stage.after(out)
        count.kills += 1


def pictures() -> list[bytes]:
    """What is sent to the service."""
    files = []
    for number in range(ADDED):
        out = BytesIO()
        blotches = Image.frombytes("RGB", (6, 6), random.Random(number).randbytes(6 * 6 * 3))
        blotches.resize((48, 48)).save(out, "PNG")
        files.append(out.getvalue())
    return files


def send(port: int, files: Sequence[bytes], told: Path) -> None:
    """Send what is not acknowledged yet, one picture at a time, and note what is, as long as somebody listens."""
    known = told.read_text().split() if told.exists() else []
    with contextlib.suppress(OSError, HTTPException), told.open("a", buffering=1) as acknowledged:
        for data in files:
            content = hashlib.sha256(data).hexdigest()
            if content in known:
                continue
            boundary = uuid4().hex
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="picture"; filename="p"\r\n\r\n'
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
            kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            connection.request("POST", "/api/pictures", body, kind)
            if connection.getresponse().status in (200, 201):
                acknowledged.write(content + "\n")


def listens(port: int, process: Any) -> bool:
    """Wait until the service is ready; False where it ended."""
    end = time.monotonic() + STUCK
    while process.exitcode is None and time.monotonic() < end:
        with contextlib.suppress(OSError, HTTPException):
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return True
        process.join(0.05)
    return False


def adds(inputs: Path, folder: Path, count: Count, kills: int, chance: random.Random) -> None:
    """Rounds of sending all pictures to a service that is killed meanwhile."""
    began, files = time.monotonic(), pictures()
    stage = Adds(inputs)
    _, whole = _sent(stage, folder / "0", files, [STUCK])
    wanted = done(stage.result, folder / "0", log=folder / "0.log")
    while count.kills < kills:
        count.rounds += 1
        out = folder / str(count.rounds)
        delays = [chance.uniform(0, whole) for _ in range(min(4, kills - count.kills))]
        try:
            killed, _ = _sent(stage, out, files, [*delays, STUCK])
            count.kills += killed
            if done(stage.result, out, log=out.with_suffix(".log")) != wanted:
                raise Wrong("the catalog differs, though all was acknowledged")
        except Wrong as error:
            count.wrong += 1
            count.kills += 1  # so that it ends
            count.why = count.why or f"round {count.rounds}: {error}"
    count.seconds = time.monotonic() - began


def _sent(stage: Adds, out: Path, files: Sequence[bytes], delays: Sequence[float]) -> tuple[int, float]:
    """Send everything; the service is killed after each delay. Returns the kills, and how long the last part took."""
    out.mkdir(parents=True)
    log, told = out.with_suffix(".log"), out / "acknowledged"
    done(lambda: str(noise_catalog_for_adds(out)), log=log)
    kills, seconds = 0, 0.0
    for delay in delays:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (out / "port").write_text(str(port))
        process = started(stage.run, out, log=log)
        if not listens(port, process):
            process.kill()
            raise Wrong(f"the service does not start: {tail(log)}")
        began = time.monotonic()
        client = started(send, port, files, told, log=log)
        client.join(delay)
        seconds = time.monotonic() - began
        finished = client.exitcode is not None
        process.kill()
        process.join()
        client.join(STUCK)
        kills += not finished
        known = set(told.read_text().split()) if told.exists() else set()
        there = {Path(name).stem for name in done(stage.result, out, log=log)["names"]} if known else set()
        if lost := known - there:
            raise Wrong(f"{len(lost)} acknowledged pictures are not in the catalog")
        if finished and len(known) == len(files):
            break
    else:
        raise Wrong(f"not all pictures were taken: {tail(log)}")
    return kills, seconds


def noise_catalog_for_adds(out: Path) -> Path:
    """A small catalog of the encoder that ships, to add to."""
    (out / "pictures" / "uploads").mkdir(parents=True)
    for number, file in enumerate(pictures()[:3]):
        with Image.open(BytesIO(file)) as picture:
            picture.rotate(90).save(out / "pictures" / f"{number}.png")
    indexing.index(out / "pictures", out / "catalog", encoder="wardrobe", runtime=ONE)
    return out / "catalog"


def measure(folder: Path, commands: Sequence[str], kills: int, seed: int) -> list[Count]:
    """Kill each command as many times."""
    inputs = folder / "inputs"
    inputs.mkdir(parents=True)
    done(lambda: str(prepare(inputs)), log=folder / "prepare.log")
    server = started(hostile.serve, inputs, 0.0, 0.01, log=folder / "server.log")
    while not (inputs / "url").exists():
        time.sleep(0.05)
    counts = []
    try:
        for place, command in enumerate(commands):
            share = kills // len(commands) + (place < kills % len(commands))
            count, chance = Count(command), random.Random(f"{seed} {command}")
            below = inputs / f"{command}-killed"
            below.mkdir()
            try:
                if command == "adds":
                    adds(inputs, below, count, share, chance)
                else:
                    disturbed(STAGES[command](inputs), below, count, share, chance)
            except Wrong as error:
                count.wrong += 1
                count.why = str(error)
            counts.append(count)
            print(count.line(), flush=True)
    finally:
        server.kill()
        server.join()
    return counts


def main() -> int:
    """Print the table; 1 where something is wrong."""
    asked = argparse.ArgumentParser(description="Kill commands at random moments and compare what comes of them.")
    asked.add_argument("--kills", type=int, default=1000, help="over all commands")
    asked.add_argument("--commands", default=",".join(COMMANDS))
    asked.add_argument("--chat-calls", type=int, default=0, help="calls to a server that fails 30 %% of the time")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    given = asked.parse_args()
    for module in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    commands = [name for name in given.commands.split(",") if name]
    if unknown := [name for name in commands if name not in COMMANDS]:
        asked.error(f"--commands: {', '.join(unknown)}; there are {', '.join(COMMANDS)}")
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if commands and given.kills:
            print(f"{'command':<10}{'kills':>7}{'rounds':>9}{'equal':>8}{'seconds':>9}", flush=True)
            counts = measure(folder / "kills", needed(commands), given.kills, given.seed)
            wrong += sum(count.wrong for count in counts)
            print(f"{sum(count.kills for count in counts)} kills, {wrong} rounds wrong", flush=True)
        if given.chat_calls:
            (folder / "chat").mkdir(parents=True)
            count = hostile.measure(folder / "chat", -(-given.chat_calls // 3), killing=False)
            print("\n".join(count.lines()), flush=True)
            wrong += count.wrong
    return 1 if wrong else 0


def needed(commands: Sequence[str]) -> list[str]:
    """The commands in the order in which one makes what the next one reads, with those that are read."""
    reads = {"mine": "index", "train": "mine"}
    wanted = set(commands)
    for command in ("train", "mine"):
        if command in wanted:
            wanted.add(reads[command])
    return [command for command in COMMANDS if command in wanted]


if __name__ == "__main__":
    sys.exit(main())
