"""Whatever the store, the same answers: in memory, in a real PostgreSQL, and up to its stated recall approximately."""

import json
import os
import re
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import triptych
from serving_helpers import picture_file
from test_cli import run
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, StoreError, UsageError
from triptych.core.vectors import unit
from triptych.encoders.protocol import Encoder
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.retrieval.options import EngineOptions, SearchOptions
from triptych.retrieval.results import Hit
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.metadata import MetadataTable

WHERE = (
    (),
    ("colour=Red",),
    ("colour!=red",),
    ("line>1000003",),
    ("line<=1000010", "kind!=dress"),
    ("colour>orange",),
    ("print!=none",),
    ("name>=w000100",),
    ("colour=no such colour",),
)


def ranking(hits: list[Hit]) -> list[str]:
    return [hit.name for hit in hits]


def assert_same(opened: OpenCatalog, exact: OpenCatalog) -> None:
    name = next(iter(exact)).name
    for where in WHERE:
        for asked in ({"text": "red shirt"}, {"like": name}, {"like": name, "text": "in blue"}):
            expected = exact.search(**asked, where=where, k=15)  # type: ignore[arg-type]
            found = opened.search(**asked, where=where, k=15)  # type: ignore[arg-type]
            assert ranking(found) == ranking(expected), (where, asked)
            np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], atol=3e-6)
            assert [hit.metadata for hit in found] == [hit.metadata for hit in expected]


def test_postgres_answers_as_memory_does(shown_catalog: Path, database: str) -> None:
    with triptych.open_catalog(shown_catalog, runtime=Runtime(threads=1)) as exact:
        for _ in range(2):  # filled, and found filled
            with triptych.open_catalog(shown_catalog, store=database, runtime=Runtime(threads=1)) as opened:
                assert_same(opened, exact)


def test_postgres_holds_a_composers_space_too(tiny_catalog: Path, tiny_composer: Path, database: str) -> None:
    name = Catalog(tiny_catalog).names[1]
    options, runtime = SearchOptions(like=name, k=12), Runtime(threads=1)
    memory, table = EngineOptions(composer=tiny_composer), EngineOptions(composer=tiny_composer, store=database)
    expected, found = (
        triptych.search(tiny_catalog, text="in red", options=options, engine=engine, runtime=runtime)
        for engine in (memory, table)
    )
    assert ranking(found) == ranking(expected)


def test_postgres_follows_the_catalog(own_catalog: Path, database: str) -> None:
    with triptych.open_catalog(own_catalog, store=database, runtime=Runtime(threads=1)) as opened:
        (added,) = opened.add([picture_file()], [{"colour": "vermilion"}])
        assert ranking(opened.search(text="red", where=["colour=vermilion"])) == [added.name]
        opened.remove([added.id])
        assert opened.search(text="red", where=["colour=vermilion"]) == []
        # One that knows nothing of the database.
        with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as other:
            (second,) = other.add([picture_file((0, 9, 0))], [{"colour": "vermilion"}])
            other.remove([opened.search(text="red", k=1)[0].id])
        assert opened.refresh()
        assert ranking(opened.search(text="red", where=["colour=vermilion"])) == [second.name]
        with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as exact:
            assert_same(opened, exact)


def test_postgres_is_asked_again_where_the_connection_was_cut(shown_catalog: Path, database: str) -> None:
    import psycopg

    with triptych.open_catalog(shown_catalog, store=database, runtime=Runtime(threads=1)) as opened:
        expected = opened.search(text="red")
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert opened.search(text="red") == expected


def test_an_index_of_pgvector_keeps_conditions_first(shown_catalog: Path, database: str) -> None:
    import psycopg

    with triptych.open_catalog(shown_catalog, store=database, runtime=Runtime(threads=1)) as opened:
        colours = opened.metadata.column("colour").to_pylist()
        rarest = min(set(colours), key=colours.count)
        with psycopg.connect(database, autocommit=True) as other:
            tables = other.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'triptych%'").fetchall()
            for (table,) in tables:
                other.execute(f"CREATE INDEX ON {table} USING hnsw (vector vector_ip_ops)")  # type: ignore[arg-type]
        found = opened.search(text="red shirt", where=[f"colour={rarest}"], k=1000)
        assert len(found) == colours.count(rarest)


def test_postgres_follows_what_is_known_of_a_picture(own_catalog: Path, database: str) -> None:
    """Though its file stays as it is."""
    with triptych.open_catalog(own_catalog, store=database, runtime=Runtime(threads=1)) as searchable:
        name = next(iter(searchable)).name
        assert searchable.search(text="red", where=["colour=octarine"]) == []
        opened = Catalog(own_catalog)
        colours = ["Octarine" if one == name else "red" for one in opened.names]
        opened.keep_metadata(pa.table({"name": opened.names, "colour": colours}))
        assert searchable.refresh()
        assert ranking(searchable.search(text="red", where=["colour=octarine"])) == [name]


