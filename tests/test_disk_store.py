"""`--store disk`: vectors on disk and candidates by a compressed index, against exact search in memory."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import triptych
from serving_helpers import picture_file
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, StoreError
from triptych.core.vectors import Vectors, nearest, nearest_in_pieces, unit
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.retrieval.stores import disk, disk_index
from triptych.retrieval.stores.disk import DiskStore
from triptych.retrieval.stores.exact import ExactStore
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.names import Names
from triptych.retrieval.stores.protocol import Rows, SearchTerms

pytest.importorskip("faiss", reason="the extra `faiss` is not installed")

COUNT, DIM = 1500, 36  # a length that no whole bytes stand for
ONE_THREAD = Runtime(threads=1)


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few vectors get an index, too, and are read in several pieces."""
    monkeypatch.setattr(disk_index, "_INDEXED", 600)
    monkeypatch.setattr(disk_index, "_LEAST_CANDIDATES", 60)
    monkeypatch.setattr(disk_index, "_BLOCK", 400)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Around 30 centres."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((30, DIM))
    return unit(unit(centres[random.integers(30, size=COUNT)]) + 0.5 * unit(random.standard_normal((COUNT, DIM))))


@pytest.fixture
def gallery() -> Gallery:
    names = [f"{row:05}" for row in range(COUNT)]
    table = pa.table({"name": names, "price": np.arange(COUNT)})
    return Gallery(Names(names), np.array([f"{row:064}" for row in range(COUNT)], "S64"), table, np.ones(COUNT, bool))


def blocks_of(vectors: Vectors):
    """Piece by piece, in another order."""
    for start in range(1000, -1, -500):
        rows = np.arange(start, start + 500)[::-1]
        yield rows, vectors[rows]


def opened(gallery: Gallery, vectors: Vectors, folder: Path) -> DiskStore:
    return DiskStore(gallery, lambda: blocks_of(vectors), folder, DIM)


TERMS = (
    SearchTerms(10),
    SearchTerms(10, ("price<700",)),
    SearchTerms(10, ("price<20",)),
    SearchTerms(40, ("price>=1495",)),
    SearchTerms(3, (), f"{7:064}"),
    SearchTerms(5, ("price<0",)),
)


@pytest.mark.usefixtures("indexed")
def test_it_finds_what_exact_search_finds(gallery, vectors, tmp_path, capfd):
    store, exact = opened(gallery, vectors, tmp_path / "disk"), ExactStore(gallery, vectors)
    assert store.recall > 0.95
    assert f"disk: the index finds {store.recall:.1%} of the 10 nearest among 1500 pictures" in capfd.readouterr().err
    for term in TERMS:
        queries = vectors[5:1000:50]
        shares = []
        for found, right in zip(store.search(queries, [term] * 20), exact.search(queries, [term] * 20), strict=True):
            assert len(found) == len(right)
            assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
            known = {hit.name: hit.score for hit in right}
            for hit in found:
                if hit.name in known:
                    assert hit.score == pytest.approx(known[hit.name], abs=1e-3)  # half precision
            shares += [len(known.keys() & {hit.name for hit in found}) / len(right)] if right else []
        assert not shares or np.mean(shares) > 0.95, term
    np.testing.assert_allclose(store.vector("00003"), vectors[3], atol=1e-3)


@pytest.mark.usefixtures("indexed")
def test_it_is_made_once_and_follows_the_gallery(gallery, vectors, tmp_path, monkeypatch):
    opened(gallery, vectors, tmp_path / "disk")
    monkeypatch.setattr(disk, "build_index", lambda *_: pytest.fail("made again"))
    asked, ten = vectors[5][None], [SearchTerms(10)]
    (first,) = opened(gallery, vectors, tmp_path / "disk").search(asked, ten)
    # One gone, one changed, two new: the others are not made again.
    names = [name for name in gallery.names if name != first[1].name]
    kept = np.array([gallery.row_of[name] for name in names])
    hashes = gallery.hashes[kept]
    changed = names.index(first[2].name)
    hashes[changed] = f"{'a' * 64}".encode()
    moved = np.concatenate([vectors[kept], vectors[[5, 5]]])
    moved[changed] = -moved[changed]
    table = pa.table({"name": [*names, "new1", "new2"], "price": np.zeros(len(names) + 2, np.int64)})
    other = Gallery(
        Names([*names, "new1", "new2"]), np.append(hashes, [b"1", b"2"]), table, np.ones(len(names) + 2, bool)
    )
    store = DiskStore(other, lambda: iter([(np.arange(len(moved)), moved)]), tmp_path / "disk", DIM)
    found = [hit.name for hit in store.search(asked, ten)[0]]
    assert found[:3] == [first[0].name, "new1", "new2"]
    assert not {first[1].name, first[2].name} & {*found}
    np.testing.assert_array_equal(store.vector("new1"), vectors[5])
    # And while it is open.
    store.add(Rows(["new3"], ["3"], vectors[5][None], pa.table({"name": ["new3"], "price": [1]})))
    store.remove(["new1", first[0].name])
    assert [hit.name for hit in store.search(asked, ten)[0]][:2] == ["new2", "new3"]
    assert [hit.name for hit in store.search(asked, [SearchTerms(10, ("price=1",))])[0]] == ["new3"]


