"""A catalog opened once: searched by picture, name or id, paged, filtered, added to and taken from."""

from pathlib import Path
from threading import Thread

import numpy as np
import pytest

import triptych
from serving_helpers import picture_file
from triptych.catalog.catalog import Catalog
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, PictureError, UsageError
from triptych.core.files import locked
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.retrieval.options import SearchOptions
from triptych.retrieval.query import SearchQuery


def test_a_library_answers_as_search_does(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        name = Catalog(own_catalog).names[3]
        path = opened.picture(name).path
        by_file = opened.search(image=path, text="in red", k=5)
        assert by_file == triptych.search(
            own_catalog,
            image=path,
            text="in red",
            options=SearchOptions(k=5),
            runtime=Runtime(threads=1),
        )
        assert by_file == opened.search(like=name, text="in red", k=5)
        assert by_file == opened.search(like=opened.picture(name).id, text="in red", k=5)
        assert by_file == opened.search(image=Path(path).read_bytes(), text="in red", k=5)
        assert by_file[0].metadata["colour"]
        assert name not in {hit.name for hit in opened.search(like=name, k=1000)}


def test_pages_join_into_the_whole(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        whole = opened.search(text="red shirt", k=30)
        pages = [hit for offset in range(0, 30, 10) for hit in opened.search(text="red shirt", k=10, offset=offset)]
        assert pages == whole
        assert opened.search(text="red shirt", k=10, offset=10_000) == []


def test_many_queries_at_once_answer_as_one_by_one(tiny_catalog: Path, tiny_composer: Path) -> None:
    with triptych.open_catalog(tiny_catalog, composer=tiny_composer, runtime=Runtime(threads=1)) as opened:
        names = Catalog(tiny_catalog).names
        queries = [
            SearchQuery(opened.reference(like=names[0]), "in red", k=3),
            SearchQuery(None, "blue shirt", k=4),
            SearchQuery(opened.reference(like=names[1]), k=5),
            SearchQuery(opened.reference(like=names[2]), "with stripes", k=6, offset=2),
        ]
        together = opened.answer(queries).hits
        for query, hits in zip(queries, together, strict=True):
            alone = opened.answer([query]).hits[0]
            assert [hit.name for hit in hits] == [hit.name for hit in alone]
            assert [hit.rank for hit in hits] == list(range(query.offset + 1, query.offset + query.k + 1))


def test_iterating_gives_every_picture_with_its_metadata(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog) as opened:
        pictures = list(opened)
        assert len(pictures) == len(opened) == len(Catalog(own_catalog).names)
        assert len({picture.id for picture in pictures}) == len(pictures)
        assert all(picture.metadata["colour"] and "/" not in picture.id for picture in pictures)


def test_what_is_added_can_be_found_now_and_after(own_catalog: Path) -> None:
    data = picture_file()
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        before = len(opened)
        (added,) = opened.add([data], [{"colour": "scarlet"}])
        assert len(opened) == before + 1
        assert opened.search(where=["colour=SCARLET"], text="red") == [
            hit for hit in opened.search(text="red", k=1000, where=["colour=scarlet"]) if hit.id == added.id
        ]
        assert opened.add([data]) == [added]
        assert len(opened) == before + 1
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as again:
        assert again.picture(added.id).metadata == {"colour": "scarlet"}
        assert Path(again.picture(added.id).path).read_bytes() == data
    # The folder's own refresh keeps it too.
    assert (
        triptych.index(
            Path(Catalog(own_catalog).root), own_catalog, runtime=Runtime(threads=1), encoder="wardrobe"
        ).encoded
        == 0
    )
    assert added.name in Catalog(own_catalog).names


def test_what_was_added_outlives_a_list_and_a_table(own_catalog: Path, few_garments: Path, tmp_path: Path) -> None:
    first, second = Catalog(own_catalog).names[:2]
    root = Catalog(own_catalog).root
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        metadata = {"colour": "scarlet", "line": "7"}
        added, other = opened.add([picture_file(), picture_file((0, 9, 0))], [metadata, {}])
    (tmp_path / "list.txt").write_text(f"{first}\n{second}\n", encoding="utf-8")

    def index(table: str) -> triptych.IndexResult:
        (tmp_path / "table.csv").write_text(table, encoding="utf-8")
        return triptych.index(
            tmp_path / "list.txt",
            own_catalog,
            triptych.IndexOptions(prune=True),  # the list leaves out most of the catalog, on purpose
            root=root,
            metadata=tmp_path / "table.csv",
            runtime=Runtime(threads=1),
            encoder="wardrobe",
        )

    facts = index((few_garments / "garments.csv").read_text(encoding="utf-8"))
    assert (facts.total, facts.encoded) == (4, 0)
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        assert opened.picture(added.id) == added
        assert opened.picture(first).metadata["colour"]
    # A column that was removed, one of other values, and one of words where there were numbers.
    index(f"name,line,note\n{first},12th,\n{other.name},3,new\n")
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        assert opened.picture(added.id).metadata == {"colour": "scarlet", "line": "7"}
        assert opened.picture(other.id).metadata == {"line": "3", "note": "new"}
        assert opened.picture(first).metadata == {"line": "12th"}
        opened.remove([added.id])
    index(f"name,line\n{first},1.5\n")
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        assert [picture.metadata for picture in opened] == [{"line": 3.0, "note": "new"}, {"line": 1.5}, {}]


def test_a_column_in_which_nothing_is_known_yet(own_catalog: Path, tmp_path: Path) -> None:
    first = Catalog(own_catalog).names[0]
    (tmp_path / "table.csv").write_text(f"name,note,price\n{first},,5\n", encoding="utf-8")
    triptych.index(
        Catalog(own_catalog).root,
        own_catalog,
        metadata=tmp_path / "table.csv",
        runtime=Runtime(threads=1),
        encoder="wardrobe",
    )
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        plain, noted = opened.add([picture_file(), picture_file((0, 9, 0))], [{"price": "7"}, {"note": "by hand"}])
        assert plain.metadata == {"price": 7}
        assert [hit.id for hit in opened.search(text="red", where=["note=by hand"])] == [noted.id]


def test_what_is_removed_stays_removed(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        (uploaded,) = opened.add([picture_file()])
        own = next(picture for picture in opened if picture.id != uploaded.id)
        opened.remove([own.id, uploaded.name])
        assert not Path(uploaded.path).exists()
        assert Path(own.path).exists()
        assert not {own.name, uploaded.name} & {hit.name for hit in opened.search(text="red", k=1000)}
        with pytest.raises(UsageError):
            opened.picture(own.id)
        (back,) = opened.add([picture_file()])
        assert back == uploaded
        opened.remove([back.id])
    triptych.index(Path(Catalog(own_catalog).root), own_catalog, runtime=Runtime(threads=1), encoder="wardrobe")
    assert not {own.name, uploaded.name} & set(Catalog(own_catalog).names)


def test_a_picture_of_the_owners_is_never_deleted(own_catalog: Path) -> None:
    """Not even from a folder that is called as the one of uploads is."""
    root = Path(Catalog(own_catalog).root)
    (root / "uploads").mkdir(exist_ok=True)
    mine = root / "uploads" / "mine.png"
    mine.write_bytes(picture_file())
    triptych.index(root, own_catalog, runtime=Runtime(threads=1), encoder="wardrobe")
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        opened.remove(["uploads/mine.png"])
    assert mine.exists()
    assert "uploads/mine.png" not in Catalog(own_catalog).names


def test_nothing_is_taken_where_one_cannot_be_used(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        before = len(opened)
        with pytest.raises(PictureError):
            opened.add([picture_file(), b"no picture"])
        with pytest.raises(UsageError):
            opened.add([picture_file()], [{"nonsense": "1"}])
        for value in ("red\0", "red\ud800"):
            with pytest.raises(UsageError, match="colour"):
                opened.add([picture_file()], [{"colour": value}])
        with locked(own_catalog), pytest.raises(FailureError):
            opened.add([picture_file()])
        assert len(opened) == before == len(Catalog(own_catalog).names)


def test_another_process_may_change_the_catalog(own_catalog: Path) -> None:
    with (
        triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened,
        triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as other,
    ):
        assert not opened.refresh()
        (added,) = other.add([picture_file()])
        assert opened.refresh()
        assert opened.picture(added.id) == added
        (second,) = opened.add([picture_file((0, 200, 0))])
        (third,) = other.add([picture_file((0, 0, 200))])
        assert {added.name, second.name, third.name} <= set(Catalog(own_catalog).names)


def test_what_another_process_adds_while_one_opens_is_kept(own_catalog: Path) -> None:
    opened = Catalog(own_catalog)  # its note is read, and then it takes a while to load the encoder
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as other:
        (added,) = other.add([picture_file()])
        searchable = OpenCatalog(opened, other.encoder)
    (second,) = searchable.add([picture_file((0, 200, 0))])
    assert {added.name, second.name} <= set(Catalog(own_catalog).names)
    assert searchable.picture(added.id) == added


def test_many_parts_are_merged(own_catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych.retrieval.updates._PARTS", 3)
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        names = [opened.add([picture_file((shade, 0, 0))])[0].name for shade in range(0, 250, 50)]
        assert Catalog(own_catalog).parts <= 3
        found = {hit.name for hit in opened.search(text="red", k=1000)}
    assert set(names) <= found == set(Catalog(own_catalog).names)


def test_searching_goes_on_while_pictures_come_in(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        opened.load()
        lengths: list[int] = []
        searching = Thread(target=lambda: lengths.extend(len(opened.search(text="red", k=9)) for _ in range(40)))
        searching.start()
        for shade in range(0, 250, 50):
            opened.add([picture_file((0, shade, 0), "JPEG")])
        searching.join()
        assert lengths == [9] * 40


def test_bad_questions(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        bad = (
            {},
            {"like": "nobody", "text": "red"},
            {"like": "a", "unlike": "b"},
            {"text": "red", "k": 0},
            {"text": "red", "offset": -1},
        )
        for asked in bad:
            with pytest.raises(UsageError):
                opened.search(**asked)  # type: ignore[arg-type]


def test_filters_hold_whatever_share_of_the_gallery_they_leave(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        colours = np.array(opened.metadata.column("colour").to_pylist())
        for colour in set(colours):
            kept = opened.search(text="shirt", k=1000, where=[f"colour={colour}"])
            others = opened.search(text="shirt", k=1000, where=[f"colour!={colour}"])
            assert len(kept) == (colours == colour).sum()
            assert len(kept) + len(others) == len(opened)
            ranking = [hit.name for hit in opened.search(text="shirt", k=1000)]
            assert [hit.name for hit in others] == [n for n in ranking if n not in {hit.name for hit in kept}]