def test_a_table_belongs_to_one_catalog(own_catalog: Path, tmp_path: Path, database: str) -> None:
    """Not to another one at the same path in another container, nor to a copy."""
    copy = shutil.copytree(own_catalog, tmp_path / "copy")
    with triptych.open_catalog(own_catalog, store=database, runtime=Runtime(threads=1)) as opened:
        names = ranking(opened.search(text="red", k=1000))
        note = json.loads((own_catalog / "catalog.json").read_text(encoding="utf-8"))
        (own_catalog / "catalog.json").write_text(json.dumps(note | {"id": "another"}), encoding="utf-8")
        for folder, name in ((own_catalog, names[0]), (copy, names[1])):
            with triptych.open_catalog(folder, store=database, runtime=Runtime(threads=1)) as other:
                other.remove([name])
        assert ranking(opened.search(text="red", k=1000)) == names


def test_an_index_of_ivfflat_keeps_conditions_first(own_catalog: Path, database: str) -> None:
    import psycopg

    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as exact:
        name = next(iter(exact)).name
        colours = exact.metadata.column("colour").to_pylist()
        asked: dict[str, Any] = {"like": name, "where": [f"colour={min(set(colours), key=colours.count)}"], "k": 1000}
        expected = exact.search(**asked)
    with psycopg.connect(database, autocommit=True) as other:
        triptych.open_catalog(own_catalog, store=database, runtime=Runtime(threads=1)).load()
        (table,) = other.execute("SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY oid DESC").fetchone() or ()
        other.execute(f"CREATE INDEX ON {table} USING ivfflat (vector vector_ip_ops) WITH (lists = 20)")  # type: ignore[arg-type]
        settings = ("enable_seqscan = off", "enable_sort = off", "enable_bitmapscan = off", "ivfflat.max_probes = 1")
        for setting in settings:  # the index, and less of it than there must be
            other.execute(f"ALTER ROLE CURRENT_USER SET {setting}")  # type: ignore[arg-type]
        try:
            with triptych.open_catalog(own_catalog, store=database, runtime=Runtime(threads=1)) as opened:
                assert ranking(opened.search(**asked)) == ranking(expected)
                nearest = opened.search(like=name, k=5)
                assert [hit.score for hit in nearest] == sorted((hit.score for hit in nearest), reverse=True)
        finally:
            other.execute("ALTER ROLE CURRENT_USER RESET ALL")


