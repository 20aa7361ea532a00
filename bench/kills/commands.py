"""The commands that are killed: what each does in a folder, and which results must be equal in the end."""

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import hostile
from kills.processes import WrongError
from loopback import noise_catalog
from triptych.benchmarks.datasets.wardrobe.garments import vocabulary
from triptych.benchmarks.datasets.wardrobe.world import write_wardrobe
from triptych.catalog import indexing
from triptych.catalog.catalog import Catalog
from triptych.chat.ledger import ledger_path
from triptych.chat.settings import ChatEndpoint, ChatSettings
from triptych.core.environment import Runtime
from triptych.mining import pipeline as mining
from triptych.mining.chat.pipeline import mine_chat
from triptych.mining.options import ChatMineOptions, MineOptions
from triptych.training.composer import train
from triptych.training.learners import pretraining as learning
from triptych.training.options import PretrainOptions, TrainOptions
from triptych.training.pretraining import pretrain
from triptych.triplets.file import read_triplets

ONE = Runtime(threads=1)
_LINES = {"pretrain": 12, "unlabelled": 12}  # some 90 pictures each


class Command:
    """A command that goes on where it stopped. `inputs` is the folder of its inputs."""

    most_kills = 3
    """Of one round: its work is done bit by bit, and more kills than bits would find nothing to do."""

    def __init__(self, inputs: Path) -> None:
        self.inputs = inputs

    def run(self, out: Path) -> None:
        """Do everything, or what is left of it, in a process of its own."""
        raise NotImplementedError

    def result(self, out: Path) -> Any:
        """The result to compare, as JSON."""
        raise NotImplementedError

    def learnt(self, out: Path) -> bool:
        """Whether only the export is left, which takes longer than the training."""
        return False

    def before(self, out: Path) -> None:
        """Called before each run."""

    def after(self, out: Path) -> None:
        """Called after each run, killed or not.

        Raises:
            WrongError: something is wrong.
        """


class Index(Command):
    """`triptych index` with the encoder of drawings, 16 pictures a commit."""

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
        return digest(catalog.entries, catalog.vectors.tolist(), rejected, len(files_below(out)))


class Mine(Command):
    """`triptych mine` with tags, 8 references a commit."""

    def run(self, out: Path) -> None:
        """Mine the catalog of the undisturbed index."""
        mining._CHUNK = 8
        options = MineOptions(vocabulary=self.inputs / "words.json", limit=64, changes=2)
        mining.mine(self.inputs / "index" / "catalog", out / "triplets.parquet", options, runtime=ONE)

    def result(self, out: Path) -> Any:
        """The triplets, and that nothing else is left."""
        return digest(read_triplets(out / "triplets.parquet")[0], files_below(out))


class MineChat(Command):
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
            raise WrongError(f"{again} calls made again though their replies were in the ledger")


class Pretrain(Command):
    """`triptych pretrain`, a checkpoint every three steps."""

    most_kills = 12

    def run(self, out: Path) -> None:
        """Learn from the captioned pictures."""
        learning._CHECKPOINT_STEPS = 3
        options = PretrainOptions(start="scratch", size=32, width=8, epochs=6, batch_size=16)
        world = self.inputs / "world"
        pretrain(world / "pretrain.csv", world / "images", out / "encoder", options, runtime=ONE)

    def learnt(self, out: Path) -> bool:
        """The weights are written first."""
        return (out / "encoder" / "model.safetensors").exists()

    def result(self, out: Path) -> Any:
        """The weights, and that no checkpoint is left."""
        return digest((out / "encoder" / "model.safetensors").read_bytes().hex(), files_below(out))


class Train(Command):
    """`triptych train`, whose checkpoints are those of its epochs; of the text nothing learns along, as by default."""

    most_kills = 12

    def run(self, out: Path) -> None:
        """Learn from the triplets of the undisturbed mine."""
        options = TrainOptions(epochs=5, batch_size=16, without=("text-tower",))
        triplets, catalog = self.inputs / "mine" / "triplets.parquet", self.inputs / "index" / "catalog"
        train(triplets, catalog, out / "composer", options, runtime=ONE)

    def learnt(self, out: Path) -> bool:
        """The weights are written first."""
        return (out / "composer" / "model.safetensors").exists()

    def result(self, out: Path) -> Any:
        """The weights, what was measured on the way, and that no checkpoint is left."""
        composer = out / "composer"
        history = json.loads((composer / "config.json").read_text("utf-8"))["history"]
        return digest((composer / "model.safetensors").read_bytes().hex(), history, files_below(out))


RESUMED: dict[str, type[Command]] = {
    "index": Index,
    "mine": Mine,
    "mine-chat": MineChat,
    "pretrain": Pretrain,
    "train": Train,
}
"""By name, those that go on where they stopped when they are run again."""


def prepare(folder: Path) -> None:
    """Write the inputs of all commands but those that other commands make."""
    write_wardrobe(folder / "world", lines=_LINES, size=48, workers=1)
    words = {group: words[:6] for group, words in vocabulary().items() if group in ("colour", "kind", "pattern")}
    (folder / "words.json").write_text(json.dumps(words), encoding="utf-8")
    noise_catalog(folder / "noise", 24)


def digest(*parts: Any) -> str:
    """Equal for equal contents."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def files_below(folder: Path) -> list[str]:
    """Every file below a folder but locks."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return sorted(path.relative_to(folder).as_posix() for path in files)
