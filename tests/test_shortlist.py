"""A shortlist by vectors in 8 bits finds what exact search finds, whatever the vectors are like."""

import numpy as np
import pyarrow as pa
import pytest

from triptych.core.vectors import Vectors, unit
from triptych.retrieval.stores import exact, shortlist
from triptych.retrieval.stores.exact import ExactStore
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.names import Names
from triptych.retrieval.stores.protocol import Rows, SearchTerms
from triptych.retrieval.stores.shortlist import Shortlist

COUNT, DIM = 1500, 48


def drawn(kind: str, count: int = COUNT) -> Vectors:
    random = np.random.default_rng(0)
    noise = random.standard_normal((count, DIM)).astype(np.float32)
    if kind == "with large parts in common":  # as CLIP's
        noise[:, 3] += 30
        noise[:, 7] *= 0.001
    elif kind == "around centres":
        noise = unit(random.standard_normal((10, DIM)))[random.integers(10, size=count)] + 0.1 * unit(noise)
    elif kind == "copies":
        noise = noise[random.integers(20, size=count)]
    elif kind == "almost one":
        noise = noise[:1] + 1e-4 * noise
    return unit(noise)


def store_of(vectors: Vectors) -> ExactStore:
    names = [f"{row}.png" for row in range(len(vectors))]
    columns = {"name": names, "shop": ["b" if row % 8 else "a" for row in range(len(vectors))]}
    hashes = np.array([f"{row:064}" for row in range(len(vectors))], "S64")
    return ExactStore(Gallery(Names(names), hashes, pa.table(columns), np.ones(len(names), bool)), vectors)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_WORTH", 1)
    monkeypatch.setattr(shortlist, "_SHARD", 400)


@pytest.mark.parametrize("kind", ["anywhere", "with large parts in common", "around centres", "copies", "almost one"])
def test_it_finds_the_same(kind: str):
    vectors = drawn(kind)
    queries = np.concatenate([vectors[:3], unit(np.random.default_rng(1).standard_normal((4, DIM)))])
    plain, quick = store_of(vectors), store_of(vectors)
    quick.prepare()
    terms = [
        SearchTerms(10),
        SearchTerms(1),
        SearchTerms(40, without=(f"{2:064}",)),
        SearchTerms(10, ("shop=a",)),
        SearchTerms(10, ("shop=b",)),
        SearchTerms(COUNT + 5),
        SearchTerms(10, ("shop=c",)),
    ]
    for one, other in zip(plain.search(queries, terms), quick.search(queries, terms), strict=True):
        assert_same(one, other, exactly=kind in {"anywhere", "with large parts in common"})


def assert_same(one: list, other: list, *, exactly: bool) -> None:
    np.testing.assert_allclose([hit.score for hit in one], [hit.score for hit in other], atol=1e-6)
    if exactly:  # else rounding decides among equals
        assert [hit.name for hit in one] == [hit.name for hit in other]


def test_the_shortlist_is_short_and_nothing_is_lost():
    vectors = drawn("anywhere")
    queries = unit(np.random.default_rng(1).standard_normal((20, DIM)))
    found = Shortlist(vectors).candidates(queries, [None] * 20, [10] * 20)
    for query, rows in zip(queries, found, strict=True):
        assert {*np.argsort(-(vectors @ query))[:10].tolist()} <= {*rows.tolist()}
        assert len(rows) < 100


def test_pictures_that_are_added_or_removed_later_are_seen():
    vectors = drawn("anywhere")
    store = store_of(vectors)
    store.prepare()
    store.prepare()
    table = pa.table({"name": ["new.png"], "shop": ["a"]})
    store.add(Rows(["new.png"], ["f" * 64], vectors[5:6], table))
    found = [hit.name for hit in store.search(vectors[5:6], [SearchTerms(3)])[0]]
    assert found[:2] == ["5.png", "new.png"]
    store.remove(["5.png"])
    found = [hit.name for hit in store.search(vectors[5:6], [SearchTerms(3)])[0]]
    assert found[0] == "new.png"
    assert "5.png" not in found


def test_an_empty_store_needs_none():
    store = store_of(drawn("anywhere", 1)[:0])
    store.prepare()
    assert store.search(drawn("anywhere", 1), [SearchTerms(3)]) == [[]]
