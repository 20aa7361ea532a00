"""Names and rows of large galleries, without a Python object for each picture; clusters of vectors by 8 bits."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from triptych.catalog.parts import ROW, latest_rows
from triptych.core.vectors import unit
from triptych.retrieval.stores import gallery as module
from triptych.retrieval.stores.clustering import NearestCentre, centres_of
from triptych.retrieval.stores.gallery import Gallery, fixed_hashes, picture_id
from triptych.retrieval.stores.names import Names, RowsOfIds, SortedRows

NAMES = ["a/1.jpg", "a/2.jpg", "b.jpg", "é.jpg", "\N{GRINNING FACE}.jpg"]


def changed(names: Names) -> Gallery:
    """A gallery of which one picture was removed, one replaced, and one added."""
    table = pa.table({"name": names.column})
    gallery = Gallery(names, np.array(["0" * 64] * len(names), "S64"), table, np.ones(len(names), bool))
    new = ["b.jpg", "0.jpg"]
    return gallery.without(["a/1.jpg"]).extended(new, ["1" * 64] * 2, pa.table({"name": new}))


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
def test_a_large_gallery_finds_the_rows_of_a_small_one(names, monkeypatch):
    small = changed(Names(names))
    monkeypatch.setattr(module, "_MANY", 2)
    large = changed(Names(names))
    assert isinstance(large.row_of, SortedRows) == (names == NAMES)  # only names in order can be looked up in order
    assert isinstance(large.row_of_id, RowsOfIds)
    for one, other in ((small.row_of, large.row_of), (small.row_of_id, large.row_of_id)):
        assert dict(other) == dict(one)
        assert len(other) == len(one) == 5
        for unknown in ("", "a", "a/1.jpg", "zz", picture_id("a/1.jpg"), picture_id("none")):
            assert unknown not in other
    assert large.row_of["b.jpg"] == 5
    assert large.names[5:] == ["b.jpg", "0.jpg"]
    assert list(large.names) == [*names, "b.jpg", "0.jpg"]


def test_names_grow_without_many_chunks():
    names = Names(["a"])
    for number in range(100):
        names = names.extended([f"b{number}"])
    assert len(names) == 101
    assert names[100] == "b99"
    assert names.column.num_chunks < 70


def test_hashes_are_read_from_any_column():
    hashes = [f"{row:064x}" for row in range(5)]
    for column in (pa.chunked_array([hashes[:2], hashes[2:]]), pa.chunked_array([pa.array(["x", *hashes])[1:]])):
        assert fixed_hashes(column).tolist() == [one.encode() for one in hashes]
    assert fixed_hashes(pa.chunked_array([["", "ab"]])).tolist() == [b"", b"ab"]
    assert fixed_hashes(pa.chunked_array([], pa.string())).shape == (0,)


def test_the_latest_row_of_each_name_in_order():
    for names, rows in ((["a", "b", "c"], [0, 1, 2]), (["b", "a", "b", "é", "a", "b"], [4, 5, 3]), ([], [])):
        table = pa.table({"name": pa.array(names, pa.string()), "status": ["ok"] * len(names)})
        found = latest_rows(table, Path("catalog"))
        assert found.column(ROW).to_pylist() == rows
        assert found.column("name").to_pylist() == sorted({*names})


def test_clusters_and_their_nearest_centres():
    random = np.random.default_rng(0)
    right = unit(random.standard_normal((20, 64)) + 3)  # all share a direction, as vectors of pictures do
    lists = random.integers(20, size=2000)
    vectors = unit(right[lists] + 0.02 * random.standard_normal((2000, 64)))
    np.testing.assert_array_equal(NearestCentre(right)(vectors), lists)
    # Of close centres, a list of 8 bits is as good as the nearest.
    few = unit(random.standard_normal((50, 64)))
    products = vectors @ few.T
    chosen = products[np.arange(2000), NearestCentre(few)(vectors)]
    assert (products.max(axis=1) - chosen).max() < 0.01
    centres = centres_of(vectors, 20, 10)
    assert centres.shape == (20, 64)
    assert (vectors @ centres.T).max(axis=1).mean() > 0.97
    twins = np.repeat(right[:2], 10, axis=0)  # fewer distinct vectors than centres
    assert np.isfinite(centres_of(twins, 5, 3)).all()
