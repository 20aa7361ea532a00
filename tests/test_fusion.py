"""The composer that looks at the reference itself: trained, interrupted, exported, and asked wherever composers are."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import triptych
from made_benchmarks import evaluate
from serving_helpers import Service
from triptych.benchmarks.datasets.queries import load_queries
from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.composers import patches as batches
from triptych.composers.networks.combiner import Combiner, CombinerShape, QuerySide
from triptych.composers.networks.fusion import FusionShape, FusionTrunk
from triptych.composers.trained import TrainedComposer
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, UsageError
from triptych.core.images import open_picture
from triptych.encoders.native import NativeEncoder, load_model
from triptych.encoders.networks.dual_encoder import HALF, DualEncoder, EncoderShape
from triptych.encoders.protocol import Pixels
from triptych.encoders.registry import load_encoder
from triptych.evaluation.encoded_task import EncodedTask, known_vectors
from triptych.retrieval.options import EngineOptions, SearchOptions
from triptych.training import loop
from triptych.training.composer import train
from triptych.training.data import patches as looking
from triptych.training.options import TrainOptions
from triptych.training.results import TrainResult
from triptych.triplets.file import read_triplets, write_triplets

FUSED = TrainOptions(composer="transformer", epochs=2, batch_size=64, without=("kept-sum",))
ONE_THREAD = Runtime(threads=1)
TEXT = "the same in red"


@pytest.fixture(scope="module", autouse=True)
def _small_batches():
    """Some references take several batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking, "BATCH", 32)
        patch.setattr(batches, "BATCH", 32)
        yield


