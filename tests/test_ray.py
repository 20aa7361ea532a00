"""`--engine ray` against one process, on a cluster of two workers of this machine; how engines and catalog agree."""

import os
import pickle
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from triptych.catalog import indexing, ray_engine
from triptych.catalog.catalog import Catalog
from triptych.catalog.encoding import EncodedChunk, EncodingTask, LocalEngine
from triptych.catalog.indexing import IndexResult, index
from triptych.catalog.ray_engine import RayEngine
from triptych.core import environment
from triptych.core.cluster import ClusterOptions
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, FailureError, UsageError
from triptych.encoders.registry import load_encoder

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
        self.settings: dict[str, Any] = {}

    def map_batches(self, worker: type, fn_constructor_args: tuple[object, ...], **settings: Any) -> "StandIn":
        made = worker(*pickle.loads(pickle.dumps(fn_constructor_args)))
        mapped = StandIn([made({"chunk": np.array([row["chunk"]], object)}) for row in self.rows])
        mapped.settings = settings
        return mapped

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
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    monkeypatch.setitem(environment.EXTRAS, "ray", ())  # type: ignore[arg-type]
    return blocks


def test_what_workers_are_sent_makes_the_same_catalog(pictures, tmp_path, monkeypatch, stand_in, capfd):
    here, catalog = made(pictures, tmp_path / "here")
    monkeypatch.setattr(ray_engine, "_WAVE", 2)
    there, other = made(pictures, tmp_path / "there", cluster=CLUSTER)
    assert there == here
    assert_same(catalog, other)
    assert stand_in == [2, 2, 1]  # 40 pictures, 8 a chunk, 2 chunks at once
    assert capfd.readouterr().err.count("skipped '05b.png'") == 2


def test_what_goes_wrong_in_a_worker_is_one_line(pictures, tmp_path, monkeypatch, stand_in):
    ray = sys.modules["ray"]
    for cause, message in ((None, "--engine ray: the node is gone"), (DataError("no such encoder"), "no such encoder")):

        def fail(*_: object, cause: Exception | None = cause) -> Iterator[bytes]:
            error = ray.exceptions.RayError("a trace\nthe node is gone")
            error.cause = cause
            raise error
            yield b""

        monkeypatch.setattr(RayEngine, "_encoded", fail)
        with pytest.raises(FailureError, match=message):
            made(pictures, tmp_path / "catalog", cluster=CLUSTER)


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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for workers in /proc")
def test_a_cluster_makes_the_same_catalog_also_when_a_worker_dies(pictures, tmp_path, monkeypatch, capfd):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    here, catalog = made(pictures, tmp_path / "here")
    there, other = made(pictures, tmp_path / "there", cluster=CLUSTER)
    assert there == here
    assert_same(catalog, other)
    assert "skipped '05b.png'" in capfd.readouterr().err

    monkeypatch.setattr(indexing, "_CHUNK", 2)  # so that there is a middle
    killed: list[int] = []
    ended = threading.Event()

    def kill_one() -> None:
        while not killed and not ended.wait(0.05):
            parts = len(list((tmp_path / "third").glob("part-*")))
            if parts and (workers := workers_of_ray()):
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        third, again = made(pictures, tmp_path / "third", cluster=CLUSTER)
    finally:
        ended.set()
        killer.join()
    assert killed, "no worker was found to kill"
    assert third == here
    assert_same(catalog, again)


def workers_of_ray() -> list[int]:
    """The processes of this machine's actors that encode."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if command.startswith("ray::") and "_Worker" in command:
            found.append(int(process.name))
    return found


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_without_the_cluster(pictures, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
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