def test_a_search_waits_for_no_addition(own_catalog: Path, database: str) -> None:
    """Which the database makes wait, for as long as this test wants."""
    import psycopg

    with (
        triptych.open_catalog(own_catalog, store=database, runtime=Runtime(threads=1)) as opened,
        psycopg.connect(database) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        opened.load()
        expected = opened.search(text="red")
        (table,) = other.execute("SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY oid DESC").fetchone() or ()
        other.execute(f"LOCK TABLE {table} IN SHARE MODE")  # type: ignore[arg-type]
        adding = pool.submit(opened.add, [picture_file()])
        try:
            while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                assert not adding.done(), adding.exception()
            asked = pool.submit(lambda: (opened.search(text="red"), opened.picture(expected[0].id)))
            found, picture = asked.result(10)
            assert (found, picture.name) == (expected, expected[0].name)
            assert not adding.done()
        finally:
            other.rollback()
        (added,) = adding.result(60)
        assert added.name in ranking(opened.search(text="red", k=1000))


@pytest.mark.parametrize("how", ["a lock", "a stopped server"])
def test_a_database_that_hangs_is_given_up(
    own_catalog: Path, database: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setattr("triptych.retrieval.stores.connections._STATEMENT", 0.3)
    with (
        triptych.open_catalog(own_catalog, store=database, runtime=Runtime(threads=1)) as opened,
        psycopg.connect(database) as other,
    ):
        expected = opened.search(text="red")
        backends = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        pids = [pid for (pid,) in other.execute(backends).fetchall()]
        (table,) = other.execute("SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY oid DESC").fetchone() or ()
        if how == "a lock":
            other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")  # type: ignore[arg-type]
        else:
            monkeypatch.setattr("triptych.retrieval.stores.connections._SILENCE", 0.3)
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreError, match="timeout" if how == "a lock" else "no answer") as raised:
                opened.search(text="red")
            assert "\n" not in str(raised.value)
        finally:
            other.rollback()
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        monkeypatch.setattr("triptych.retrieval.stores.connections._SILENCE", 60)
        assert opened.search(text="red") == expected


def test_no_database_is_one_line(shown_catalog: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    with (
        pytest.raises(FailureError) as raised,
        triptych.open_catalog(shown_catalog, store="postgresql://somebody:secret@127.0.0.1:1/none") as opened,
    ):
        opened.search(text="red")
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_approximate_index_states_its_recall(own_catalog: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("faiss", reason="the extra `faiss` is not installed")
    with (
        triptych.open_catalog(own_catalog, store="hnsw", runtime=Runtime(threads=1)) as opened,
        triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as exact,
    ):
        hits = opened.search(text="red shirt", k=10)
        assert "of the 10 nearest" in capfd.readouterr().err
        found = set(ranking(hits)) & set(ranking(exact.search(text="red shirt", k=10)))
        assert len(found) >= 8
        for where in WHERE:
            asked = {"text": "red shirt", "where": where, "k": 40}
            assert len(opened.search(**asked)) == len(exact.search(**asked))  # type: ignore[arg-type]
        (added,) = opened.add([picture_file()])
        assert added.name in ranking(opened.search(image=picture_file((201, 31, 31)), k=5))
        opened.remove([hits[0].id])
        assert hits[0].name not in ranking(opened.search(text="red shirt", k=10))


OWN_STORE = """
import numpy as np
from triptych.retrieval.stores.protocol import StoreHit


class Sorted:
    \"\"\"Sorts all pictures by their score; made of a gallery and vectors alone.\"\"\"

    made = []

    def __init__(self, gallery, vectors):
        self.gallery, self.vectors = gallery, vectors()
        self.made.append(self)

    def search(self, queries, terms):
        scores = queries @ self.vectors.T
        return [self._one(row, term) for row, term in zip(scores, terms)]

    def _one(self, scores, term):
        allowed = self.gallery.allowed(term)
        best = [row for row in np.argsort(-scores, kind="stable").tolist() if allowed[row]]
        return [StoreHit(self.gallery.names[row], float(scores[row])) for row in best[: term.k]]

    def vector(self, name):
        return self.vectors[self.gallery.row_of[name]]

    def add(self, rows):
        self.gallery = self.gallery.extended(rows.names, rows.hashes, rows.metadata)
        self.vectors = np.concatenate([self.vectors, rows.vectors])

    def remove(self, names):
        self.gallery = self.gallery.without(names)

    def check(self):
        pass


class Lacking:
    def __init__(self, gallery):
        pass

    def search(self, queries, terms):
        return []
"""


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of somebody else's, which has a store."""
    (tmp_path / "shop_stores.py").write_text(OWN_STORE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.delitem(sys.modules, "shop_stores", raising=False)
    return import_module("shop_stores")


def test_a_store_of_ones_own(own_catalog: Path, own_store: Any) -> None:
    with (
        triptych.open_catalog(own_catalog, store=own_store.Sorted, runtime=Runtime(threads=1)) as opened,
        triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as exact,
    ):
        assert_same(opened, exact)
        (added,) = opened.add([picture_file()])
        assert added.name in ranking(opened.search(text="red", k=1000))
        opened.remove([added.id])
        assert added.name not in ranking(opened.search(text="red", k=1000))
    assert own_store.Sorted.made


def test_a_store_of_ones_own_holds_a_composers_space_too(
    tiny_catalog: Path, tiny_composer: Path, own_store: Any
) -> None:
    options = SearchOptions(like=Catalog(tiny_catalog).names[1], k=12)
    expected, found = (
        triptych.search(tiny_catalog, text="in red", options=options, engine=engine, runtime=Runtime(threads=1))
        for engine in (EngineOptions(composer=tiny_composer), EngineOptions(None, tiny_composer, "shop_stores:Sorted"))
    )
    assert ranking(found) == ranking(expected)
    assert len(own_store.Sorted.made) == 2


def test_a_store_of_ones_own_on_the_command_line(shown_catalog: Path, own_store: Any) -> None:
    asked = ("search", "--catalog", shown_catalog, "--text", "red shirt", "-k", 5, "--threads", 1)
    expected, found = run(*asked), run(*asked, "--store", "shop_stores:Sorted")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == expected.stdout


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (
            "mysql://x",
            "--store mysql://x: there is no such store; there are exact, hnsw, disk, postgresql://USER@HOST/DATABASE",
        ),
        ("no_such_module:Store", "--store no_such_module:Store: cannot be imported"),
        ("shop_stores:Lacking", "shop_stores:Lacking: is no store; it lacks vector, add, remove, check"),
        ("shop_stores:OWN", "--store shop_stores:OWN: cannot be imported"),
    ],
)
def test_a_store_that_is_none(shown_catalog: Path, own_store: Any, store: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as raised:
        triptych.open_catalog(shown_catalog, store=store, runtime=Runtime(threads=1)).load()
    assert "\n" not in str(raised.value)


def test_vectors_of_one_space_are_no_store_of_a_catalog(shown_catalog: Path, own_store: Any) -> None:
    gallery = Gallery.of(Catalog(shown_catalog))
    made = own_store.Sorted(gallery, lambda: Catalog(shown_catalog).vectors)
    with pytest.raises(UsageError, match="Sorted: is a store that already holds vectors; give its class"):
        triptych.open_catalog(shown_catalog, store=made)


class Towards:
    """A composer of somebody else's: it lets the words pull a reference, and has no space of its own."""

    name = "towards"

    def attach(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def compose(self, references: Any, modifications: Any, changes: Any = None) -> Any:
        return unit(references + self.encoder.encode_texts(modifications))

    def gallery(self, vectors: Any) -> Any:
        return vectors


def test_a_composer_of_ones_own(own_catalog: Path) -> None:
    name = Catalog(own_catalog).names[3]
    with (
        triptych.open_catalog(own_catalog, composer=Towards(), runtime=Runtime(threads=1)) as opened,
        triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as plain,
    ):
        expected = ranking(plain.search(like=name, text="in red", k=20))
        assert ranking(opened.search(like=name, text="in red", k=20)) == expected
        (added,) = opened.add([picture_file()])
        assert added.name in ranking(opened.search(like=name, text="in red", k=1000))
        assert added.name in ranking(opened.search(text="red", k=1000))


def test_a_database_needs_to_know_a_composers_space(own_catalog: Path, database: str) -> None:
    with triptych.open_catalog(own_catalog, composer=Towards(), store=database, runtime=Runtime(threads=1)) as opened:
        with pytest.raises(UsageError, match="gallery_fingerprint"):
            opened.search(like=Catalog(own_catalog).names[0], text="in red")
        assert opened.search(text="red", k=3)


def test_exported_to_faiss(shown_catalog: Path, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss", reason="the extra `faiss` is not installed")
    result = triptych.export_vectors(shown_catalog, tmp_path / "out", to="faiss")
    index = faiss.read_index(str(tmp_path / "out" / "index.faiss"))
    names = json.loads((tmp_path / "out" / "pictures.json").read_text(encoding="utf-8"))["names"]
    opened = Catalog(shown_catalog)
    assert result.vectors == index.ntotal == len(names) == len(opened.names)
    _, rows = index.search(opened.vectors[:20], 1)
    assert [names[row] for (row,) in rows] == opened.names[:20]
    approximate = triptych.export_vectors(shown_catalog, tmp_path / "hnsw", to="faiss", approximate=True)
    assert approximate.recall_at_10 is not None
    assert approximate.recall_at_10 >= 0.9
    assert faiss.read_index(str(tmp_path / "hnsw" / "index.faiss")).ntotal == len(names)


def test_exported_to_qdrant(tiny_catalog: Path, tiny_composer: Path, tmp_path: Path) -> None:
    triptych.export_vectors(tiny_catalog, tmp_path, to="qdrant", composer=tiny_composer)
    collection = json.loads((tmp_path / "collection.json").read_text(encoding="utf-8"))
    points = [
        point
        for file in sorted(tmp_path.glob("points-*.json"))
        for point in json.loads(file.read_text(encoding="utf-8"))["points"]
    ]
    opened = Catalog(tiny_catalog)
    assert [point["payload"]["name"] for point in points] == opened.names
    assert len({point["id"] for point in points}) == len(points)
    vectors = np.array([point["vector"] for point in points], np.float32)
    moved = triptych.TrainedComposer(tiny_composer, 1).gallery(opened.vectors)
    np.testing.assert_array_equal(vectors, moved)
    assert collection["vectors"] == {"size": vectors.shape[1], "distance": "Dot"}


def test_bad_exports(shown_catalog: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        triptych.export_vectors(shown_catalog, tmp_path, to="elsewhere")
    with pytest.raises(UsageError):
        triptych.export_vectors(shown_catalog, tmp_path, to="qdrant", approximate=True)


def test_metadata_leaves_out_what_is_not_known_and_hold_what_json_can() -> None:
    table = pa.table(
        {
            "name": ["a", "b", "c"],
            "colour": ["red", None, ""],
            "price": [1.5, float("nan"), float("inf")],
            "sold": [True, None, False],
        }
    )
    facts = MetadataTable.of(table)
    known = [{"colour": "red", "price": 1.5, "sold": True}, {}, {"price": "inf", "sold": False}]
    assert facts([0, 1, 2]) == known
    assert facts([2, 0]) == [known[2], known[0]]
    more = facts.extended(pa.table({"name": ["d"], "sold": [True], "price": [None], "colour": ["blue"]}))
    assert more([3, 0]) == [{"colour": "blue", "sold": True}, known[0]]
    assert facts([0]) == known[:1]


def test_metadata_of_pictures_without_any_is_empty() -> None:
    assert MetadataTable.of(pa.table({"name": ["a", "b"]}))([1, 0]) == [{}, {}]