def test_many_new_pictures_or_damaged_files_make_it_anew(gallery, vectors, tmp_path):
    few = Gallery(Names(gallery.names[:500]), gallery.hashes[:500], gallery.metadata.slice(0, 500), np.ones(500, bool))
    folder = tmp_path / "disk"
    DiskStore(few, lambda: iter([(np.arange(500), vectors[:500])]), folder, DIM)
    assert json.loads((folder / "index.json").read_text())["count"] == 500
    store = opened(gallery, vectors, folder)
    assert json.loads((folder / "index.json").read_text())["count"] == COUNT
    asked, ten = vectors[5][None], [SearchTerms(10)]
    right = store.search(asked, ten)
    for damage in ("index.json", "vectors.f16"):
        (folder / damage).write_bytes(b"{}")
        assert opened(gallery, vectors, folder).search(asked, ten) == right
    (folder / "index.json").unlink()
    with pytest.raises(StoreError, match="gone; open the catalog again"):
        store.check()


def test_where_it_cannot_be_written(gallery, vectors, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FailureError, match="open the catalog once with --store disk on a machine that can write there"):
        opened(gallery, vectors, tmp_path / "file" / "disk")


def test_an_empty_catalog(tmp_path):
    none = Gallery(Names([]), np.empty(0, "S64"), pa.table({"name": pa.array([], pa.string())}), np.ones(0, bool))
    for _ in range(2):
        store = DiskStore(none, lambda: iter(()), tmp_path / "disk", DIM)
        assert store.search(np.ones((1, DIM), np.float32), [SearchTerms(10)]) == [[]]


def test_a_catalog_is_searched_on_disk(own_catalog, tmp_path):
    """Through an open catalog: texts, pictures, conditions, additions, another process's changes."""
    shutil.copytree(own_catalog, tmp_path / "copy")
    with (
        triptych.open_catalog(own_catalog, store="disk", runtime=ONE_THREAD) as opened,
        triptych.open_catalog(tmp_path / "copy", runtime=ONE_THREAD) as exact,
    ):

        def same(**asked) -> None:
            found, right = (one.search(**asked, k=10) for one in (opened, exact))
            assert [hit.name for hit in found] == [hit.name for hit in right]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in right], abs=1e-3)

        first = next(iter(exact)).name
        for asked in ({"text": "red shirt"}, {"like": first}, {"like": first, "text": "in blue"}):
            same(**asked)
            same(**asked, where=["colour=red"])
        (added,) = opened.add([picture_file()])
        assert added.name in names_of(opened, picture_file((201, 31, 31)))
        opened.remove([added.id])
        assert added.name not in names_of(opened, picture_file((201, 31, 31)))
    assert len(list(own_catalog.glob("disk-*"))) == 1


def names_of(opened: OpenCatalog, picture: bytes) -> list[str]:
    return [hit.name for hit in opened.search(image=picture, k=5)]


def test_a_composers_space_is_made_of_pieces(tiny_catalog, tiny_composer, tmp_path):
    catalog = tmp_path / "catalog"
    shutil.copytree(tiny_catalog, catalog)
    name = Catalog(catalog).names[1]
    found = {}
    for store in ("exact", "disk"):
        with triptych.open_catalog(catalog, composer=tiny_composer, store=store, force=True, runtime=ONE_THREAD) as one:
            found[store] = [hit.name for hit in one.search(like=name, text="in red", k=12)]
    assert found["disk"] == found["exact"]


def test_pieces_in_any_order_have_the_neighbours_of_the_whole():
    random = np.random.default_rng(3)
    gallery = random.integers(-4, 5, size=(400, 6)).astype(np.float32)  # whole numbers: many ties, and no rounding
    asked = gallery[:40]
    right, scores = nearest(asked, gallery, 12)
    pieces = ((rows, gallery[rows]) for rows in np.array_split(random.permutation(400), 7))
    found, values = nearest_in_pieces(asked, pieces, 12)
    np.testing.assert_array_equal(found, right)
    np.testing.assert_array_equal(values, scores)
    few, _ = nearest_in_pieces(asked, [(np.arange(3), gallery[:3])], 12)
    assert few.shape == (40, 3)
