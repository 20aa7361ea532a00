"""Columns of tables get the type of their values; what does not fit is counted and reported, and nothing is guessed."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from triptych.catalog.catalog import Catalog
from triptych.catalog.columns import TYPED, TypeReader, type_of, value_as
from triptych.catalog.filters import matching
from triptych.catalog.metadata import _completed, metadata_of
from triptych.catalog.options import IndexOptions
from triptych.catalog.tables import read_table
from triptych.core.errors import UsageError

DAY = date(2024, 3, 1)


def typed(values: list[str], given: Any = None, *, beside: tuple[str, ...] = (), separator: str = ",") -> list[Any]:
    """A column's type, and its values."""
    found = TypeReader({"it": values, "other": list(beside)}, separator).read("it", given)
    return [found.type, found.values.to_pylist()]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["1299", "999", "-", "n/a", "", "NA", "null"], [1299, 999, None, None, None, None, None]),
        (["1,299", "999", "2,100"], [1299, 999, 2100]),
        (["$1299", "$ 80", "-$7", "($5)"], [1299, 80, -7, -5]),
        (["1.299,50 €", "80 €", "7,5 €"], [1299.5, 80, 7.5]),
        (["1.299 €", "80 €"], [1299, 80]),
        (["EUR 12", "€ 7", "9 EUR"], [12, 7, 9]),
        (["1 299,50", "12\u202f000,5", "7"], [1299.5, 12000.5, 7]),
        (["1'299.00", "2’100.50"], [1299, 2100.5]),
        (["1,00,000", "12,34,567.5"], [100000, 1234567.5]),
        (["20 %", "7.5%", "100%"], [20, 7.5, 100]),
        (["499,-", "12,50"], [499, 12.5]),
        (["−5", "+5", "1e3"], [-5, 5, 1000]),
        (["9,5", "1.299"], [9.5, 1299]),
        (["9.5", "1,299"], [9.5, 1299]),
        (["0,500", "1,299"], [0.5, 1.299]),
        (["１２", "3"], [12, 3]),
        (["1.299", "2.5"], [1.299, 2.5]),
        (["20240301", "20240399"], [20240301, 20240399]),
        (["Rs. 1,299", "Rs 80"], [1299, 80]),
        (["CHF 1'299.-", "12.50 CHF"], [1299, 12.5]),
    ],
)
def test_numbers(values: list[str], wanted: list[float | None]) -> None:
    assert typed(values) == ["number", wanted]


def test_a_number_that_could_be_two_is_read_as_the_others_are() -> None:
    assert typed(["1.299", "80"]) == ["number", [1.299, 80]]
    assert typed(["1.299", "80"], separator=";") == ["number", [1299, 80]]
    assert typed(["1.299", "80"], beside=("9,5", "7,25")) == ["number", [1299, 80]]
    assert typed(["1,299", "80"], beside=("9,5", "7,25")) == ["number", [1.299, 80]]
    assert typed(["1,299", "80"], separator=";") == ["number", [1299, 80]]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["2024-03-01", "2024-3-1", "2024/03/01"], [DAY] * 3),
        (["01.03.2024", "1.3.24"], [DAY] * 2),
        (["1/3/2024", "25/12/2023"], [DAY, date(2023, 12, 25)]),
        (["3/1/2024", "12/25/2023", "3/3/24"], [DAY, date(2023, 12, 25), date(2024, 3, 3)]),
        (["Mar 1, 2024", "1 March 2024", "1-Mar-2024", "March 1st 2024"], [DAY] * 4),
        (["2024-03-01", "2024-03-01 10:30"], [datetime(2024, 3, 1), datetime(2024, 3, 1, 10, 30)]),
        (
            ["2024-03-01T10:00:00+02:00", "2024-03-01 8:00", "2024-03-01T08:00Z"],
            [datetime(2024, 3, 1, 8, tzinfo=UTC)] * 3,
        ),
        (["3/1/2024 3:05 PM", "3/25/2024 12:00 am"], [datetime(2024, 3, 1, 15, 5), datetime(2024, 3, 25)]),
        (["2024-03-01", "-", ""], [DAY, None, None]),
        (["20240301", "20240301"], [DAY, DAY]),
    ],
)
def test_dates(values: list[str], wanted: list[date | None]) -> None:
    assert typed(values) == ["date", wanted]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (["yes", "No", "-"], [True, False, None]),
        (["TRUE", "true"], [True, True]),
        (["y", "n", "Y"], [True, False, True]),
    ],
)
def test_booleans(values: list[str], wanted: list[bool | None]) -> None:
    assert typed(values) == ["boolean", wanted]


@pytest.mark.parametrize(
    "values",
    [
        ["S", "M", "38", "40"],
        ["NO", "NO"],  # Norway
        ["yes", "no", "maybe"],
        ["01234", "99999"],  # codes, whose zeros would be lost
        ["1234567890123456789012", "1"],
        ["$5", "€5"],  # which do not compare
        ["1/2/2024", "3/4/2024"],  # day or month first?
        ["12 cm", "13 cm"],
        ["10:30", "9:15"],
        ["inf", "1e999"],
        [" wide ", '"wide"', "<b"],
        ["1.2.3", "1-2"],
        ["2024-02-30", "2024-13-01"],
    ],
)
def test_what_stays_text_loses_nothing(values: list[str]) -> None:
    assert typed(values) == ["text", values]


