"""A kill -9 in the middle of a stage, then the same call again: it ends as if it had never been disturbed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.numpy import load_file

from triptych.catalog import indexing
from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.core.environment import Runtime
from triptych.mining import pipeline as mining
from triptych.mining.options import MineOptions
from triptych.mining.pipeline import mine
from triptych.training.composer import train
from triptych.training.learners import pretraining as learning
from triptych.training.options import PretrainOptions, TrainOptions
from triptych.training.pretraining import pretrain
from triptych.triplets.file import read_triplets

# Runs in the process that is to die: the given function kills it, before or after its work, at a given call.
DEADLY = """
import importlib, json, os, signal, sys
from pathlib import Path
from types import SimpleNamespace

given = SimpleNamespace(**json.loads(sys.argv[1]))
calls = 0

def deadly(*args, **kwargs):
    global calls
    calls += 1
    if calls == given.call and given.when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*args, **kwargs)
    if calls == given.call:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

def resolve(path):
    module, _, name = path.partition(":")
    owner = importlib.import_module(module)
    *outer, last = name.split(".")
    for step in outer:
        owner = getattr(owner, step)
    return owner, last

for path, value in given.patches.items():
    setattr(*resolve(path), value)
owner, name = resolve(given.at)
real = getattr(owner, name)
setattr(owner, name, deadly)
stage = getattr(*resolve(given.stage))

def made(key, value):
    if isinstance(value, dict) and "kind" in value:  # an options dataclass
        return getattr(*resolve(value.pop("kind")))(**value)
    return Path(value) if key in ("root", "vocabulary") else value

