import csv
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from triptych.catalog.catalog import Catalog
from triptych.catalog.filters import matching
from triptych.catalog.indexing import IndexResult, index
from triptych.core.environment import Runtime
from triptych.core.errors import BusyError, DataError, FailureError, MismatchError, UsageError
from triptych.core.files import locked
from triptych.core.images import open_picture
from triptych.core.vectors import nearest
from triptych.encoders.registry import load_encoder

NAMES = ["a.jpg", "b.png", "deep/down/c.jpg", "deep/d.webp"]


def paint(path: Path, seed: int) -> Path:
    """A picture of coloured squares, unlike that of any other seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    squares = np.random.default_rng(seed).integers(256, size=(4, 4, 3), dtype=np.uint8)
    Image.fromarray(squares.repeat(8, axis=0).repeat(8, axis=1)).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for seed, name in enumerate(NAMES):
        paint(folder / name, seed)
    return folder


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    return tmp_path / "catalog"


@pytest.fixture
def add(pictures, catalog, tiny_encoder):
    """Index `pictures` into `catalog` and return the counts."""

    def run(**options):
        return index(pictures, catalog, **{"encoder": str(tiny_encoder), "runtime": Runtime(threads=1)} | options)

    return run


def rejected(catalog: Path) -> dict[str, str]:
    with (catalog / "rejected.csv").open(encoding="utf-8", newline="") as content:
        rows = list(csv.reader(content))
    assert rows[0] == ["name", "reason"]
    return dict(rows[1:])


def test_a_folder_is_read_to_its_depths(add, catalog, pictures, tiny_encoder):
    facts = add()
    assert facts == IndexResult(encoded=4, unchanged=0, rejected=0, vanished=0, total=4)
    opened = Catalog(catalog)
    assert opened.names == sorted(NAMES)
    assert opened.row_of == {name: row for row, name in enumerate(sorted(NAMES))}
    engine = load_encoder(str(tiny_encoder), threads=1)
    pixels = np.stack([engine.prepare(open_picture(pictures / name)) for name in opened.names])
    np.testing.assert_allclose(opened.vectors, engine.encode_pictures(pixels), atol=1e-6)
    assert opened.vectors.dtype == np.float32
    assert all(opened.path(name).is_file() for name in opened.names)
    assert rejected(catalog) == {}


def test_the_catalog_says_what_made_it(add, catalog, tiny_encoder):
    add()
    note = json.loads((catalog / "catalog.json").read_text())
    assert note["made_by"]["command"] == "index"
    assert note["made_by"]["encoded"] == 4
    assert note["encoder"]["fingerprint"] == load_encoder(str(tiny_encoder)).fingerprint
    assert [path.name for path in catalog.glob("part-*")] == note["parts"]


def test_a_catalog_has_an_id_that_stays(add, catalog, tmp_path, pictures, tiny_encoder):
    add()
    first = Catalog(catalog).identity()
    assert len(first) == 36
    paint(pictures / "new.jpg", 60)
    add()
    assert Catalog(catalog).identity() == first
    index(pictures, tmp_path / "another", encoder=str(tiny_encoder), runtime=Runtime(threads=1))
    assert Catalog(tmp_path / "another").identity() != first


def without_id(catalog):
    """A catalog as an earlier version wrote it."""
    note = json.loads((catalog / "catalog.json").read_text())
    del note["id"]
    (catalog / "catalog.json").write_text(json.dumps(note))
    return Catalog(catalog)


def test_an_old_catalog_gets_its_id_once(add, catalog, pictures):
    add()
    opened, beside = without_id(catalog), Catalog(catalog)
    with locked(catalog), pytest.raises(BusyError):
        opened.identity()
    first = opened.identity()
    assert first
    assert first == beside.identity() == Catalog(catalog).identity()
    paint(pictures / "new.jpg", 60)
    assert add().total == 5
    assert Catalog(catalog).identity() == first


def test_a_catalog_that_cannot_be_written_does_without_an_id(add, catalog, monkeypatch):
    add()
    opened = without_id(catalog)
    before = (catalog / "catalog.json").read_bytes()

    def refuse(_):
        raise OSError(errno.EROFS, "read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr("triptych.core.files._temporary", refuse)
        assert opened.identity() == ""
    assert (catalog / "catalog.json").read_bytes() == before
    assert opened.identity()


def test_an_empty_catalog(tmp_path, catalog, tiny_encoder):
    opened = Catalog.create(catalog, tmp_path, load_encoder(str(tiny_encoder), threads=1), {})
    assert opened.names == []
    assert opened.vectors.shape == (0, opened.dim)
    assert opened.metadata.num_rows == 0


def test_what_is_known_is_not_encoded_again(add, catalog, monkeypatch):
    add()
    before = Catalog(catalog)
    entries, vectors = before.entries, before.vectors

    def encode(self, pixels):
        raise AssertionError("encoded again")

    monkeypatch.setattr("triptych.encoders.native.NativeEncoder.encode_pictures", encode)
    assert add() == IndexResult(encoded=0, unchanged=4, rejected=0, vanished=0, total=4)
    after = Catalog(catalog)
    assert after.entries == entries
    np.testing.assert_array_equal(after.vectors, vectors)


def test_a_touched_picture_is_not_encoded_again(add, catalog, pictures):
    add()
    os.utime(pictures / "a.jpg", ns=(1, 1))
    assert add().encoded == 0
    assert next(entry for entry in Catalog(catalog).entries if entry.name == "a.jpg").mtime_ns == 1
    assert add().unchanged == 4


def test_a_changed_picture_is_encoded_again(add, catalog, pictures):
    add()
    before = Catalog(catalog).vectors
    paint(pictures / "b.png", 77)
    os.utime(pictures / "b.png", ns=(5, 5))
    assert add().encoded == 1
    after = Catalog(catalog)
    row = after.row_of["b.png"]
    assert not np.allclose(after.vectors[row], before[row])
    others = [after.row_of[name] for name in NAMES if name != "b.png"]
    np.testing.assert_array_equal(after.vectors[others], before[others])


def test_a_vanished_picture_is_marked_and_may_return(add, catalog, pictures):
    add()
    before = Catalog(catalog).vectors
    content = (pictures / "a.jpg").read_bytes()
    (pictures / "a.jpg").unlink()
    facts = add()
    assert (facts.vanished, facts.total, facts.encoded) == (1, 3, 0)
    opened = Catalog(catalog)
    assert "a.jpg" not in opened.names
    assert len(opened.vectors) == 3
    assert {entry.name: entry.status for entry in opened.entries}["a.jpg"] == "vanished"
    assert add().vanished == 1
    (pictures / "a.jpg").write_bytes(content)
    facts = add()
    assert (facts.vanished, facts.total) == (0, 4)
    np.testing.assert_array_equal(Catalog(catalog).vectors, before)


def test_a_reader_survives_a_run_beside_it(add, catalog, pictures):
    add()
    reader = Catalog(catalog)
    paint(pictures / "new.jpg", 60)
    add()
    assert reader.names == sorted([*NAMES, "new.jpg"])
    assert len(reader.vectors) == 5


def test_a_lost_part_is_named(add, catalog):
    add()
    next(catalog.glob("part-*")).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        len(Catalog(catalog).names)


def test_copies_are_encoded_once(add, catalog, pictures):
    shutil.copy(pictures / "a.jpg", pictures / "again.jpg")
    shutil.copy(pictures / "a.jpg", pictures / "deep" / "once more.jpg")
    assert add().encoded == 4
    shutil.copy(pictures / "b.png", pictures / "later.png")
    facts = add()
    assert (facts.encoded, facts.total) == (0, 7)
    opened = Catalog(catalog)
    for copy, of in [("again.jpg", "a.jpg"), ("deep/once more.jpg", "a.jpg"), ("later.png", "b.png")]:
        np.testing.assert_array_equal(opened.vectors[opened.row_of[copy]], opened.vectors[opened.row_of[of]])


def test_bad_pictures_are_listed_with_the_reason(add, catalog, pictures):
    (pictures / "empty.jpg").touch()
    (pictures / "text.png").write_text("no picture")
    (pictures / "half.png").write_bytes((pictures / "b.png").read_bytes()[:60])
    (pictures / "broken.jpg").symlink_to(pictures / "nowhere.jpg")
    Image.new("RGB", (3, 3)).save(pictures / "small.png")
    facts = add()
    assert (facts.rejected, facts.total, facts.encoded) == (5, 4, 4)
    reasons = rejected(catalog)
    assert set(reasons) == {"empty.jpg", "text.png", "half.png", "broken.jpg", "small.png"}
    assert "empty" in reasons["empty.jpg"]
    assert "known format" in reasons["text.png"]
    assert "damaged" in reasons["half.png"]
    assert "broken link" in reasons["broken.jpg"]
    assert "too small" in reasons["small.png"]
    assert Catalog(catalog).names == sorted(NAMES)
    assert add().rejected == 5

    paint(pictures / "text.png", 9)
    (pictures / "empty.jpg").unlink()
    facts = add()
    assert (facts.rejected, facts.vanished, facts.total) == (3, 1, 5)
    assert set(rejected(catalog)) == {"half.png", "broken.jpg", "small.png"}


def test_a_picture_that_goes_bad_is_no_answer_any_more(add, catalog, pictures):
    add()
    (pictures / "a.jpg").write_bytes(b"spoilt")
    facts = add()
    assert (facts.rejected, facts.total) == (1, 3)
    assert "a.jpg" not in Catalog(catalog).names


def test_a_list_decides_what_belongs(catalog, pictures, tiny_encoder, tmp_path):
    chosen = tmp_path / "chosen.txt"
    chosen.write_text("deep/d.webp\na.jpg\nmissing.jpg\n", "utf-8")
    facts = index(chosen, catalog, encoder=str(tiny_encoder), root=pictures, runtime=Runtime(threads=1))
    assert (facts.total, facts.rejected) == (2, 1)
    chosen.write_text("a.jpg\nb.png\n", "utf-8")
    facts = index(chosen, catalog, root=pictures, runtime=Runtime(threads=1))
    assert (facts.total, facts.vanished) == (2, 2)
    assert Catalog(catalog).names == ["a.jpg", "b.png"]


def test_odd_names(add, catalog, pictures):
    odd = ["Платье №1.jpg", "🧥 coat.jpg", "two\nlines.png", 'quo"te,comma.jpg', "#?%20.jpg"]
    for seed, name in enumerate(odd, start=10):
        paint(pictures / name, seed)
    (pictures / "bad\nне.jpg").write_bytes(b"-")
    assert add().total == 4 + len(odd)
    assert set(odd) <= set(Catalog(catalog).names)
    assert set(rejected(catalog)) == {"bad\\nне.jpg"}
    assert add().unchanged == 5 + len(odd)


def test_an_undecodable_name_is_rejected(add, catalog, pictures):
    os.rename(paint(pictures / "x.jpg", 20), os.fsencode(pictures) + b"/caf\xe9.jpg")
    facts = add()
    assert (facts.total, facts.rejected) == (4, 1)
    assert rejected(catalog) == {"caf\\xe9.jpg": "its name is not valid UTF-8; rename it"}
    reasons = {"its name is not valid UTF-8": 1}
    left_out = {"refused paths": 1}
    assert add() == IndexResult(
        0, unchanged=4, rejected=1, vanished=0, total=4, rejected_for=reasons, left_out=left_out
    )


def test_another_encoder_is_refused(add, catalog, tiny_encoder, tmp_path):
    add()
    other = shutil.copytree(tiny_encoder, tmp_path / "other")
    with (other / "tokenizer.json").open("a") as file:
        file.write("\n")
    with pytest.raises(MismatchError, match="use that encoder"):
        add(encoder=str(other))
    # The same one under another name is no other.
    moved = shutil.copytree(tiny_encoder, tmp_path / "moved")
    assert add(encoder=str(moved)).unchanged == 4


def test_the_encoder_need_not_be_named_again(add):
    add()
    assert add(encoder=None).unchanged == 4


def test_another_root_is_refused(add, catalog, tmp_path, pictures):
    add()
    paint(tmp_path / "elsewhere" / "a.jpg", 1)
    with pytest.raises(UsageError, match="another --catalog"):
        index(tmp_path / "elsewhere", catalog)
    assert Catalog(catalog).names == sorted(NAMES)


def test_a_missing_folder_makes_no_catalog(tmp_path, catalog):
    with pytest.raises(UsageError, match="does not exist"):
        index(tmp_path / "nowhere", catalog, encoder="wardrobe")
    assert not catalog.exists()


def test_one_run_at_a_time(add, catalog):
    with locked(catalog), pytest.raises(FailureError, match="another run"):
        add()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other"}'])
def test_a_damaged_catalog_is_named(add, catalog, content):
    add()
    (catalog / "catalog.json").write_text(content)
    with pytest.raises(DataError, match=str(catalog)):
        Catalog(catalog)


def test_a_damaged_part_is_one_line(add, catalog):
    add()
    part = next(catalog.glob("part-*"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read") as raised:
        len(Catalog(catalog).names)
    assert "\n" not in str(raised.value)


@pytest.fixture
def table(tmp_path: Path):
    """Write a CSV."""

    def write(text: str) -> Path:
        path = tmp_path / "metadata.csv"
        path.write_text(text, "utf-8")
        return path

    return write


def test_metadata_by_path_file_name_or_stem(add, catalog, table, capfd):
    add(metadata=table("picture,price,colour\ndeep/down/c.jpg,3,red\nd.webp,4.5,\na,1,blue\nunknown,9,grey\n"))
    assert "1 of 4 pictures have no row" in capfd.readouterr().err
    metadata = Catalog(catalog).metadata
    assert metadata.column_names == ["name", "price", "colour"]
    rows = {row["name"]: (row["price"], row["colour"]) for row in metadata.to_pylist()}
    assert rows["deep/down/c.jpg"] == (3.0, "red")
    assert rows["deep/d.webp"][0] == 4.5
    assert rows["a.jpg"] == (1.0, "blue")
    assert rows["b.png"] == (None, None)
    assert metadata.column("name").to_pylist() == Catalog(catalog).names


def test_metadata_names_may_look_like_numbers(add, catalog, pictures, table):
    paint(pictures / "00123.jpg", 30)
    paint(pictures / "7.jpg", 31)
    add(metadata=table("id,price\n00123,5\n7,6\n"))
    rows = {row["name"]: row["price"] for row in Catalog(catalog).metadata.to_pylist()}
    assert (rows["00123.jpg"], rows["7.jpg"]) == (5, 6)


def test_metadata_that_could_not_be_told_is_refused_or_made_plain(add, catalog, table):
    with pytest.raises(DataError, match="two columns are called 'price'"):
        add(metadata=table("picture,price,price\na,1,2\n"))
    add(metadata=table("picture,seen\na,2024-05-01T10:00:00.123456789\n"))
    seen = {row["name"]: row["seen"] for row in Catalog(catalog).metadata.to_pylist()}
    assert seen["a.jpg"].isoformat() == "2024-05-01T10:00:00.123456"


def test_metadata_outlives_a_change_of_pictures(add, catalog, pictures, table):
    add(metadata=table("picture,price\na,1\nb,2\n"))
    (pictures / "a.jpg").unlink()
    paint(pictures / "aa.jpg", 40)
    add()
    metadata = Catalog(catalog).metadata
    assert metadata.column("name").to_pylist() == ["aa.jpg", "b.png", "deep/d.webp", "deep/down/c.jpg"]
    assert metadata.column("price").to_pylist() == [None, 2, None, None]


def test_metadata_without_a_match(add, catalog, table):
    with pytest.raises(DataError, match="no row names a picture"):
        add(metadata=table("picture,price\nother,1\n"))
    with pytest.raises(DataError, match="not a readable CSV"):
        add(metadata=table(""))
    # What was indexed is not lost with it.
    assert Catalog(catalog).names == sorted(NAMES)


def test_without_metadata_there_is_the_name(add, catalog):
    add()
    assert Catalog(catalog).metadata.to_pylist() == [{"name": name} for name in sorted(NAMES)]


ROWS = pa.table(
    {
        "name": ["a", "b", "c", "d"],
        "price": [10, 20, None, 40],
        "weight": [0.5, 1.5, 2.5, None],
        "colour": ["Red", "navy BLUE", None, "ÄPFEL=grün"],
        "sold": [True, False, True, None],
        " odd <= name": [" one ", "one", '"one"', "two\nlines"],
    }
)


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("price=20", "b"),
        ("price = 20.0", "b"),
        ("price!=20", "acd"),
        ("price<20", "a"),
        ("price<=20", "ab"),
        ("price>20", "d"),
        ("price>=20", "bd"),
        ("weight>1", "bc"),
        ("colour=red", "a"),
        ("colour= Navy Blue ", "b"),
        ("colour!=red", "bcd"),
        ("colour=äpfel=GRÜN", "d"),
        ("colour<n", ""),
        ("colour>=n", "abd"),
        ("sold=true", "ac"),
        ("name=c", "c"),
        ('colour=""', "c"),
        ('price!=""', "abd"),
        ('" odd <= name"=one', "b"),
        ('" odd <= name" = " one "', "a"),
        ('" odd <= name"=""one""', "c"),
        ('" odd <= name"=two\nlines', "d"),
        ('" odd <= name"!=" one "', "bcd"),
        ('"price">"15"', "bd"),
    ],
)
def test_conditions(condition, wanted):
    rows = matching(ROWS, [condition])
    assert rows.dtype == bool
    assert "".join(np.array(ROWS.column("name").to_pylist())[rows]) == wanted


def test_all_conditions_must_hold():
    assert matching(ROWS, ["price>5", "colour!=red"]).tolist() == [False, True, False, True]
    assert matching(ROWS, []).all()


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("price", "COLUMN=VALUE"),
        ("=5", "COLUMN=VALUE"),
        ("colour=", "a value is missing"),
        (" =5", "COLUMN=VALUE"),
        ("size=5", "no column 'size'; there are name, price"),
        ("price<cheap", "contains numbers"),
    ],
)
def test_conditions_that_make_no_sense(condition, message):
    with pytest.raises(UsageError, match=message):
        matching(ROWS, [condition])


@pytest.mark.parametrize("k", [1, 5, 40, 100])
@pytest.mark.parametrize("restricted", [False, True])
def test_neighbours_are_exact(k, restricted):
    random = np.random.default_rng(k)
    # Of whole numbers, so that scores are exact and many are equal.
    queries = random.integers(-1, 2, size=(13, 4)).astype(np.float32)
    gallery = random.integers(-1, 2, size=(40, 4)).astype(np.float32)
    allowed = random.random(40) < 0.5 if restricted else None
    rows, scores = nearest(queries, gallery, k, allowed=allowed)
    pool = [row for row in range(40) if allowed is None or allowed[row]]
    for query, found, values in zip(queries, rows, scores, strict=True):
        best = sorted(pool, key=lambda row: (-float(query @ gallery[row]), row))[:k]
        assert found.tolist() == best
        assert values.tolist() == [float(query @ gallery[row]) for row in best]


def test_neighbours_do_not_depend_on_blocks(monkeypatch):
    random = np.random.default_rng(0)
    queries, gallery = random.integers(-2, 3, size=(2, 30, 6)).astype(np.float32)
    whole = nearest(queries, gallery, 7)
    monkeypatch.setattr("triptych.core.vectors._BLOCK_SCORES", 60)
    for one, other in zip(whole, nearest(queries, gallery, 7), strict=True):
        np.testing.assert_array_equal(one, other)


def test_neighbours_where_nothing_is_allowed():
    vectors = np.eye(3, dtype=np.float32)
    rows, scores = nearest(vectors, vectors, 2, allowed=np.zeros(3, bool))
    assert rows.shape == scores.shape == (3, 0)


def test_a_catalog_has_one_part_after_a_run(add, catalog, pictures):
    add()
    paint(pictures / "new.jpg", 50)
    add()
    (part,) = catalog.glob("part-*")
    table = pq.read_table(part)
    assert table.column("name").to_pylist() == sorted([*NAMES, "new.jpg"])
    assert {path.name for path in catalog.iterdir()} == {
        ".lock",
        "catalog.json",
        "domain.json",
        "rejected.csv",
        part.name,
    }
