"""The sheet that readers tell the agent's modifications from people's captions by."""

import json
import sys
from pathlib import Path

import pytest

from triptych.triplets.file import Change, Modification, Triplet, write_triplets

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from wordings import draw, key_of, read_rows, score, write_rows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, content in (
        (
            "fashioniq/captions/cap.shirt.val.json",
            [{"captions": [f"is red {n}", f"has stripes {n}"]} for n in range(9)],
        ),
        ("cirr/captions/cap.rc2.val.json", [{"caption": f"Show {n} dogs."} for n in range(9)]),
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(content))
    return tmp_path


def triplets(path: Path, mark: str) -> Path:
    said = [(Modification("shorthand", f"{mark} {n}"), Modification("captions", f"is {mark} {n}")) for n in range(20)]
    change = (Change("colour", "red", "blue"),)
    write_triplets(path, [Triplet("a", "b", one, change, (), True, "", 1.0, 0.5, "tags") for one in said], {})
    return path


def test_a_sheet_says_nothing_of_who_wrote_and_the_key_all(data: Path, tmp_path: Path) -> None:
    files = [triplets(tmp_path / name, name) for name in ("one", "other")]
    rows = draw(files, data, 12, 3, ["shorthand", "captions"])
    assert rows == draw(files, data, 12, 3, ["shorthand", "captions"])
    assert [row["number"] for row in rows] == [str(number) for number in range(1, 25)]
    assert len({row["text"] for row in rows}) == 24
    assert sorted(row["source"] for row in rows) == ["agent"] * 12 + ["cirr"] * 6 + ["fashioniq"] * 6
    agent = [row["text"] for row in rows if row["who"] == "program"]
    assert (sum("one" in text for text in agent), sum(text.startswith("is ") for text in agent)) == (6, 6)
    assert [row["who"] for row in rows] != sorted(row["who"] for row in rows)
    write_rows(tmp_path / "sheet.csv", rows, ["number", "text"])
    assert list(read_rows(tmp_path / "sheet.csv")[0]) == ["number", "text"]
    assert key_of(tmp_path / "sheet.csv").name == "sheet-key.csv"


def test_scores_are_of_texts_told_apart() -> None:
    key = [{"number": str(n), "who": "person" if n < 5 else "program", "source": "cirr" if n < 5 else "agent"}
           for n in range(10)]  # fmt: skip
    right = [{"number": row["number"], "verdict": row["who"]} for row in key]
    always = [{"number": row["number"], "verdict": "person"} for row in key]
    found = score(key, [right, always])
    assert {name: share for name, (share, _, _) in found.items()} == {
        "all": 75.0, "cirr": 100.0, "agent": 50.0, "reader 1": 100.0, "reader 2": 50.0}  # fmt: skip
    assert found["all"][1] < 75 < found["all"][2]
    with pytest.raises(ValueError, match="reader 1"):
        score(key, [[{"number": "1", "verdict": "perhaps"}]])