def test_marks_for_nothing_are_missing_in_text_too() -> None:
    assert typed(["red", "-", "n/a", " ", "none"]) == ["text", ["red", None, None, None, "none"]]
    assert typed(["-", ""]) == ["text", [None, None]]


def test_a_person_may_say_the_type() -> None:
    assert typed(["01234", "7"], "number") == ["number", [1234, 7]]
    assert typed(["38", "40"], "text") == ["text", ["38", "40"]]
    assert typed(["1/3/2024", "2/3/2024"], "dmy") == ["date", [DAY, date(2024, 3, 2)]]
    assert typed(["3/1/2024", "3/2/2024"], "mdy") == ["date", [DAY, date(2024, 3, 2)]]
    assert typed(["1/2/2024", "3/3/2024"], "date") == ["date", [None, date(2024, 3, 3)]]
    assert typed(["no", "no", "maybe"], "boolean") == ["boolean", [False, False, None]]
    assert typed(["9", "call", "ask"], "number") == ["number", [9, None, None]]


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (
            ["9", "12", "15", "ask"],
            "1 of 4 values are no numbers and are left out, such as 'ask'; --column-type it=text",
        ),
        (["2024-03-01", "2024-03-02", "soon"], "1 of 3 values are no dates and are left out, such as 'soon'"),
        (["9", "ask", "call"], "kept as text: 2 of 3 values are no numbers, such as 'ask'; --column-type it=number"),
        (["01234", "5"], "kept as text, since '01234' begins with a zero"),
        (["$5", "€5"], "kept as text, since its numbers are of different units, $, €"),
        (["1/2/2024", "3/4/2024"], "nothing tells whether '1/2/2024' has the day or the month first"),
        (["1,299", "7"], "'1,299' is read as 1299"),
        (["1,299", "1.500", "7"], "kept as text, since nothing tells which of '1.500' and '1,299' has decimals"),
        (["$7"], r"numbers, without the sign $"),
    ],
)
def test_what_was_made_of_a_column_is_told(values: list[str], note: str) -> None:
    notes = TypeReader({"it": values}).read("it").notes
    assert len(notes) == 1
    assert note in notes[0]


def test_nothing_is_told_of_a_plain_column() -> None:
    for values in (["1299", "-", "9.5"], ["red", "blue"], ["2024-03-01", ""], ["yes", "no"]):
        assert TypeReader({"it": values}).read("it").notes == []


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., pa.Table]:
    """The metadata of pictures a.jpg, b.jpg, … with these values of one column."""

    def write(*values: str, column: str = "price", **given: Any) -> pa.Table:
        names = [f"{letter}.jpg" for letter in "abcdefgh"[: len(values)]]
        lines = [f'{name},"{value}"' for name, value in zip(names, values, strict=True)]
        (tmp_path / "m.csv").write_text("\n".join([f"name,{column}", *lines]), encoding="utf-8")
        return metadata_of(read_table(tmp_path / "m.csv", **given), names)[0]

    return write


@pytest.mark.parametrize(
    "prices",
    [
        ("1299", "999", "450", "2100", "80", "-"),
        ("1,299", "999", "450", "2,100", "80", "7000"),
        ("$1299", "$999", "$450", "$2100", "$80", "$7000"),
        ("1.299,00", "999,00", "450,00", "2.100,00", "80,00", "7.000,00"),
        ("1299 €", "999 €", "450 €", "2100 €", "80 €", "n/a"),
        ("1299", "999", "450", "2100", "80", "sold out"),
    ],
)
def test_prices_are_compared_as_numbers(prices: tuple[str, ...], table: Callable[..., pa.Table]) -> None:
    """The reported case, and its kind."""
    assert matching(table(*prices), ["price<500"]).tolist() == [False, False, True, False, True, False]
    assert matching(table(*prices), ["price>=1,299"]).tolist()[:5] == [True, False, False, True, False]


def test_dates_are_compared_as_dates(table: Callable[..., pa.Table]) -> None:
    for days in (
        ("2024-01-15", "2024-02-15", "2024-03-15", "2024-06-15", "2024-11-15", "2024-12-15"),
        ("15.1.2024", "15.2.2024", "15.3.2024", "15.6.2024", "15.11.2024", "15.12.2024"),
        ("1/15/2024", "2/15/2024", "3/15/2024", "6/15/2024", "11/15/2024", "12/15/2024"),
    ):
        for condition in ("when<2024-3-1", "when < '1 March 2024'", "when<=2024-02"):
            assert matching(table(*days, column="when"), [condition]).tolist() == [True] * 2 + [False] * 4, condition


