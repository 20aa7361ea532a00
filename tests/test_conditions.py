"""Conditions over metadata: one small grammar, one parser, comparisons by the column's type."""

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest

from triptych.catalog.conditions import DEEPEST, LONGEST, Both, Comparison, Either, read_conditions
from triptych.catalog.filters import matching
from triptych.core.errors import UsageError
from triptych.retrieval.stores.exact import ExactStore
from triptych.retrieval.stores.gallery import Gallery
from triptych.retrieval.stores.hnsw import HnswStore
from triptych.retrieval.stores.names import Names
from triptych.retrieval.stores.postgres import PostgresStore
from triptych.retrieval.stores.protocol import SearchTerms, Store

ROWS = pa.table(
    {
        "name": ["a", "b", "c", "d"],
        "price": [10, 20, None, 40],
        "colour": ["Red", "navy blue", None, "rock and roll"],
        "sold": [True, False, True, None],
        "when": [date(2024, 1, 15), date(2024, 3, 1), None, date(2025, 3, 1)],
        "seen": pa.array(
            [datetime(2024, 3, 1, 9, tzinfo=UTC), datetime(2024, 3, 1, 23, 30, 0, 5, tzinfo=UTC), None, None],
            pa.timestamp("us", "UTC"),
        ),
        "size (cm)": ["1,299", "(x)", 'say "hi"', "5"],
        "in or out": ["in", "or", "and", "out"],
        "cut <= 40": ["it's", "b", None, "d"],
    }
)


def found(*conditions: str) -> str:
    return "".join(np.array(ROWS.column("name").to_pylist())[matching(ROWS, conditions)])


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("price<20 or price>20", "ad"),
        ("price<20 or price=20 and colour=red", "a"),  # `and` binds more closely
        ("(price<20 or price=20) and colour!=red", "b"),
        ("colour=red OR colour in (x)", "a"),
        ("colour in (red, navy blue)", "ab"),
        ("colour IN(red,pink)", "a"),
        ('colour in ("navy blue", pink)', "b"),
        ("colour not in (red, pink)", "bcd"),
        ("colour  NOT  IN ( red )", "bcd"),
        ("price in (10, 40)", "ad"),
        ("price not in (10, 40)", "bc"),
        ("price in ('1,000', 10)", "a"),
        ("sold=yes", "ac"),
        ("sold!=true", "bd"),
        ("sold in (true, 0)", "abc"),
        ("price!=20 and price!=10", "cd"),
        ("((((price=10))))", "a"),
        ("(price=10)or(price=20)", "ab"),
        ('colour="rock and roll"', "d"),
        ("colour='rock and roll' or price=10", "ad"),
        ('"colour"="Red"and"price"=10', "a"),
        ("price=''", "c"),
        ('price!=""', "abd"),
        ('price in ("", 10)', "ac"),
        ('colour not in ("", red)', "bd"),
        ("price≤20", "ab"),
        ("price ≠ 20", "acd"),
        ("price <> 20", "acd"),
        ("price == 20", "b"),
        ("price<$20", "a"),
        ("size (cm)=5", "d"),
        ("size (cm)=(x)", "b"),
        ('size (cm) in ("1,299", 5)', "ad"),
        ('size (cm)="say ""hi"""', "c"),
        ("size (cm)='say \"hi\"'", "c"),
        ("in or out=or", "b"),
        ("in or out in (in, out)", "ad"),
        ("in or out in (in) or in or out=out", "ad"),
        ("\"cut <= 40\"='it''s'", "a"),
        ('"cut <= 40" in (b, d)', "bd"),
        ("colour=red\nor\tprice=20", "ab"),
    ],
)
def test_conditions(condition: str, wanted: str) -> None:
    assert found(condition) == wanted


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("when<2024-3-1", "a"),
        ("when<=2024-03-01", "ab"),
        ("when=1.3.2024", "b"),
        ("when>2024", "d"),
        ("when=2024", "ab"),
        ("when!=2024", "cd"),
        ("when>=2024-03", "bd"),
        ("when in (2024-01, 2025-03)", "ad"),
        ("when='Mar 1, 2024'", "b"),
        ("when<2024-03-01T10:00", "ab"),
        ('when=""', "c"),
        ("seen=2024-03-01", "ab"),
        ("seen<2024-03-01T10:00", "a"),
        ("seen>2024-03-01T10:00+02:00", "ab"),
        ("seen>2024-03-01T11:00+02:00", "b"),
        ("seen=2024-03-01T23:30", "b"),
        ("seen=2024-03-01T23:30:00", "b"),
        ("seen<=2024-03-01", "ab"),
        ("seen>2024-03-01", ""),
        ("seen!=2024-03-01", "cd"),
    ],
)
def test_dates_compare_as_far_as_they_are_written(condition: str, wanted: str) -> None:
    assert found(condition) == wanted


