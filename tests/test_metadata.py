"""Tables as office programs write them are recognised; whatever is not used is counted and reported."""

from pathlib import Path
from typing import Any

import pytest

from triptych.catalog.matching import BY_FILE, BY_PATH, BY_STEM, Match, PictureNames
from triptych.catalog.metadata import metadata_of
from triptych.catalog.tables import read_table
from triptych.core.errors import DataError, UsageError

NAMES = ["a.jpg", "b.jpg", "deep/c.jpg"]
CAFE = "name,brand\na.jpg,Café\nb.jpg,Größe\n"


@pytest.fixture
def csv_file(tmp_path: Path) -> Any:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "m.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def read(path: Path, names: list[str] = NAMES, **given: Any) -> tuple[dict[str, list[Any]], dict[str, int]]:
    table, counts = metadata_of(read_table(path, **given), names)
    columns = table.to_pydict()
    assert columns.pop("name") == names
    return columns, counts


@pytest.mark.parametrize(
    "content",
    [
        CAFE.encode(),
        CAFE.encode("utf-8-sig"),
        CAFE.encode("utf-16"),
        CAFE.encode("utf-16-le"),
        CAFE.encode("utf-16-be"),
        CAFE.encode("utf-32"),
        CAFE.encode("latin-1"),
        CAFE.encode("cp1252"),
        CAFE.replace(",", ";").encode(),
        CAFE.replace(",", "\t").encode("utf-16"),
        CAFE.replace("\n", "\r\n").encode(),
        CAFE.replace("\n", "\r").encode(),
        ("sep=;\r\n" + CAFE.replace(",", ";")).encode(),
        CAFE.replace("\n", ",,\n").encode(),
    ],
)
def test_encodings_and_separators(content: bytes, csv_file: Any) -> None:
    columns, counts = read(csv_file(content))
    assert columns == {"brand": ["Café", "Größe", None]}
    assert counts == {"rows": 2, "pictures with a row": 2, "pictures without a row": 1}


def test_semicolons_beside_decimal_commas_and_commas_beside_semicolons(csv_file: Any) -> None:
    assert read(csv_file("name;price\na.jpg;9,5\n"))[0] == {"price": [9.5, None, None]}
    assert read(csv_file("name,title\na.jpg,red; blue; green\nb.jpg,x\n"))[0]["title"] == [
        "red; blue; green",
        "x",
        None,
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"name,brand\na.jpg,x\nb.jpg,\x81\n", 3),
        ("name,brand\na.jpg,é\nb.jpg,é".encode() + b"\xe9\n", 3),
        ("name,brand\na.jpg,красный\n".encode("cp1251"), 2),
        ("name,brand\na.jpg,红色的裙子\n".encode("gbk"), 2),
        ("name,brand\na.jpg,x\n".encode("utf-16") + b"\0", 3),
        (b'name,brand\na.jpg,x\nb.jpg,"never closed\nc,1\n', 3),
    ],
)
def test_what_cannot_be_read_names_its_line(content: bytes, line: int, csv_file: Any) -> None:
    with pytest.raises(DataError, match=f"m.csv: not a readable CSV .*line {line}[ :]"):
        read_table(csv_file(content))


def test_rows_of_another_length_are_counted_and_told(csv_file: Any, capfd: pytest.CaptureFixture[str]) -> None:
    path = csv_file("name,title,price\na.jpg,Shirt, blue,9\nb.jpg,Shirt\ndeep/c.jpg,Shirt,9\n")
    columns, counts = read(path)
    assert columns == {"title": [None, None, "Shirt"], "price": [None, None, 9]}
    assert (counts["rows with too many fields"], counts["rows with too few fields"]) == (1, 1)
    assert "left out 1 rows with too many fields: line 2 has 4 where the header has 3" in capfd.readouterr().err


def test_no_column_is_lost(csv_file: Any, capfd: pytest.CaptureFixture[str]) -> None:
    columns, _ = read(csv_file("id,name,,price\na.jpg,Blue Shirt,x,9\n"))
    assert columns == {"name_2": ["Blue Shirt", None, None], "column_3": ["x", None, None], "price": [9, None, None]}
    printed = capfd.readouterr().err
    assert "column 'name' is kept as 'name_2'" in printed
    assert "column 3 has no name" in printed


