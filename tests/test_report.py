import re
import subprocess
import sys
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from triptych.core.contact_sheet import contact_sheet
from triptych.core.errors import UsageError
from triptych.core.images import open_picture
from triptych.demonstration.report import QueryCard, Report, ResultCard, Step, TripletCard, write_report
from triptych.evaluation.results.row import ResultRow
from triptych.evaluation.results.tables import format_table, markdown_table

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)
SCRIPT = "<script>alert('in & out')</script>"
SECTIONS = ("steps", "results", "learning", "made", "refused", "good", "bad")


def row(method: str, recall: float, task: str = "edits", **facts: Any) -> ResultRow:
    metrics = {"R@1": recall / 2, "R@5": recall - 1, "R@10": recall, "R@50": 100.0, "mAP@10": 7.125}
    known = {"benchmark": "wardrobe", "task": task, "split": "test", "method": method, "encoder": "wardrobe"}
    return ResultRow(**{**known, "metrics": metrics, "queries": 1500, "gallery": 2518, **facts})


ROWS = [row("picture", 9.5), row("sum", 40.25, weight=0.35, weight_from="val"), row("combiner", 52.0)]


class Page(HTMLParser):
    """What a browser would make of a report: its elements, and the text of each section by its id."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text("utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self._section = "header"
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self._section = str(dict(attrs)["id"])

    def handle_data(self, data: str) -> None:
        self.sections[self._section] = self.sections.get(self._section, "") + data

    def count(self, tag: str, **attributes: str) -> int:
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        return sum(name == tag and wanted.items() <= has.items() for name, has in self.elements)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "secret-folder"
    folder.mkdir()
    for name, colour in (("a", RED), ("b", GREEN), ("c", BLUE)):
        Image.new("RGB", (400, 300), colour).save(folder / f"{name}.png")
    (folder / "corrupt.jpg").write_bytes(b"\xff\xd8 no more")
    return folder


@pytest.fixture
def content(pictures: Path) -> Report:
    a, b, c = (pictures / f"{name}.png" for name in "abc")
    found = [ResultCard(b, 0.91, False), ResultCard(c, 0.875, True)]
    return Report(
        title="A small run",
        summary="It went well.",
        steps=[Step("index", 4.04, "3 pictures"), Step("train", 200, "12 epochs"), Step("mine", 7503, "all")],
        table=ROWS,
        learning_curve=a,
        accepted=[TripletCard(a, b, ["in green", "show me this one in green"], negatives=[c])],
        refused=[TripletCard(b, c, ["in mauve"], reason="not surely true of the target: mauve")],
        good=[QueryCard(a, "but blue", found, 2)],
        bad=[QueryCard(a, "but torn", found[:1], None, wanted=c)],
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "report.html"


def test_every_part_of_a_report_is_in_its_section(content: Report, out: Path) -> None:
    write_report(out, content)
    page = Page(out)
    assert "A small run" in page.sections["header"]
    assert "finds a picture by another picture and a few words" in page.sections["header"]
    expected = {
        "steps": ["3 min 20 s", "12 epochs", "4.0 s", "2 h 05 min"],
        "results": ["wardrobe · edits · test (1500 queries, 2518 pictures)", "52.00", "0.35", "mAP@10"],
        "learning": ["held-out triplet"],
        "made": ["in green", "show me this one in green", "reference", "target"],
        "refused": ["in mauve", "not surely true of the target: mauve"],
        "good": ["but blue", "target at rank 2", "0.875"],
        "bad": ["but torn", "target not found", "wanted"],
    }
    assert tuple(name for name in page.sections if name != "header") == SECTIONS
    for section, texts in expected.items():
        for text in texts:
            assert text in page.sections[section]


def test_the_trained_composer_is_highlighted_and_the_best_is_bold(content: Report, out: Path) -> None:
    write_report(out, content)
    page = Page(out)
    assert page.count("tr", class_="ours") == 1
    best = re.findall(r"<strong>(.*?)</strong>", page.source)
    assert best == ["100.00", "7.12", "100.00", "7.12", "26.00", "52.00", "100.00", "7.12"]
    assert "R@5" not in re.findall(r"<th[^>]*>(.*?)</th>", page.source)


def test_hits_are_marked(content: Report, out: Path) -> None:
    write_report(out, content)
    assert Page(out).count("li", class_="hit") == 1


def test_an_empty_report_says_so_in_every_section(out: Path) -> None:
    write_report(out, Report("Nothing", "", [], [], None, [], [], [], []))
    assert Page(out).count("p", class_="empty") == len(SECTIONS)


def test_texts_are_escaped(content: Report, pictures: Path, out: Path) -> None:
    Image.new("RGB", (9, 9)).save(odd := pictures / '"><script>.png')
    triplet = TripletCard(odd, odd, [SCRIPT, SCRIPT], SCRIPT, [odd])
    query = QueryCard(odd, SCRIPT, [ResultCard(odd, 1.0, True)], 1, odd)
    table = [row(SCRIPT, 1.0, SCRIPT, encoder=SCRIPT)]
    steps = [Step(SCRIPT, 1, SCRIPT)]
    write_report(out, Report(SCRIPT, SCRIPT, steps, table, None, [triplet], [triplet], [query], [query]))
    page = Page(out)
    assert page.count("script") == 0
    assert "<script" not in page.source
    assert all(SCRIPT in page.sections[name] for name in ("header", "steps", "results", "made", "good", "bad"))
    assert {has["title"] for tag, has in page.elements if tag == "img"} == {odd.name}


def test_a_report_fetches_nothing_and_tells_no_path(content: Report, out: Path, tmp_path: Path) -> None:
    write_report(out, content)
    page = Page(out)
    for _, has in page.elements:
        for name in ("src", "href", "srcset", "poster", "action", "data"):
            assert re.match(r"data:|#", has.get(name) or "#")
    text = re.sub(r'"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+"', '""', page.source)
    assert "//" not in text
    assert "url(" not in text
    assert "@import" not in text
    assert str(tmp_path) not in text
    assert "secret-folder" not in text
    assert page.count("script") == 0


def test_pictures_are_small_and_have_alt_texts(content: Report, out: Path) -> None:
    write_report(out, content)
    images = [has for tag, has in Page(out).elements if tag == "img"]
    assert len(images) == 12
    assert all(has["alt"] for has in images)
    jpegs = [str(has["src"]) for has in images if str(has["src"]).startswith("data:image/jpeg")]
    assert len(jpegs) == 11
    sizes = {open_picture(b64decode(url.partition(",")[2])).size for url in jpegs}
    assert sizes == {(160, 120), (64, 48)}


def test_a_missing_or_corrupt_picture_is_a_placeholder(content: Report, pictures: Path, out: Path) -> None:
    lost, corrupt = pictures / "lost.jpg", pictures / "corrupt.jpg"
    triplet = TripletCard(lost, corrupt, [], negatives=[pictures])
    query = QueryCard(lost, "x", [ResultCard(corrupt, 0.5, True)], 1)
    write_report(out, replace(content, learning_curve=corrupt, accepted=[triplet], good=[query]))
    page = Page(out)
    labels = [has["aria-label"] for tag, has in page.elements if has.get("class") == "missing"]
    assert labels == [
        "reference: lost.jpg cannot be read",
        "target: corrupt.jpg cannot be read",
        "also considered: secret-folder cannot be read",
        "reference: lost.jpg cannot be read",
        "a hit, rank 1: corrupt.jpg cannot be read",
    ]
    assert "cannot be read" in page.sections["learning"]
    assert "no picture" in page.sections["made"]


def test_half_a_surrogate_pair_does_not_break_a_report(content: Report, out: Path) -> None:
    write_report(out, replace(content, title="odd \udcff name"))
    assert "odd ? name" in Page(out).sections["header"]


def test_a_report_that_fails_leaves_the_old_one(content: Report, out: Path) -> None:
    write_report(out, content)
    before = out.read_bytes()
    with pytest.raises(AttributeError):
        write_report(out, replace(content, table=["no row"]))
    assert out.read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_contact_sheet_shows_every_picture_whole() -> None:
    results = [(Image.new("RGB", (60, 30), GREEN), "0.91"), (Image.new("L", (30, 60), 90), "0.90")] * 3
    sheet = contact_sheet(Image.new("RGB", (50, 50), RED), "in green", results, columns=4, side=100)
    one_row = contact_sheet(Image.new("RGB", (50, 50), RED), "in green", results[:4], columns=4, side=100)
    assert sheet.mode == "RGB"
    assert sheet.width == one_row.width > 5 * 100
    assert 2 * 100 < sheet.height < 4 * 100
    area = {colour: count for count, colour in sheet.getcolors(maxcolors=1 << 24) or []}
    assert area[RED] == 100 * 100
    assert area[GREEN] == pytest.approx(3 * 100 * 50, rel=0.03)
    assert area[(90, 90, 90)] == pytest.approx(3 * 100 * 50, rel=0.03)


def test_contact_sheet_takes_any_text() -> None:
    picture = Image.new("RGBA", (64, 64), (*BLUE, 255))
    for text in (
        "",
        "long " * 5000,
        "w" * 5000,
        "赤いドレス" * 80,
        "فستان أحمر",
        "\x00\ud800\n👗",
        "без рукавов",
    ):
        sheet = contact_sheet(None, text, [(picture, text)], side=64)
        assert sheet.height < 400
        assert sheet.getpixel((sheet.width - 40, 60)) == BLUE


def test_contact_sheet_without_results_is_still_a_sheet() -> None:
    assert contact_sheet(None, "a red dress", []).width > 2 * 180


@pytest.mark.parametrize("options", [{"columns": 0}, {"side": 10}])
def test_contact_sheet_refuses_no_room(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="contact sheet"):
        contact_sheet(None, "x", [], **options)


def test_format_table() -> None:
    assert format_table([*ROWS, row("text", 1.0, "captions")]).split("\n") == [
        "wardrobe · edits · test (1500 queries, 2518 pictures)",
        "  method    encoder   weight     R@1     R@5    R@10     R@50   mAP@10",
        "  picture   wardrobe       –    4.75    8.50    9.50   100.00*    7.12*",
        "  sum       wardrobe    0.35   20.12   39.25   40.25   100.00*    7.12*",
        "  combiner  wardrobe       –   26.00*  51.00*  52.00*  100.00*    7.12*",
        "",
        "wardrobe · captions · test (1500 queries, 2518 pictures)",
        "  method  encoder    R@1    R@5   R@10     R@50   mAP@10",
        "  text    wardrobe  0.50   0.00   1.00   100.00     7.12",
    ]


def test_rows_of_different_galleries_are_not_compared() -> None:
    table = format_table([row("sum", 10.0), row("sum", 20.0, gallery=100)])
    assert "(1500 queries, 2518 pictures)" in table
    assert "(1500 queries, 100 pictures)" in table
    assert "*" not in table


def test_a_metric_that_a_row_lacks_is_a_dash() -> None:
    table = markdown_table([row("sum", 10.0), row("text", 20.0, metrics={"R@10": 5.0})])
    assert "| text | wardrobe | – | – | 5.00 | – | – |" in table
    assert "**10.00**" in table


def test_markdown_table() -> None:
    assert markdown_table([row("a|b", 10.0), row("sum", 20.0, weight=0.5)]).split("\n") == [
        "**wardrobe · edits · test (1500 queries, 2518 pictures)**",
        "",
        "| method | encoder | weight | R@1 | R@5 | R@10 | R@50 | mAP@10 |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| a\\|b | wardrobe | – | 5.00 | 9.00 | 10.00 | **100.00** | **7.12** |",
        "| sum | wardrobe | 0.50 | **10.00** | **19.00** | **20.00** | **100.00** | **7.12** |",
    ]


def test_a_prompt_is_shown_where_a_weight_is() -> None:
    rows = [row("sum", 10.0, weight=0.5), row("lincir", 20.0, prompt="* | *", prompt_from="val"), row("text", 5.0)]
    head, first, second, third = format_table(rows).split("\n")[1:]
    assert head.split()[:5] == ["method", "encoder", "weight,", "prompt", "R@1"]
    assert (first.split()[2], third.split()[2]) == ("0.50", "–")
    assert ' "* | *" ' in second
    assert markdown_table(rows[1:2]).split("\n")[2].startswith("| method | encoder | prompt | R@1 |")
    assert "| lincir | wardrobe | `* \\| *` | **10.00** |" in markdown_table(rows)


def test_no_rows_are_no_table() -> None:
    assert format_table([]) == markdown_table([]) == ""


def test_importing_is_cheap() -> None:
    heavy = "{'torch', 'numpy', 'jinja2', 'matplotlib'}"
    code = f"import sys, triptych.demonstration.report; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
