"""Files of version 0.1.0 open, and what was paid for is not paid for again."""

import json
import shutil
import sqlite3
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import triptych
from chat_helpers import quick, run, states
from loopback import Loopback
from triptych import EngineOptions, MineOptions, SearchOptions
from triptych.catalog.catalog import Catalog
from triptych.chat.ledger import ledger_path
from triptych.core.environment import Runtime
from triptych.mining.rounds import PreviousRounds
from triptych.triplets.file import FORMAT, Change, join_triplets, read_triplets, triplet_of, write_triplets

DATA = Path(__file__).parent / "data" / "today"
EXPECTED = json.loads((DATA / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, in the working directory, since its notes name files without their folder."""
    folder = tmp_path / "old"
    shutil.copytree(DATA, folder)
    file = folder / "catalog" / "catalog.json"
    note = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(note | {"root": str(folder / "pictures")}), encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(("name", "count"), [("triplets-2.parquet", 124), ("triplets-3.parquet", 365)])
def test_triplet_files(name: str, count: int) -> None:
    triplets, note = read_triplets(DATA / name)
    assert (len(triplets), {one.round for one in triplets}) == (count, {1})
    first = EXPECTED["first_triplets"][name]
    assert triplets[0] == triplet_of(first)
    assert triplets[0].similarity == first["likeness"]
    assert list(triplets[0].negatives) == first["group"]
    assert list(triplets[0].other_targets) == first["also"]
    assert [one.attribute for one in triplets[0].changes] == [one["group"] for one in first["changes"]]
    assert note["program"] == "triptych"


@pytest.mark.parametrize("name", ["triplets-2.parquet", "triplets-3.parquet"])
def test_old_triplets_are_written_with_the_names_of_now(name: str, tmp_path: Path) -> None:
    join_triplets(tmp_path / "t.parquet", [DATA / name, DATA / name], {"made": "twice"})
    old = read_triplets(DATA / name)[0]
    assert read_triplets(tmp_path / "t.parquet") == ([*old, *old], {"made": "twice"})
    table = pq.read_table(tmp_path / "t.parquet")
    assert json.loads(table.schema.metadata[b"triptych"])["format"] == FORMAT == "triptych-triplets-5"
    assert {"negatives", "similarity", "other_targets", "round"} <= set(table.column_names)
    assert [one.name for one in table.schema.field("changes").type.value_type] == ["attribute", "old", "new"]


def test_a_file_of_format_4_is_read(tmp_path: Path) -> None:
    """Format 4 has the columns of format 3, and changes without a new word."""
    table = pq.read_table(DATA / "triplets-3.parquet")
    changes = table.column("changes").to_pylist()
    changes[0][0]["new"] = None
    place = table.schema.get_field_index("changes")
    table = table.set_column(
        place, table.schema.field("changes"), pa.array(changes, table.schema.field("changes").type)
    )
    note = {"format": "triptych-triplets-4", "made_by": {"seed": 1}}
    pq.write_table(table.replace_schema_metadata({b"triptych": json.dumps(note).encode()}), tmp_path / "t.parquet")
    triplets, note = read_triplets(tmp_path / "t.parquet")
    before = read_triplets(DATA / "triplets-3.parquet")[0]
    assert (triplets[0].changes[0].new, note) == (None, {"seed": 1})
    assert triplets[1:] == before[1:]


def test_what_is_written_now_is_read_again_and_excludes_words(tmp_path: Path) -> None:
    first = read_triplets(DATA / "triplets-3.parquet")[0][0]
    excluding = replace(first, changes=(Change("colour", "blue", None), *first.changes))
    write_triplets(tmp_path / "t.parquet", [excluding, first], {})
    assert read_triplets(tmp_path / "t.parquet")[0] == [excluding, first]
    assert asdict(excluding)["changes"][0] == {"attribute": "colour", "old": "blue", "new": None}
    assert triplet_of(json.loads(json.dumps(asdict(excluding)))) == excluding


def test_another_round_after_a_refined_file(old: Path) -> None:
    before = read_triplets(DATA / "triplets-3.parquet")[0]
    previous = PreviousRounds.read(old / "triplets-3.parquet")
    assert (previous.rounds, previous.vocabulary) == (1, Path("vocabulary.json"))
    assert previous.weights["kind", "pattern"] == 1.781
    options = MineOptions(refined=old / "triplets-3.parquet", changes=1)
    triptych.mine("catalog", "second.parquet", options, runtime=Runtime(threads=1))
    after = read_triplets(old / "second.parquet")[0]
    assert after[: len(before)] == before
    assert {one.round for one in after[len(before) :]} == {2}


def test_a_catalog_and_a_composer(old: Path) -> None:
    assert len(Catalog(old / "catalog").names) == 44
    for question, names in EXPECTED["hits"].items():
        like, text = question.split(", ")
        options, engine = SearchOptions(like=like, k=5), EngineOptions(composer=old / "composer")
        found = triptych.search(old / "catalog", text=text, options=options, engine=engine, runtime=Runtime(threads=1))
        assert [Path(hit.path).name for hit in found] == names


def test_a_ledger_goes_on_and_asks_no_paid_call_again(old: Path, server: Loopback) -> None:
    out = old / "chat.parquet"
    kept = read_triplets(out)[0]
    assert states(out) == {"accepted": 6, "pending": 4}
    assert triptych.mine_status(out).calls == len(EXPECTED["ledger"]["paid"]) == 20
    chat = quick(server, judge="strong", price_in=1.0, price_out=2.0)
    facts = run(old / "catalog", out, chat, limit=10, vocabulary=old / "vocabulary.json", threads=1)
    assert facts.pending == 0
    assert facts.calls == 20 + len(server.log) == 30
    assert not {key for key, _ in server.log} & set(EXPECTED["ledger"]["paid"])
    # The references that were done are not done anew.
    assert read_triplets(out)[0][: len(kept)] == kept
    base = sqlite3.connect(ledger_path(out))
    done = [name for (name,) in base.execute("SELECT reference FROM refs ORDER BY place")]
    base.close()
    assert done[:6] == EXPECTED["ledger"]["accepted"]


def test_a_ledger_keeps_replies_where_other_triplets_are_asked_for(old: Path, server: Loopback, capfd) -> None:
    """A run with other facts begins anew, on the replies there are."""
    chat = quick(server, judge="strong")
    run(old / "catalog", old / "chat.parquet", chat, limit=7, vocabulary=old / "vocabulary.json", threads=1)
    assert "starting over" in capfd.readouterr().err
    assert not {key for key, _ in server.log} & set(EXPECTED["ledger"]["paid"])
    assert len(server.log) == 1
