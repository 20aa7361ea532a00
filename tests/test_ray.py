"""`--engine ray` against one process, on a cluster of two workers of this machine; how engines and catalog agree."""

import json
import os
import pickle
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chat_helpers import REFERENCES, quick, run
from triptych.catalog import indexing
from triptych.catalog.catalog import Catalog
from triptych.catalog.encoding import EncodedChunk, EncodingTask, LocalEngine
from triptych.catalog.indexing import IndexResult, index
from triptych.core import cluster, environment, neighbours
from triptych.core.cluster import ClusterOptions, RayWorkers
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, FailureError, UsageError
from triptych.core.vectors import Vectors, nearest, unit
from triptych.encoders.registry import load_encoder
from triptych.evaluation.evaluate import evaluate
from triptych.evaluation.options import EvaluateOptions
from triptych.evaluation.results.row import ResultRow
from triptych.mining import pipeline as mining
from triptych.mining import proposer
from triptych.mining.chat.pipeline import mine_chat
from triptych.mining.options import ChatMineOptions, MineOptions
from triptych.mining.pipeline import mine
from triptych.mining.proposer import Proposal, Proposer
from triptych.triplets.file import read_triplets

ONE_THREAD = Runtime(threads=1)
CLUSTER = ClusterOptions(engine="ray", workers=2)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 40 pictures, with a copy in another chunk and a bad one."""
    folder = tmp_path_factory.mktemp("ray") / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(38):
        squares = random.integers(256, size=(4, 4, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(squares).save(folder / f"{number:02}.png")
    shutil.copyfile(folder / "01.png", folder / "39.png")
    (folder / "05b.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_CHUNK", 8)


def made(pictures: Path, catalog: Path, **options) -> tuple[IndexResult, Catalog]:
    result = index(pictures, catalog, encoder="wardrobe", runtime=ONE_THREAD, **options)
    return result, Catalog(catalog)


def assert_same(one: Catalog, other: Catalog) -> None:
    assert one.entries == other.entries
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-6)


class Twice:
    """An engine as Ray's: its workers do not know what the others have encoded."""

    def __call__(
        self, task: EncodingTask, chunks: Sequence[list[str]], known: Container[str], tick: Callable[[], object]
    ) -> Iterator[EncodedChunk]:
        return LocalEngine(1)(task, chunks, frozenset(), tick)


def test_a_copy_that_two_workers_encode_counts_once(pictures, tmp_path, monkeypatch):
    here, catalog = made(pictures, tmp_path / "here")
    monkeypatch.setattr(indexing, "LocalEngine", lambda threads: Twice())
    there, other = made(pictures, tmp_path / "there")
    assert there == here
    assert here.encoded == 38
    assert_same(catalog, other)


