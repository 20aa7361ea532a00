"""Several pictures and texts with weights, what is not wanted, boosts, orders, near-duplicates, boxes, stable pages."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import triptych
from chat_helpers import settings
from serving_helpers import picture_file
from triptych.composers.signed_texts import UNWANTED, SignedTexts, combined_vectors
from triptych.core.boxes import Box
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.core.vectors import unit
from triptych.retrieval.language import Boost, Order, split_text_weight, split_weight
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.retrieval.options import SearchOptions
from triptych.retrieval.query import UNLIKE, query_vectors
from triptych.retrieval.results import Hits

TABLE = pa.table(
    {
        "name": ["a", "b", "c", "d"],
        "price": pa.array([10.0, 30.0, None, 20.0]),
        "in_stock": pa.array([True, False, None, True]),
        "colour": ["red", "Blue", "", "blue"],
    }
)


@pytest.fixture(scope="module")
def opened(shown_catalog: Path) -> Iterator[OpenCatalog]:
    with triptych.open_catalog(shown_catalog, runtime=Runtime(threads=1)) as made:
        yield made


def names(hits: Hits) -> list[str]:
    return [hit.name for hit in hits]


def test_weights_are_read_from_names_and_texts() -> None:
    assert split_weight("a.jpg:0.5", lambda name: False) == ("a.jpg", 0.5)
    assert split_weight("a.jpg:2", lambda name: False) == ("a.jpg", 2.0)
    assert split_weight("a:1", lambda name: name == "a:1") == ("a:1", 1.0)
    assert split_weight("C:\\x.jpg", lambda name: False) == ("C:\\x.jpg", 1.0)
    assert split_text_weight("in red:0.5") == ("in red", 0.5)
    assert split_text_weight("a ratio of 16:9") == ("a ratio of 16:9", 1.0)
    for wrong in ("a:0", "a:1000"):
        with pytest.raises(UsageError, match="above 0 and at most 100"):
            split_weight(wrong, lambda name: False)


def test_texts_are_added_by_weight_and_what_is_unwanted_is_subtracted() -> None:
    vectors = {"red": [1, 0, 0, 0], "stripes": [0, 1, 0, 0], "long": [0, 0, 1, 0], "sleeves": [0, 0, 0, 1]}
    vectors |= {"sleeveless": [0.6, 0.8, 0, 0]}

    def encode(texts):  # type: ignore[no-untyped-def]
        return np.array([vectors[text] for text in texts], np.float32)

    def of(texts: tuple[tuple[str, float], ...], *unwanted: str) -> list[float]:
        return combined_vectors([SignedTexts(texts, unwanted)], encode)[0].round(4).tolist()

    assert of((("red", 3.0),)) == [1, 0, 0, 0]
    assert of((("red", 1.0), ("long", 0.5))) == unit(np.array([1, 0, 0.5, 0])).round(4).tolist()
    assert of((("red", 1.0),), "stripes") == np.float32([1, -UNWANTED, 0, 0]).round(4).tolist()
    # What a text excludes itself, and what stands beside it, are one.
    assert of((("red, no stripes", 1.0),), "long") == np.float32([1, -UNWANTED / 2, -UNWANTED / 2, 0]).round(4).tolist()
    assert of((), "sleeves") == np.float32([0.6, 0.8, 0, -UNWANTED]).round(4).tolist()


def test_a_query_of_one_part_is_what_it_was(opened: OpenCatalog) -> None:
    name = names(opened.search(text="shirt"))[0]
    plain = opened.search(like=name, text="in red", k=20)
    assert opened.search(like=f"{name}:0.25", text=["in red:0.5"], k=20) == plain
    assert opened.search(options=SearchOptions(like=(name,), k=20), text="in red") == plain
    assert opened.search(like=opened.picture(name).id, text="without stripes", k=20) == opened.search(
        like=name, unwanted="stripes", k=20
    )


def test_several_pictures_count_by_their_weights(opened: OpenCatalog) -> None:
    first, second = names(opened.search(text="red shirt", k=1)), names(opened.search(text="blue trousers", k=1))
    (one,), (other,) = first, second
    both = opened.search(like=[one, other], k=200)
    assert not {one, other} & set(names(both))
    assert names(both) == names(opened.search(like=[other, one], k=200))
    near, far = names(opened.search(like=[one, f"{other}:0.05"], k=30)), names(opened.search(like=other, k=30))
    assert len(set(near) & set(names(opened.search(like=one, k=30)))) > len(set(near) & set(far))
    data = Path(opened.picture(one).path).read_bytes()
    assert names(opened.search(image=[data], like=[other], k=200)) == names(both)


def test_unlike_pictures_are_subtracted_and_no_results(opened: OpenCatalog) -> None:
    disliked = names(opened.search(text="shirt"))[0]
    hits = opened.search(text="shirt", unlike=disliked, k=1000)
    assert len(hits) == len(opened) - 1
    assert disliked not in names(hits)
    words, picture = opened.encoder.encode_texts(["shirt"]), opened.reference(like=disliked).vector
    expected = unit(0.5 * words - 0.5 * UNLIKE * picture)[0]
    query = triptych.SearchQuery(text="shirt", unlike=(opened.reference(like=disliked),))
    (made,) = query_vectors([query], opened.encoder, None, 0.5)
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_a_composer_takes_several_pictures_and_what_is_not_wanted(shown_catalog: Path) -> None:
    with triptych.open_catalog(shown_catalog, composer="slerp", runtime=Runtime(threads=1)) as opened:
        first, second, third = names(opened.search(text="shirt", k=3))
        one = opened.search(like=first, text="in red", k=5)
        two = opened.search(like=[first, second], text=["in red"], k=1000)
        assert {first, second} & set(names(two)) == set()
        assert names(two)[:5] != names(one)
        away = opened.search(like=first, text="in red", unlike=third, unwanted="stripes", k=5)
        assert third not in names(away)
        with pytest.raises(UsageError, match="ignores their weights"):
            opened.search(like=first, text=["in red:0.5", "long"])


def test_boosts_are_read_and_lift() -> None:
    assert Boost.read("in_stock=1.5", TABLE.schema).lifts(TABLE).tolist() == [0.5, 0, 0, 0.5]
    assert Boost.read("price=2", TABLE.schema).lifts(TABLE).tolist() == [0, 1, 0, 0.5]
    assert Boost.read("colour=blue=3", TABLE.schema).lifts(TABLE).tolist() == [0, 2, 0, 2]
    assert Boost.read("price<=20 and in_stock=yes=0.5", TABLE.schema).lifts(TABLE).tolist() == [-0.5, 0, 0, -0.5]
    for wrong, why in (
        ("in_stock", "COLUMN=FACTOR"),
        ("in_stock=often", "COLUMN=FACTOR"),
        ("in_stock=0", "above 0"),
        ("in_stock=nan", "above 0"),
        ("colour=2", "neither numbers nor booleans"),
        ("size=large=2", "there is no column"),
    ):
        with pytest.raises(UsageError, match=why):
            Boost.read(wrong, TABLE.schema)


def test_orders_are_read_and_place_what_is_unknown_last() -> None:
    assert Order.read("price", TABLE.schema).places(TABLE) == [0, 2, 3, 1]
    assert Order.read("price:desc", TABLE.schema).places(TABLE) == [2, 0, 3, 1]
    assert Order.read("colour", TABLE.schema).places(TABLE) == [1, 0, 2, 0]
    with pytest.raises(UsageError, match="there is no such column; there are name, price"):
        Order.read("prize", TABLE.schema)


def test_results_are_boosted_and_sorted_among_the_nearest(opened: OpenCatalog) -> None:
    plain = opened.search(text="shirt", k=60)
    colour = plain[-1].metadata["colour"]
    lifted = opened.search(text="shirt", k=60, boost=f"colour={colour}=100", among=60)
    of_it = [hit for hit in plain if hit.metadata["colour"] == colour]
    assert names(lifted)[: len(of_it)] == [hit.name for hit in of_it]
    assert set(names(lifted)) == set(names(plain))
    assert [hit.rank for hit in lifted] == list(range(1, 61))
    lines = opened.search(text="shirt", k=1000, sort=["kind", "line:desc"], among=60)
    keys = [(hit.metadata["kind"], -hit.metadata["line"]) for hit in lines]
    assert keys == sorted(keys)
    assert len(lines) == 60  # there are none beyond
    pages = [
        hit for start in (0, 20, 40) for hit in opened.search(text="shirt", sort="kind", among=60, k=20, offset=start)
    ]
    assert pages == opened.search(text="shirt", sort="kind", among=60, k=60)


def test_near_duplicates_are_folded(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        first = opened.search(text="red shirt", k=1)[0]
        with Image.open(first.path) as picture:
            out = BytesIO()
            picture.convert("RGB").save(out, "JPEG", quality=80)
        (again,) = opened.add([out.getvalue()])
        every = opened.search(text="red shirt", k=1000)
        once = opened.search(text="red shirt", k=1000, unique=True)
        folded = next(hit for hit in once if {hit.name, *hit.folded} >= {first.name, again.name})
        assert len(folded.folded) >= 1
        assert sorted([*names(once), *(name for hit in once for name in hit.folded)]) == sorted(names(every))
        few = opened.search(text="red shirt", k=4, unique=True)
        assert names(few) == names(once)[:4]
        rest = opened.search(text="red shirt", k=4, unique=True, offset=4)
        assert names(rest) == names(once)[4:8]


def test_a_page_goes_on_where_the_last_one_ended_whatever_was_added(own_catalog: Path) -> None:
    with triptych.open_catalog(own_catalog, runtime=Runtime(threads=1)) as opened:
        whole = names(opened.search(text="red shirt", k=20))
        page = opened.search(text="red shirt", k=10)
        opened.remove([page[2].name])
        added = [opened.add([picture_file((200 + shade, 20, 20))])[0].name for shade in range(3)]
        next_page = opened.search(text="red shirt", k=10, after=page[-1].id, offset=10)
        assert [name for name in names(next_page) if name not in added] == whole[10:20][
            : 10 - len(set(added) & set(names(next_page)))
        ]
        assert next_page[0].rank >= 10
        assert opened.search(text="red shirt", k=3, after="gone", offset=2) == opened.search(
            text="red shirt", k=3, offset=2
        )


def test_a_box_is_cut_out(opened: OpenCatalog, tmp_path: Path) -> None:
    assert Box.read("0.5,0,0.5,1").cut(Image.new("RGB", (100, 40))).size == (50, 40)
    assert Box.read("10,20,30,16").cut(Image.new("RGB", (100, 40))).size == (30, 16)
    picture = Image.new("RGB", (200, 100), "white")
    picture.paste((200, 30, 30), (100, 0, 200, 100))
    picture.save(tmp_path / "two.png")
    Image.new("RGB", (100, 100), (200, 30, 30)).save(tmp_path / "one.png")
    cut = opened.search(image=tmp_path / "two.png", box="0.5,0,0.5,1", k=20)
    assert names(cut) == names(opened.search(image=tmp_path / "one.png", k=20))
    name = names(cut)[0]
    assert names(opened.search(like=name, box="0,0,1,0.5")) != names(opened.search(like=name))
    for wrong in ("1,2,3", "a,b,c,d", "0.5,0.5,0.9,0.1", "0,0,0,1", "nan,0,1,1", "5000,0,10,10", "0.5,0.5,0.001,0.2"):
        with pytest.raises(UsageError, match="--box"):
            opened.search(image=tmp_path / "two.png", box=wrong)
    with pytest.raises(UsageError, match="applies to one picture"):
        opened.search(text="red", box="0,0,1,1")


def test_the_command_says_the_same(shown_catalog: Path, opened: OpenCatalog, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from triptych.cli.app import app

    one, other = names(opened.search(text="red shirt", k=2))
    expected = opened.search(like=[one, f"{other}:0.5"], unwanted="stripes", text=["long:0.5", "plain:0.7"],
                              boost="line=1.5", sort="kind", unique=True, k=5)  # fmt: skip
    given = ["search", "--catalog", str(shown_catalog), "--threads", "1", "--like", one, "--like", f"{other}:0.5"]
    given += ["--text", "long:0.5", "--text", "plain:0.7", "--not", "stripes", "--boost", "line=1.5", "--sort", "kind"]
    done = CliRunner().invoke(app, [*given, "--unique", "-k", "5", "--json", "--output", str(tmp_path / "hits.json")])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout[done.stdout.index("[") :])
    assert [one["name"] for one in printed] == names(expected)
    query = json.loads((tmp_path / "hits.json").read_text("utf-8"))["query"]
    assert query["like"] == [one, f"{other}:0.5"]
    assert query["not"] == ["stripes"]
    assert query["text"] == "long, plain, without stripes"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"like": ["w"] * 21}, "at most 20 pictures"),
        ({"text": ["red"] * 21}, "at most 20 texts"),
        ({"text": "red", "like": ["nobody:0.5"]}, "no picture with this name"),
        ({"text": "red", "sort": "nothing"}, "no such column"),
        ({"text": "red", "boost": "nothing=2"}, "--boost"),
        ({"text": "red", "among": 0}, "--among 0"),
    ],
)
def test_what_makes_no_sense_is_refused(opened: OpenCatalog, asked: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        opened.search(**asked)  # type: ignore[arg-type]


def test_a_chat_model_judges_neither_several_pictures_nor_an_order(shown_catalog: Path) -> None:
    rerank = triptych.RerankOptions("chat:m", chat=settings(base_url="http://127.0.0.1:9/v1"))
    for options in (SearchOptions(like=("a", "b")), SearchOptions(like=("a",), sort=("kind",))):
        with pytest.raises(UsageError, match="--rerank needs exactly one picture"):
            triptych.search(shown_catalog, text="red", options=options, rerank=rerank)