def test_what_the_columns_are_is_told_at_import(
    table: Callable[..., pa.Table], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    metadata = table("9", "12", "15", "ask")
    assert metadata.column("price").to_pylist() == [9, 12, 15, None]
    assert "m.csv: column 'price': 1 of 4 values are no numbers" in capfd.readouterr().err
    assert read_table(tmp_path / "m.csv").counts["values of another type than their column's"] == 1
    kept = table("9", "12", "15", "ask", types={"price": "text"})
    assert kept.column("price").to_pylist() == ["9", "12", "15", "ask"]
    for wrong in ("cost", "name"):
        with pytest.raises(UsageError, match=f"--column-type {wrong}: .* has no such column of values; it has price"):
            table("9", types={wrong: "number"})


@pytest.mark.parametrize("given", ["price", "price=money", "=text", "price="])
def test_a_type_that_is_none(given: str) -> None:
    with pytest.raises(UsageError, match="write COLUMN=TYPE; types are number, date"):
        IndexOptions(column_types=(given,))
    with pytest.raises(UsageError, match="'price' is given twice"):
        IndexOptions(column_types=("price=text", "price=number"))


def test_columns_that_become_another_type(table: Callable[..., pa.Table], capfd: pytest.CaptureFixture[str]) -> None:
    """What was known of pictures without a row stays, as words beside words."""

    def column(*values: Any) -> pa.Table:
        return pa.table({"name": [str(place) for place in range(len(values))], "it": pa.array(values)})

    assert _completed(column("12th", None), column(None, 7)).column("it").to_pylist() == ["12th", "7"]
    assert "column 'it' is text now" in capfd.readouterr().err
    assert _completed(column(1, None), column(None, 2.5)).column("it").to_pylist() == [1, 2.5]
    assert _completed(column(True, None), column(None, 7)).column("it").to_pylist() == ["true", "7"]
    assert _completed(column(1.5, None), column(None, "3")).column("it").to_pylist() == [1.5, 3]
    assert _completed(column("38", None), column(None, 7)).column("it").to_pylist() == ["38", "7"]
    empty = pa.table({"name": ["0", "1"], "it": pa.nulls(2, pa.string())})
    assert _completed(empty, column(None, 7)).column("it").to_pylist() == [None, 7]
    both = _completed(column(DAY, None), column(None, datetime(2024, 3, 1, 9))).column("it")
    assert type_of(both.type) == "date"
    assert both.to_pylist() == [datetime(2024, 3, 1), datetime(2024, 3, 1, 9)]


def test_a_catalog_of_an_earlier_version_gets_its_types_when_it_is_opened(own_catalog: Path) -> None:
    opened = Catalog(own_catalog)
    names, count = opened.names, len(opened.names)
    old = {
        "price": ["$1,299", "$80", ""] + ["$7"] * (count - 3),
        "sold": ["yes", "no", None] + ["no"] * (count - 3),
        "size": ["38", "XL", None] + ["40"] * (count - 3),
        "nothing": pa.nulls(count),
    }
    pq.write_table(pa.table({"name": names, **old}), own_catalog / "metadata.parquet")
    metadata = Catalog(own_catalog).metadata
    assert metadata.column("price").to_pylist()[:4] == [1299, 80, None, 7]
    assert metadata.column("sold").to_pylist()[:3] == [True, False, None]
    assert metadata.column("size").to_pylist()[:3] == ["38", "XL", None]  # nothing is lost
    assert metadata.column("nothing").type == pa.string()
    opened.keep_metadata(metadata)
    assert TYPED in (pq.read_schema(own_catalog / "metadata.parquet").metadata or {})
    assert Catalog(own_catalog).metadata.equals(metadata)
    # A type that a person gave is not guessed anew.
    opened.keep_metadata(pa.table({"name": names, "zip": ["12345"] * count}))
    assert Catalog(own_catalog).metadata.column("zip").to_pylist() == ["12345"] * count


@pytest.mark.parametrize(
    ("text", "kind", "wanted"),
    [
        ("1,299", pa.int64(), 1299),
        ("9,5", pa.float64(), 9.5),
        ("-", pa.int64(), None),
        ("2024-3-1", pa.date32(), DAY),
        ("2024-03-01", pa.timestamp("us"), datetime(2024, 3, 1)),
        ("2024-03-01T10:00+02:00", pa.timestamp("us", "UTC"), datetime(2024, 3, 1, 8, tzinfo=UTC)),
        ("yes", pa.bool_(), True),
        ("False", pa.bool_(), False),
        ("0", pa.bool_(), False),
        ("-", pa.string(), "-"),
        ("", pa.string(), None),
    ],
)
def test_one_value_for_a_column(text: str, kind: pa.DataType, wanted: Any) -> None:
    assert value_as(text, kind) == wanted


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("many", pa.int64()),
        ("9.5", pa.int64()),
        ("1e30", pa.int64()),
        ("inf", pa.float64()),
        ("1/2/2024", pa.date32()),
        ("2024-03-01 10:00", pa.date32()),
        ("maybe", pa.bool_()),
    ],
)
def test_one_value_that_does_not_fit(text: str, kind: pa.DataType) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        value_as(text, kind)