class StandIn:
    """What is used of Ray, in this process: what goes to workers and back is pickled, as there."""

    def __init__(self, rows: list[dict[str, bytes]]) -> None:
        self.rows = rows

    def map_batches(self, worker: type, fn_constructor_args: tuple[object, ...], **settings: Any) -> "StandIn":
        made = worker(*pickle.loads(pickle.dumps(fn_constructor_args)))
        return StandIn([made({"item": np.array([row["item"]], object)}) for row in self.rows])

    def iter_batches(self, batch_size: int, prefetch_batches: int) -> Iterator[dict[str, Any]]:
        yield from self.rows


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In place of Ray; the list has how many blocks each data set had."""
    blocks: list[int] = []

    def from_items(rows: list[dict[str, bytes]], override_num_blocks: int) -> StandIn:
        blocks.append(override_num_blocks)
        return StandIn(rows)

    class RayError(Exception):
        cause: Exception | None = None

    context = SimpleNamespace(execution_options=SimpleNamespace(), enable_progress_bars=True)
    data = ModuleType("ray.data")
    data.__dict__.update(
        from_items=from_items,
        ActorPoolStrategy=lambda size: size,
        DataContext=SimpleNamespace(get_current=lambda: context),
    )
    ray = ModuleType("ray")
    ray.__dict__.update(data=data, exceptions=SimpleNamespace(RayError=RayError), is_initialized=lambda: True)
    ray.__dict__.update(put=pickle.dumps, get=pickle.loads)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    monkeypatch.setitem(environment.EXTRAS, "ray", ())  # type: ignore[arg-type]
    return blocks


def test_what_workers_are_sent_makes_the_same_catalog(pictures, tmp_path, monkeypatch, stand_in, capfd):
    here, catalog = made(pictures, tmp_path / "here")
    monkeypatch.setattr(cluster, "_WAVE", 2)
    there, other = made(pictures, tmp_path / "there", cluster=CLUSTER)
    assert there == here
    assert_same(catalog, other)
    assert stand_in == [2, 2, 1]  # 40 pictures, 8 a chunk, 2 chunks at once
    assert capfd.readouterr().err.count("skipped '05b.png'") == 2


def test_workers_mine_the_same_triplets(shown_catalog, vocabulary_file, tmp_path, monkeypatch, stand_in):
    monkeypatch.setattr(mining, "_CHUNK", 4)
    options = MineOptions(vocabulary=vocabulary_file, limit=12, changes=2, reverse=True, candidates=60)
    mine(shown_catalog, tmp_path / "here.parquet", options, runtime=ONE_THREAD)
    result = mine(shown_catalog, tmp_path / "there.parquet", options, runtime=ONE_THREAD, cluster=CLUSTER)
    assert stand_in == [3, 3]  # three parts of the references, and their reverse
    (here, note), (there, other) = (read_triplets(tmp_path / f"{name}.parquet") for name in ("here", "there"))
    assert here == there
    assert result.accepted == sum(one.accepted for one in there) > 0
    assert {**note, "time": "", "seconds": 0} == {**other, "time": "", "seconds": 0}


def test_workers_make_reasoner_and_critic_by_name(shown_catalog, vocabulary_file, tmp_path, stand_in):
    with pytest.raises(UsageError, match="workers make the critic by its name"):
        mine(
            shown_catalog,
            tmp_path / "there.parquet",
            MineOptions(vocabulary_file, limit=2),
            critic=object(),
            cluster=CLUSTER,
        )  # type: ignore[arg-type]


def test_workers_make_no_triplets_of_another_catalog(shown_catalog, vocabulary_file, tmp_path, monkeypatch, stand_in):
    digest = Catalog.digest
    monkeypatch.setattr(Catalog, "digest", property(lambda self: f"{digest.fget(self)}{id(self)}"))  # type: ignore[attr-defined]
    with pytest.raises(FailureError, match="has changed since mining began"):
        mine(
            shown_catalog,
            tmp_path / "there.parquet",
            MineOptions(vocabulary_file, limit=2),
            runtime=ONE_THREAD,
            cluster=CLUSTER,
        )


def test_workers_find_the_groups_for_a_chat_model(noise, server, tmp_path, stand_in):
    run(noise, tmp_path / "here.parquet", quick(server))
    asked = mine_chat(
        noise,
        tmp_path / "there.parquet",
        "loopback",
        quick(server, max_calls=12, concurrency=1),
        ChatMineOptions(limit=REFERENCES, group_size=4),
        cluster=CLUSTER,
    )
    assert stand_in == [1]
    assert asked.calls == 12  # one process counts, so the budget holds whoever finds groups
    assert 0 < asked.pending < REFERENCES
    here, _ = read_triplets(tmp_path / "here.parquet")
    there, _ = read_triplets(tmp_path / "there.parquet")
    assert len(there) > 0
    assert [one for one in here if one.reference in {other.reference for other in there}] == there


def test_workers_encode_what_is_measured(pictures, tmp_path, stand_in, capfd):
    names, gallery = [f"{number:02}.png" for number in range(8)], tmp_path / "pictures"
    gallery.mkdir()
    for name in names:
        shutil.copyfile(pictures / name, gallery / name)
    (gallery / "bad.png").write_bytes(b"no picture")
    lines = [{"reference": names[row], "modification": "in red", "targets": [names[row + 1]]} for row in range(6)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")

    def measured(cluster: ClusterOptions) -> list[ResultRow]:
        options = EvaluateOptions(methods=("sum",), gallery=gallery, gap=False, cluster=cluster)
        return evaluate(str(tmp_path / "mine.jsonl"), options, encoder="wardrobe", runtime=ONE_THREAD).rows

    assert measured(CLUSTER) == measured(ClusterOptions())
    assert stand_in == [1]
    assert capfd.readouterr().err.count("skipped 'bad.png'") == 2


def test_what_goes_wrong_in_a_worker_is_one_line(pictures, tmp_path, monkeypatch, stand_in):
    def fail(*_: object, **__: object) -> Iterator[bytes]:
        raise sys.modules["ray"].exceptions.RayError("a trace\nthe node is gone")
        yield b""

    monkeypatch.setattr(RayWorkers, "_results", fail)
    with pytest.raises(FailureError, match="--engine ray: the node is gone"):
        made(pictures, tmp_path / "catalog", cluster=CLUSTER)


def test_what_a_worker_cannot_do_is_said_as_it_says_it(stand_in):
    with pytest.raises(DataError, match="no such encoder"):
        list(RayWorkers(CLUSTER, 1).map(cannot_begin, (), [1, 2]))
    with pytest.raises(DataError, match="no such picture 2"):
        list(RayWorkers(CLUSTER, 1).map(cannot_go_on, (), [1, 2]))


def cannot_begin() -> Callable[[int], int]:
    raise DataError("no such encoder")


def cannot_go_on() -> Callable[[int], int]:
    def work(item: int) -> int:
        if item == 2:
            raise DataError(f"no such picture {item}")
        return item

    return work


def test_neighbours_and_candidates_are_merged_exactly_from_shards(monkeypatch, stand_in):
    random = np.random.default_rng(0)
    vectors = unit(random.standard_normal((150, 16)))
    vectors[100] = vectors[7]  # equal scores are ordered by row
    rows, scores = nearest(vectors, vectors, 5)
    tags = {"colour": random.dirichlet(np.ones(4), 150).astype(np.float32)}
    tags["colour"][100] = tags["colour"][7]
    proposed = [proposals(vectors, tags)]
    monkeypatch.setattr(neighbours, "SHARD", 40)
    monkeypatch.setattr(neighbours, "_QUERIES", 64)
    monkeypatch.setattr(proposer, "_SHARD", 40)
    found, values = neighbours.nearest_of_each(vectors, 5)
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_allclose(values, scores, atol=1e-6)
    there = neighbours.nearest_of_each(vectors, 5, RayWorkers(CLUSTER, 1))
    np.testing.assert_array_equal(there[0], found)
    np.testing.assert_array_equal(there[1], values)
    proposed.append(proposals(vectors, tags))
    for whole, merged in zip(*proposed, strict=True):
        np.testing.assert_array_equal(whole.candidates, merged.candidates)
        np.testing.assert_allclose(whole.affinity, merged.affinity, atol=1e-4)
    assert len(proposed[0]) == 150


def proposals(vectors: Vectors, tags: dict[str, Any]) -> list[Proposal]:
    return [*Proposer(vectors, tags, ("colour",), width=30, seed=0).propose(range(150), 1)]


def test_options_of_a_cluster_go_with_ray():
    for wrong in ({"address": "head:6379"}, {"workers": 2}, {"gpus_per_worker": 1.0}):
        with pytest.raises(UsageError, match="go with --engine ray"):
            ClusterOptions(**wrong)
    with pytest.raises(UsageError, match="local"):
        ClusterOptions(engine="spark")


def test_without_ray_it_says_what_to_install(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "find_spec", lambda module: None)
    with pytest.raises(UsageError, match=r"--engine ray needs ray .the extra ray"):
        made(pictures, tmp_path / "catalog", cluster=CLUSTER)


def test_an_encoder_without_a_name_cannot_go_to_other_machines(pictures, tmp_path, monkeypatch):
    monkeypatch.setitem(environment.EXTRAS, "ray", ())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="give a name, not an object"):
        index(pictures, tmp_path / "catalog", encoder=load_encoder("wardrobe", threads=1), cluster=CLUSTER)


@pytest.fixture(scope="module")
def real_cluster() -> Iterator[None]:
    """The cluster of RAY_ADDRESS, or one of this machine with room for two workers."""
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    own = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": 2, "include_dashboard": False}
    ray.init(logging_level="warning", **own)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")
def test_a_cluster_makes_the_same_catalog_also_when_a_worker_dies(real_cluster, pictures, tmp_path, monkeypatch, capfd):
    here, catalog = made(pictures, tmp_path / "here")
    there, other = made(pictures, tmp_path / "there", cluster=CLUSTER)
    assert there == here
    assert_same(catalog, other)
    assert "skipped '05b.png'" in capfd.readouterr().err

    monkeypatch.setattr(indexing, "_CHUNK", 2)  # so that there is a middle
    with killed_worker(lambda: len([*(tmp_path / "third").glob("part-*")]) > 0):
        third, again = made(pictures, tmp_path / "third", cluster=CLUSTER)
    assert third == here
    assert_same(catalog, again)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")
def test_a_cluster_mines_the_same_triplets_also_when_a_worker_dies(real_cluster, shown_catalog, tmp_path, monkeypatch):
    monkeypatch.setattr(mining, "_CHUNK", 8)
    options = MineOptions(reverse=True)
    mine(shown_catalog, tmp_path / "here.parquet", options, runtime=ONE_THREAD)
    partial = tmp_path / "there.parquet.partial"
    with killed_worker(lambda: len([*partial.glob("part-*")]) > 0):
        mine(shown_catalog, tmp_path / "there.parquet", options, runtime=ONE_THREAD, cluster=CLUSTER)
    assert read_triplets(tmp_path / "there.parquet")[0] == read_triplets(tmp_path / "here.parquet")[0]


@contextmanager
def killed_worker(begun: Callable[[], bool]) -> Iterator[None]:
    """Kill one worker of the cluster, once the work has begun."""
    killed: list[int] = []
    ended = threading.Event()

    def kill_one() -> None:
        while not killed and not ended.wait(0.05):
            if begun() and (workers := workers_of_ray()):
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        yield
    finally:
        ended.set()
        killer.join()
    assert killed, "no worker was found to kill"


def workers_of_ray() -> list[int]:
    """The processes of this machine's actors."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if command.startswith("ray::") and "_Actor" in command:
            found.append(int(process.name))
    return found


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_without_the_cluster(real_cluster, pictures, tmp_path, monkeypatch):
    _, whole = made(pictures, tmp_path / "whole")
    append = Catalog.append
    appended = []

    def stop(self: Catalog, entries, vectors) -> None:
        appended.append(time.monotonic())
        if len(appended) == 3:
            raise KeyboardInterrupt
        append(self, entries, vectors)

    monkeypatch.setattr(Catalog, "append", stop)
    with pytest.raises(KeyboardInterrupt):
        made(pictures, tmp_path / "catalog", cluster=CLUSTER)
    monkeypatch.setattr(Catalog, "append", append)
    result, catalog = made(pictures, tmp_path / "catalog")
    assert 0 < result.unchanged < 40
    assert_same(whole, catalog)