@pytest.fixture(scope="module")
def few_triplets(tiny_triplets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of 120 references."""
    path = tmp_path_factory.mktemp("fusion") / "triplets.parquet"
    stored, note = read_triplets(tiny_triplets)
    accepted = [triplet for triplet in stored if triplet.accepted]
    chosen = set(sorted({triplet.reference for triplet in accepted})[:120])
    write_triplets(path, [triplet for triplet in accepted if triplet.reference in chosen], note)
    return path


@pytest.fixture(scope="module")
def training(
    few_triplets: Path, tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainResult]:
    out = tmp_path_factory.mktemp("fusion") / "composer"
    return out, train(few_triplets, tiny_catalog, out, FUSED, runtime=ONE_THREAD)


@pytest.fixture(scope="module")
def fused(training: tuple[Path, TrainResult]) -> Path:
    return training[0]


@pytest.fixture(scope="module")
def attached(fused: Path, tiny_encoder: Path) -> TrainedComposer:
    composer = TrainedComposer(fused, threads=1)
    composer.attach(load_encoder(str(tiny_encoder), threads=1))
    return composer


def shown(catalog: Path, count: int) -> tuple[Any, Pixels]:
    """Vectors and pixels of the first pictures."""
    opened = Catalog(catalog)
    encoder = opened.encoder(threads=1)
    pixels = np.stack([encoder.prepare(open_picture(opened.path(name))) for name in opened.names[:count]])
    return opened.vectors[:count].copy(), pixels


def test_it_learns_and_leaves_nothing_behind(training, tiny_catalog):
    out, result = training
    assert result.held_out_recall["R@10"] > 3 * 100 * 10 / len(Catalog(tiny_catalog).names)
    config = json.loads((out / "config.json").read_text())
    first, second = (epoch["loss"] for epoch in config["history"])
    assert second < first
    assert (config["composer"], config["format"]) == ("transformer", "triptych-composer-2")
    names = {path.name for path in out.iterdir()} - {".lock", "learning-curve.png", "model.safetensors"}
    assert names == {"config.json", "query.onnx", "gallery.onnx", "patches.onnx"}


def test_graphs_equal_the_torch_model(attached, fused, tiny_catalog, tiny_encoder):
    architecture = json.loads((fused / "config.json").read_text())["architecture"]
    trunk = FusionTrunk(FusionShape(**architecture.pop("fusion")))
    tower = load_model(tiny_encoder)
    model = QuerySide(Combiner(CombinerShape(**architecture), trunk), tower.text)
    model.load_state_dict(load_file(fused / "model.safetensors"))
    model.eval()
    vectors, pixels = shown(tiny_catalog, 70)
    words = [TEXT, "blue", "with no sleeves and in a much darker green", "black", "white"] * 14
    ids = torch.from_numpy(load_encoder(str(tiny_encoder)).token_ids(words))
    seen = attached.look(pixels)
    with torch.inference_mode():
        np.testing.assert_allclose(seen, tower.patches(torch.from_numpy(pixels)), atol=5e-3)
        patches = torch.from_numpy(seen)
        queries = model(torch.from_numpy(vectors), ids, patches).numpy()
        shorter = model(torch.from_numpy(vectors), ids[:, : int((ids != 0).sum(dim=1).max())], patches).numpy()
    learnt = attached.with_kept_sum(None)
    np.testing.assert_allclose(learnt.compose(vectors, words, patches=seen), queries, atol=2e-5)
    np.testing.assert_allclose(shorter, queries, atol=2e-5)


def test_what_is_seen_matters(attached, tiny_catalog):
    vectors, pixels = shown(tiny_catalog, 2)
    patches = attached.look(pixels)
    seen, other = (attached.compose(vectors, [TEXT, TEXT], patches=order) for order in (patches, patches[::-1]))
    assert not np.allclose(seen, other, atol=1e-4)


def interrupt(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Let the next run end between the look at some references and others, or between two epochs."""
    in_batches, save = looking.in_batches, loop.save_checkpoint
    left = {"looking": 2, "training": 2}

    def one_less(what: str) -> None:
        left[what] -= 1
        if what == at and left[what] < 0:
            raise KeyboardInterrupt

    def batches(*arguments: Any) -> Any:
        for batch in in_batches(*arguments):
            one_less("looking")
            yield batch

    def saved(*arguments: Any, **progress: Any) -> None:
        one_less("training")
        save(*arguments, **progress)

    monkeypatch.setattr(looking, "in_batches", batches)
    monkeypatch.setattr(loop, "save_checkpoint", saved)


@pytest.mark.slow
@pytest.mark.parametrize("at", ["looking", "training"])
def test_an_interrupted_run_ends_with_the_same_weights(few_triplets, tiny_catalog, fused, tmp_path, monkeypatch, at):
    out = tmp_path / "composer"
    with monkeypatch.context() as patch:
        interrupt(patch, at)
        with pytest.raises(KeyboardInterrupt):
            train(few_triplets, tiny_catalog, out, FUSED, runtime=ONE_THREAD)
    assert not (out / "config.json").exists()
    prepared, prepare = [], NativeEncoder.prepare
    monkeypatch.setattr(NativeEncoder, "prepare", lambda self, picture: prepared.append(1) or prepare(self, picture))
    train(few_triplets, tiny_catalog, out, FUSED, runtime=ONE_THREAD)
    references = len({triplet.reference for triplet in read_triplets(few_triplets)[0]})
    # None is looked at again; beside them, a blank picture tells the shape of what is seen.
    assert len(prepared) == 1 + (references - 64 if at == "looking" else 0)
    assert (out / "model.safetensors").read_bytes() == (fused / "model.safetensors").read_bytes()
    assert {path.name for path in out.iterdir()} == {path.name for path in fused.iterdir()}


def test_search_looks_at_files_uploads_and_pictures_of_the_catalog(tiny_catalog, fused, tiny_composer):
    opened = Catalog(tiny_catalog)
    name = opened.names[3]
    with triptych.open_catalog(tiny_catalog, composer=fused, runtime=Runtime(threads=1)) as searchable:
        found = searchable.search(like=name, text=TEXT, k=5)
        assert found == searchable.search(image=opened.path(name), text=TEXT, k=5)
        assert found == searchable.search(image=opened.path(name).read_bytes(), text=TEXT, k=5)
        assert len(searchable.search(text=TEXT, k=5)) == len(searchable.search(like=name, k=5)) == 5
    other = triptych.search(
        tiny_catalog,
        text=TEXT,
        options=SearchOptions(like=name, k=5),
        engine=EngineOptions(composer=tiny_composer),
        runtime=Runtime(threads=1),
    )
    assert [hit.score for hit in found] != [hit.score for hit in other]


def test_the_service_looks_too(tiny_catalog, fused):
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    opened = Catalog(tiny_catalog)
    name = opened.names[3]
    expected = [
        hit.id
        for hit in triptych.search(
            tiny_catalog,
            text=TEXT,
            options=SearchOptions(like=name, k=5),
            engine=EngineOptions(composer=fused),
            runtime=Runtime(threads=1),
        )
    ]
    with Service(tiny_catalog, "--composer", fused) as running:
        asked = (("text", TEXT), ("k", "5"))
        uploaded = running.search(("picture", opened.path(name).read_bytes()), *asked)
        for answer in (
            uploaded,
            running.search(("like", uploaded["reference"]), *asked),
            running.search(("like", name), *asked),
        ):
            assert [hit["id"] for hit in answer["hits"]] == expected


@pytest.fixture
def folder(wardrobe_world: Path, tiny_encoder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A few pictures and their catalog, to lose one of."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in (wardrobe_world / "val.txt").read_text(encoding="utf-8").split()[:5]:
        shutil.copy(wardrobe_world / "images" / name, pictures / Path(name).name)
    index(pictures, tmp_path / "catalog", encoder=str(tiny_encoder), runtime=Runtime(threads=1))
    return pictures, tmp_path / "catalog"


def test_a_reference_that_is_gone_is_one_line(folder, fused, attached, few_triplets, tiny_catalog, tmp_path):
    pictures, catalog = folder
    opened = Catalog(catalog)
    names, encoder = opened.names, opened.encoder(threads=1)
    queries = tmp_path / "queries.jsonl"
    queries.write_text(json.dumps({"reference": names[0], "modification": TEXT, "targets": names[1:2]}))
    task = load_queries(queries, pictures)
    encoded = EncodedTask(task, encoder, known_vectors(opened, [task]))
    assert encoded.compose(attached).shape == (1, attached.dim)
    (pictures / names[0]).unlink()
    with pytest.raises(DataError, match=f"{names[0]}: no such file.*put the file back") as raised:
        encoded.compose(attached)
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match=f"^{names[0]}: no such file.*put it back"):
        triptych.search(
            catalog,
            text=TEXT,
            options=SearchOptions(like=names[0]),
            engine=EngineOptions(composer=fused),
            runtime=Runtime(threads=1),
        )
    with triptych.open_catalog(catalog, composer=fused, runtime=Runtime(threads=1)) as searchable:
        assert len(searchable.search(like=names[0])) == 4

    moved = shutil.copytree(tiny_catalog, tmp_path / "moved")
    note = json.loads((moved / "catalog.json").read_text())
    (moved / "catalog.json").write_text(json.dumps(note | {"root": str(pictures)}))
    with pytest.raises(DataError, match=r"no such file.*put the file back"):
        train(few_triplets, moved, tmp_path / "out", FUSED, runtime=ONE_THREAD)


def test_eval_asks_it_like_any_other(wardrobe_world, fused, tiny_composer):
    of: dict[str, Any] = {"root": wardrobe_world, "gap": False, "threads": 1}
    both = evaluate("wardrobe", composers=[fused, tiny_composer], **of).rows
    assert [row.method for row in both] == ["transformer", "combiner"]
    assert both[0].metrics["R@10"] > 2 * 100 * 10 / both[0].gallery
    # A composer of the format before answers as it does alone.
    assert evaluate("wardrobe", composers=[tiny_composer], **of).rows == both[1:]


def test_exported_it_needs_no_weights(fused, tiny_catalog, tmp_path):
    vectors, pixels = shown(tiny_catalog, 20)
    answers = {}
    for int8 in (False, True):
        out = tmp_path / f"int8-{int8}"
        triptych.export_models(out, composer=fused, int8=int8)
        composer = TrainedComposer(out / "composer", threads=1)
        composer.attach(load_encoder(str(out / "encoder"), threads=1))
        answers[int8] = composer.compose(vectors, [TEXT] * 20, patches=composer.look(pixels))
        assert not list(out.rglob("model.safetensors"))
    assert (answers[False] * answers[True]).sum(axis=1).min() > 0.97
    assert not np.array_equal(answers[False], answers[True])


def test_names_that_mean_nothing():
    with pytest.raises(UsageError, match="choose one of combiner, transformer") as raised:
        TrainOptions(composer="magic")
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("identity", [0, 8])
def test_patches_are_what_a_vector_is_the_mean_of(identity):
    torch.manual_seed(0)
    model = DualEncoder(EncoderShape(size=32, width=8, dim=16, identity=identity)).eval()
    pixels = torch.rand(3, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        vectors, patches = model.full_picture(pixels), model.patches(pixels)
        mean = patches.float().mean(dim=1)
        shared = torch.nn.functional.normalize(model.picture.project(mean[:, :32]), dim=-1)
    assert patches.dtype == torch.float16
    assert patches.shape == (3, 4, 64 if identity else 32)
    expected = shared * HALF if identity else shared
    torch.testing.assert_close(vectors[:, :16], expected, atol=2e-3, rtol=0)