def test_the_column_of_names_can_be_chosen(csv_file: Any) -> None:
    path = csv_file("id,file,price\n7,a.jpg,1\n8,b.jpg,2\n")
    with pytest.raises(DataError, match=r"no row names a picture of the catalog.*give --name-column file"):
        read(path)
    assert read(path, name_column="file")[0] == {"id": [7, 8, None], "price": [1, 2, None]}
    with pytest.raises(UsageError, match=r"--name-column sku: .* has no such column; it has id, file, price"):
        read_table(path, "sku")


def test_row_numbers_are_not_taken_for_names(csv_file: Any, capfd: pytest.CaptureFixture[str]) -> None:
    names = ["0.jpg", "1.jpg", "2.jpg"]
    path = csv_file(",file,price\n0,2.jpg,200\n1,1.jpg,100\n2,0.jpg,0\n")
    with pytest.raises(DataError, match=r"by bare numbers only, maybe by chance; column 'file' .*--name-column file"):
        read(path, names)
    assert read(path, names, name_column="file")[0]["price"] == [0, 100, 200]
    with pytest.raises(DataError, match="row numbers: give --name-column"):
        read(csv_file(",price\n0,5\n1,6\n"), names)
    assert read(csv_file("id,price\n0,5\n1,6\n"), names)[0] == {"price": [5, 6, None]}
    assert "2 rows are matched by bare numbers alone, such as 0" in capfd.readouterr().err


def test_two_pictures_of_one_name_and_two_rows_of_one_picture(csv_file: Any, capfd: pytest.CaptureFixture[str]) -> None:
    names = ["x/a.jpg", "y/a.jpg", "y/b.jpg", "z/c.jpg", "z/d.jpg"]
    rows = "a.jpg,1\nb.jpg,2\nb,3\nc.jpg,4\nz/c.jpg,5\nd,6\nd,7\nd.jpg,8\nd.jpg,8\nno.jpg,9\n"
    columns, counts = read(csv_file("name,price\n" + rows + "y/b.jpg,10\nb.jpg,11\n"), names)
    assert columns["price"] == [None, None, 10, 5, 8]
    assert (counts["rows that name several pictures"], counts["rows of no picture"]) == (1, 1)
    assert "line 2: a.jpg is x/a.jpg and y/a.jpg" in capfd.readouterr().err
    columns, counts = read(csv_file("name,price\nb.jpg,2\nb.jpg,3\nd,1\n"), names)
    assert (columns["price"][2], counts["pictures with rows that differ"]) == (None, 1)
    assert "y/b.jpg has those of lines 2 and 3" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("deep/c.jpg", Match(BY_PATH, (2,))),
        ("./deep/c.jpg", Match(BY_PATH, (2,))),
        ("/data/pictures/deep/c.jpg", Match(BY_PATH, (2,))),
        (r"deep\c.jpg", Match(BY_PATH, (2,))),
        (r"C:\Users\me\deep\c.jpg", Match(BY_FILE, (2,))),
        (r"\\server\share\deep\c.jpg", Match(BY_FILE, (2,))),
        ("/elsewhere/a.jpg", Match(BY_FILE, (0,))),
        ("pictures/a.jpg", Match(BY_FILE, (0,))),
        ("other/a.jpg", None),
        ("/x/other/c.jpg", None),
        ("c.jpg", Match(BY_FILE, (2,))),
        ("c", Match(BY_STEM, (2,))),
        (" a.jpg ", Match(BY_PATH, (0,))),
        ("u\u0308.jpg", Match(BY_PATH, (3,))),
        ("", None),
        ("no.jpg", None),
    ],
)
def test_keys(key: str, wanted: Match | None) -> None:
    assert PictureNames([*NAMES, "ü.jpg"], Path("/data/pictures")).find(key) == wanted


def test_a_table_without_a_header_is_refused(csv_file: Any) -> None:
    with pytest.raises(DataError, match=r"its first line names a picture, 'a.jpg'"):
        read(csv_file("a.jpg,1\nb.jpg,2\n"))