stage(*map(Path, given.args), **{key: made(key, value) for key, value in given.options.items()})
"""
# Between writing and renaming stands the call that every write makes.
WITHIN = "os:fsync"


def kill(stage: str, args: list[Path], options: dict, *, at: str, call: int, when: str, patches: dict) -> None:
    """Run the public function `stage` in a process that dies by SIGKILL where it is told to."""
    given = {
        "stage": stage,
        "args": args,
        "options": options,
        "at": at,
        "call": call,
        "when": when,
        "patches": patches,
    }
    command = [sys.executable, "-c", DEADLY, json.dumps(given, default=str)]
    died = subprocess.run(command, capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


@pytest.fixture(scope="module")
def pictures(wardrobe_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 pictures, with copies, a bad one and an undecodable name."""
    folder = tmp_path_factory.mktemp("resume") / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(36):
        squares = random.integers(256, size=(4, 4, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(squares).save(folder / f"{number:02}.png")
    for copy, of in [("20b.png", "02.png"), ("20c.png", "35.png")]:
        (folder / copy).write_bytes((folder / of).read_bytes())
    (folder / "05b.png").write_bytes(b"no picture")
    with open(os.fsencode(folder) + b"/\xff.png", "wb") as odd:
        odd.write(b"unseen")
    return folder


def catalog_content(catalog: Path) -> tuple[list, np.ndarray, str]:
    (part,) = catalog.glob("part-*")
    assert files_of(catalog) == {"catalog.json", "domain.json", "rejected.csv", part.name}
    opened = Catalog(catalog)
    assert pq.read_table(part).column("name").to_pylist() == [entry.name for entry in opened.entries]
    return opened.entries, opened.vectors, (catalog / "rejected.csv").read_text("utf-8")


@pytest.mark.parametrize(
    ("at", "call", "when"),
    [
        pytest.param("triptych.catalog.catalog:Catalog.append", 1, "before", marks=pytest.mark.slow),
        ("triptych.catalog.catalog:Catalog.append", 3, "before"),
        ("triptych.catalog.catalog:Catalog.append", 3, "after"),
        pytest.param("triptych.catalog.catalog:Catalog.compact", 1, "before", marks=pytest.mark.slow),
        ("triptych.catalog.catalog:Catalog.compact", 1, "after"),
        (WITHIN, 6, "before"),  # a part
        (WITHIN, 7, "before"),  # the list of parts
        (WITHIN, 7, "after"),
    ],
)
def test_index(pictures, tiny_encoder, tmp_path, monkeypatch, at, call, when):
    monkeypatch.setattr(indexing, "_CHUNK", 16)
    options = {"encoder": str(tiny_encoder)}
    patches = {"triptych.catalog.indexing:_CHUNK": 16}
    killed = [pictures, tmp_path / "killed"]
    kill("triptych.catalog.indexing:index", killed, options, at=at, call=call, when=when, patches=patches)
    index(*killed, **options)
    index(pictures, tmp_path / "scratch", **options)
    entries, vectors, rejected = catalog_content(tmp_path / "killed")
    wanted_entries, wanted_vectors, wanted_rejected = catalog_content(tmp_path / "scratch")
    assert entries == wanted_entries
    assert rejected == wanted_rejected
    assert len(vectors) == 38
    np.testing.assert_array_equal(vectors, wanted_vectors)


def test_an_index_that_was_killed_is_searchable_and_loses_little(pictures, tiny_encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(indexing, "_CHUNK", 16)
    arguments, options = [pictures, tmp_path / "catalog"], {"encoder": str(tiny_encoder)}
    kill(
        "triptych.catalog.indexing:index", arguments, options,
        at="triptych.catalog.catalog:Catalog.append", call=4, when="before",
        patches={"triptych.catalog.indexing:_CHUNK": 16},
    )  # fmt: skip
    # One commit for what was left out and two of 16 pictures, one of which is bad.
    assert len(Catalog(tmp_path / "catalog").names) == 31
    assert index(*arguments, **options).unchanged == 32


@pytest.mark.parametrize(
    ("at", "call", "when"),
    [
        pytest.param("triptych.mining.pipeline:write_triplets", 2, "before", marks=pytest.mark.slow),
        ("triptych.mining.pipeline:write_triplets", 2, "after"),
        pytest.param("triptych.mining.pipeline:join_triplets", 1, "before", marks=pytest.mark.slow),
        ("triptych.mining.pipeline:join_triplets", 1, "after"),
        pytest.param(WITHIN, 1, "before", marks=pytest.mark.slow),
        (WITHIN, 3, "before"),
        pytest.param(WITHIN, 5, "before", marks=pytest.mark.slow),
    ],
)
def test_mine(tiny_catalog, vocabulary_file, tmp_path, monkeypatch, at, call, when):
    monkeypatch.setattr(mining, "_CHUNK", 32)
    options = MineOptions(vocabulary=vocabulary_file, limit=96, changes=8)
    out = tmp_path / "killed" / "triplets.parquet"
    patches = {"triptych.mining.pipeline:_CHUNK": 32}
    given = {
        "options": {"kind": "triptych.mining.options:MineOptions", "vocabulary": vocabulary_file}
        | {"limit": 96, "changes": 8},
        "runtime": {"kind": "triptych.core.environment:Runtime", "threads": 1},
    }
    kill("triptych.mining.pipeline:mine", [tiny_catalog, out], given, at=at, call=call, when=when, patches=patches)
    facts = mine(tiny_catalog, out, options, runtime=Runtime(threads=1))
    scratch = tmp_path / "scratch" / "triplets.parquet"
    assert mine(tiny_catalog, scratch, options, runtime=Runtime(threads=1)) == facts
    assert read_triplets(out)[0] == read_triplets(scratch)[0]
    assert len(read_triplets(out)[0]) > 10
    assert files_of(out.parent) == {out.name}


def assert_same_weights(one: Path, other: Path) -> None:
    assert files_of(one) == files_of(other)
    assert not [name for name in files_of(one) if "checkpoint" in name or "best" in name or name.endswith(".tmp")]
    weights, wanted = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert weights.keys() == wanted.keys()
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, wanted[name], err_msg=name)
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


PRETRAIN = {"start": "scratch", "size": 32, "width": 8, "epochs": 2, "batch_size": 16}
TRAIN = {"epochs": 3, "batch_size": 64}
ONE_THREAD = {"kind": "triptych.core.environment:Runtime", "threads": 1}


@pytest.fixture(scope="module")
def pairs(wardrobe_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("resume") / "pairs.csv"
    path.write_text("".join((wardrobe_world / "pretrain.csv").read_text("utf-8").splitlines(True)[:91]), "utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed_encoder(pairs: Path, wardrobe_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("resume") / "encoder"
    pretrain(pairs, wardrobe_world / "images", out, PretrainOptions(**PRETRAIN), runtime=Runtime(threads=1))
    return out


@pytest.mark.parametrize(
    ("at", "call", "when"),
    [
        ("triptych.training.loop:save_checkpoint", 2, "before"),
        pytest.param("triptych.training.loop:save_checkpoint", 2, "after", marks=pytest.mark.slow),
        pytest.param(WITHIN, 3, "before", marks=pytest.mark.slow),
        pytest.param("triptych.encoders.native:write_json", 1, "before", marks=pytest.mark.slow),
    ],
)
def test_pretrain(pairs, wardrobe_world, undisturbed_encoder, tmp_path, monkeypatch, capfd, at, call, when):
    monkeypatch.setattr(learning, "_CHECKPOINT_STEPS", 3)
    arguments = [pairs, wardrobe_world / "images", tmp_path / "encoder"]
    patches = {"triptych.training.learners.pretraining:_CHECKPOINT_STEPS": 3}
    given = {"options": {"kind": "triptych.training.options:PretrainOptions", **PRETRAIN}, "runtime": ONE_THREAD}
    kill(
        "triptych.training.pretraining:pretrain",
        arguments,
        given,
        at=at,
        call=call,
        when=when,
        patches=patches,
    )
    capfd.readouterr()
    pretrain(*arguments, PretrainOptions(**PRETRAIN), runtime=Runtime(threads=1))
    assert "going on from step" in capfd.readouterr().err
    assert_same_weights(tmp_path / "encoder", undisturbed_encoder)


@pytest.mark.parametrize(
    ("at", "call", "when"),
    [
        # Between an epoch's best weights and its checkpoint.
        pytest.param("triptych.training.loop:save_checkpoint", 2, "before", marks=pytest.mark.slow),
        pytest.param("triptych.training.loop:save_checkpoint", 2, "after", marks=pytest.mark.slow),
        pytest.param(WITHIN, 3, "before", marks=pytest.mark.slow),
        pytest.param("triptych.training.composer:write_json", 1, "before", marks=pytest.mark.slow),
    ],
)
def test_train(tiny_triplets, tiny_catalog, tiny_composer, tmp_path, at, call, when):
    arguments = [tiny_triplets, tiny_catalog, tmp_path / "composer"]
    given = {"options": {"kind": "triptych.training.options:TrainOptions", **TRAIN}, "runtime": ONE_THREAD}
    kill("triptych.training.composer:train", arguments, given, at=at, call=call, when=when, patches={})
    assert not (tmp_path / "composer" / "config.json").exists() or when == "after"
    train(*arguments, TrainOptions(**TRAIN), runtime=Runtime(threads=1))
    assert_same_weights(tmp_path / "composer", tiny_composer)
    histories = [
        json.loads((folder / "config.json").read_text())["history"] for folder in (arguments[2], tiny_composer)
    ]
    assert histories[0] == histories[1]
