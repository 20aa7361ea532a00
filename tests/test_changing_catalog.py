"""Many clients search while pictures are added, changed and removed: no error, and no answer that is stale."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import triptych
from serving_helpers import Service
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.core.vectors import Vectors
from triptych.retrieval.stores.exact import ExactStore
from triptych.retrieval.stores.protocol import SearchTerms, StoreHit

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from changing_catalog import ChangingCatalog
from triptych.serving.facets import Facets


@pytest.mark.parametrize(("clients", "rounds"), [(16, 12), pytest.param(64, 12, marks=pytest.mark.slow)])
def test_no_answer_contradicts_what_was_acknowledged(own_catalog: Path, clients: int, rounds: int) -> None:
    with Service(own_catalog) as service:
        outcome = ChangingCatalog(service, "colour", writers=3, seed=0).run(clients, lambda asked: asked >= rounds)
        assert (outcome.errors, outcome.stale) == ([], [])
        assert {"by a condition", "without what was removed"} <= set(outcome.checked)
        assert min(map(len, (outcome.taken[kind] for kind in ("add", "change", "remove")))) >= 1
        assert service.end(signal.SIGTERM) == 0


def test_facets_are_counted_again_after_a_change(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as library:
        facets, first = Facets(), library.pictures(1)[0]
        described = facets(library.metadata)
        assert facets(library.metadata) is described  # nothing has changed

        def counted() -> int:
            (column,) = [one for one in facets(library.metadata) if one["name"] == "colour"]
            return dict(zip(column["values"], column["counts"], strict=True)).get("puce", 0)

        library.update({first.id: {"colour": "puce"}})
        assert counted() == 1
        library.remove([first.id])
        assert counted() == 0
        assert len(library.metadata) == len(library)


def test_a_picture_may_go_while_a_search_is_under_way(own_catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        search, vector = ExactStore.search, ExactStore.vector
        first, second = (hit.name for hit in opened.search(text="shirt", k=2))

        def then_gone(store: ExactStore, queries: Vectors, terms: Sequence[SearchTerms]) -> list[list[StoreHit]]:
            found = search(store, queries, terms)
            if first in store.gallery.row_of:
                opened.remove([first])
            return found

        def gone_before(store: ExactStore, name: str) -> Vectors:
            if name == second and name in store.gallery.row_of:
                opened.remove([second])
            return vector(store, name)

        monkeypatch.setattr(ExactStore, "search", then_gone)
        assert opened.search(text="shirt", k=2, unique=True)[0].name == second
        monkeypatch.setattr(ExactStore, "vector", gone_before)
        with pytest.raises(UsageError, match="no picture with this name"):
            opened.search(like=second)