def test_several_conditions_must_all_hold() -> None:
    assert found("price=10 or price=20", "colour!=red") == "b"
    assert found() == "abcd"


def test_the_tree_is_typed() -> None:
    (condition,) = read_conditions(ROWS.schema, ["price<=50 and (colour in (Red, pink) or when not in (2024))"]).parts
    assert condition == Both(
        (
            Comparison("price", "number", "<=", (50,)),
            Either((Comparison("colour", "text", "=", ("red", "pink")), Comparison("when", "date", "!=", ("2024",)))),
        )
    )


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "COLUMN=VALUE"),
        ("price", "COLUMN=VALUE"),
        ("price=10 and", "COLUMN=VALUE"),
        ("or price=10", "there is no column 'or price'"),
        ("price=10 and and price=20", "there is no column 'and price'"),
        ("colour=rock and roll", "where 'roll' stands; a value that holds `and` or `or` needs quotes"),
        ("price=10 price=20", "'10 price=20' is not a number"),
        ('colour="red" pink', "more follows it"),
        ('colour="red', "a closing quote is missing"),
        ("(price=10", "a closing bracket is missing"),
        ("price=10)", r"`and`, `or` or the end is expected instead of '\)'"),
        ("price in (10", "a closing bracket is missing"),
        ("price in ()", "a value is missing"),
        ("price in (10,)", "a value is missing"),
        ("price in (10 20)", "'10 20' is not a number"),
        ("price in 10", "COLUMN=VALUE"),
        ("colour=red (dark", "a closing bracket is missing; put a value that contains one in quotes"),
        ("price=", "a value is missing"),
        ("price=and price=10", "'and price=10' is not a number"),
        ("size=10", "there is no column 'size'; there are name, price"),
        ("price=red", "column 'price' contains numbers; 'red' is not a number"),
        ("price in (10, red)", "column 'price' contains numbers; 'red' is not a number"),
        ("price=-", "column 'price' contains numbers; '-' is not a number"),
        ("price=nan", "contains numbers"),
        ("price<inf", "contains numbers"),
        ("colour<500", "column 'colour' contains text, which cannot be compared with 500"),
        ("colour >= $1,299", "contains text, which cannot be compared with"),
        ("name>2024-03-01", "contains text, which cannot be compared with"),
        ("sold=maybe", "column 'sold' contains yes or no; 'maybe' is neither"),
        ("sold>no", "yes or no, which cannot be ordered"),
        ("when<soon", "column 'when' contains dates; 'soon' is not a date; write 2024-03-01"),
        ("when<1/2/2024", "'1/2/2024' may have the day or the month first"),
        ("when<2024-02-30", "contains dates"),
        ('price<""', "no value has an order with none"),
        ("colour=a\0b", "zero byte"),
        ("(" * (DEEPEST + 1) + "price=10" + ")" * (DEEPEST + 1), f"deeper than {DEEPEST}"),
        ("price=10 or " * 1000 + "price=10", f"a condition of 12008 characters; at most {LONGEST} are read"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(condition: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        matching(ROWS, [condition])
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600
    assert str(raised.value).startswith("--where")


SAME_EVERYWHERE = (
    "price<20 or price>20", "(price<20 or price=20) and colour!=red", "price in (10, 40)", "price not in (10, 40)",
    "price!=20", 'price=""', 'price!=""', 'price in ("", 10)', 'price not in ("", 10)', "price<=19.5", "price=20.0",
    "colour in (RED, navy blue)", "colour not in (red, pink)", "colour>'500'", "colour<n", "sold=yes", "sold!=true",
    "sold in (true, 0)", "when<2024-3-1", "when>2024", "when!=2024", "when in (2024-01, 2025-03)", "when>=2024-03",
    "seen=2024-03-01", "seen>2024-03-01T10:00+02:00", "seen>2024-03-01T11:00+02:00", "seen!=2024-03-01",
    "seen=2024-03-01T23:30", "weight<1e-3 or weight=2.5", "weight=9007199254740993", "weight!=2.5",
    "long=9007199254740993", "long>9007199254740992", "size (cm)=(x)", "name>=c",
    "\"cut <= 40\"='it''s'", "cut=\"'; DROP TABLE x; --\" or price=10", "cut in ('%s', '{}', '%(a)s')", "cut=\\",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["exact", "hnsw", "postgres"])
def test_every_store_answers_alike(kind: str, request: pytest.FixtureRequest) -> None:
    """Though a database compares what it holds as JSON."""
    rows = ROWS.append_column("weight", pa.array([2.5, 1e-4, float("nan"), 9007199254740992.0]))
    rows = rows.append_column("long", pa.array([9007199254740993, 9007199254740992, None, 1]))
    rows = rows.append_column("cut", pa.array(["%s", "'; DROP TABLE x; --", "{}", "\\"]))
    names = rows.column("name").to_pylist()
    vectors = np.eye(4, dtype=np.float32)
    gallery = Gallery(Names(names), np.array([name * 64 for name in names], "S64"), rows, np.ones(4, bool))
    if kind == "hnsw":
        pytest.importorskip("faiss", reason="the extra `faiss` is not installed")
    store: Store
    if kind == "postgres":
        store = PostgresStore(request.getfixturevalue("database"), "triptych_conditions", 4, rows.schema)
        store.follow(gallery, lambda: vectors)
    else:
        store = ExactStore(gallery, vectors) if kind == "exact" else HnswStore(gallery, vectors)
    for condition in SAME_EVERYWHERE:
        (hits,) = store.search(vectors[:1], [SearchTerms(4, (condition,))])
        wanted = np.array(names)[matching(rows, [condition])].tolist()
        assert sorted(hit.name for hit in hits) == wanted, condition
    with pytest.raises(UsageError, match="contains numbers"):
        store.search(vectors[:1], [SearchTerms(4, ("price=10 or price<cheap",))])


def test_words_between_quotes_have_an_order() -> None:
    assert found('colour<"500"') == ""
    assert found("colour>'500'") == "abd"
    assert found("colour<n") == ""
    assert found("colour>=n") == "abd"


def test_as_deep_and_as_long_as_is_allowed() -> None:
    assert found("(" * DEEPEST + "price=10" + ")" * DEEPEST) == "a"
    many = ", ".join(str(number) for number in range(800))
    assert found(f"price in ({many})") == "abd"


def test_odd_conditions_end_quickly() -> None:
    """However they are repeated, reading is about linear in their length."""
    for odd in ('"', "(", " ", "a ", "and ", "in (", '"a" ', "x=", "' ", '""', "not in", ", ", "= \t"):
        text = (odd * LONGEST)[:LONGEST]
        for condition in (text, "colour=" + text[:-7], 'colour="' + text[:-8], "colour in (" + text[:-11]):
            try:
                matching(ROWS, [condition])
            except UsageError as error:
                assert len(str(error)) < 600  # noqa: PT017 - it need not be refused
