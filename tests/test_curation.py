"""Triplets as a dataset: statistics, samples, review, export, import."""

import io
import itertools
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

import triptych
from loopback import NoEncoder, noise_catalog
from triptych.catalog.catalog import Catalog
from triptych.catalog.entry import Entry
from triptych.cli import main
from triptych.core.errors import DataError, UsageError
from triptych.core.vectors import unit
from triptych.triplets.file import Change, Modification, Triplet, read_triplets, write_triplets
from triptych.triplets.options import ReviewOptions, SampleOptions
from triptych.triplets.selection import triplet_id


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_catalog(tmp_path_factory.mktemp("noise"), 30)


def triplet(reference: int, target: int, text: str = "in red", **other: object) -> Triplet:
    known = Triplet(
        reference=f"{reference:04d}.png",
        target=f"{target:04d}.png",
        modifications=(Modification("shorthand", text), Modification("sentence", f"i want it {text}")),
        changes=(Change("colour", "blue", "red"),),
        negatives=("0020.png", "0021.png"),
        accepted=True,
        reason="",
        confidence=0.5,
        similarity=0.5,
        reasoner="tags",
    )
    return replace(known, **other)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "triplets.parquet"
    two = (Change("colour", "blue", "red"), Change("sleeve", "short", "long"))
    triplets = [
        triplet(0, 1),
        triplet(0, 1, "IN RED"),
        triplet(1, 0, "in blue, please"),
        triplet(2, 3, '<script>alert("x")</script> {{ 7 * 7 }}', changes=two, negatives=()),
        triplet(4, 5, accepted=False, reason="already true of the reference: red"),
    ]
    write_triplets(path, triplets, {"command": "test"})
    return path


def test_statistics_tell_kinds_lengths_duplicates_and_leakage(file: Path, tmp_path: Path) -> None:
    facts = triptych.triplets_stats(file)
    assert (facts.accepted, facts.refused) == (4, 1)
    assert facts.refused_because == {"already true of the reference": 1}
    assert facts.changes == {"colour": 3, "colour+sleeve": 1}
    assert facts.words["shorthand"].startswith("2 ")
    assert (facts.same_pair_again, facts.pair_both_ways) == (1, 1)
    assert (facts.wordings, facts.distinct_wordings) == (8, 6)
    assert facts.commonest_wording == "'in red' (2)"
    assert facts.leaked is None
    (tmp_path / "test.txt").write_text("0003.png\n0029.png\n")
    assert triptych.triplets_stats(file, against=tmp_path / "test.txt").leaked == 1
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"reference": "x", "modification": "", "targets": ["0000.png"]}\n')
    assert triptych.triplets_stats(file, against=queries).leaked == 3
    queries.write_text('{"reference": "x"}\n')
    with pytest.raises(DataError, match=r"queries\.jsonl:1"):
        triptych.triplets_stats(file, against=queries)
    write_triplets(file, [], {})
    assert triptych.triplets_stats(file).accepted == 0


def test_a_sample_is_a_picture(file: Path, catalog: Path, tmp_path: Path) -> None:
    assert triptych.triplets_sample(file, catalog, tmp_path / "all.png").shown == 4
    assert triptych.triplets_sample(file, catalog, tmp_path / "two.jpg", SampleOptions(count=2)).shown == 2
    with Image.open(tmp_path / "all.png") as four, Image.open(tmp_path / "two.jpg") as two:
        assert four.format == "PNG"
        assert two.format == "JPEG"
        assert four.height > 1.5 * two.height
    assert triptych.triplets_sample(file, catalog, tmp_path / "no.png", SampleOptions(refused=True)).shown == 1
    write_triplets(file, [triplet(0, 99)], {})
    with pytest.raises(DataError, match=r"0099\.png"):
        triptych.triplets_sample(file, catalog, tmp_path / "x.png")
    write_triplets(file, [triplet(0, 1, negatives=()), replace(triplet(0, 1), target="../../secret.png")], {})
    with pytest.raises(DataError, match="secret"):
        triptych.triplets_sample(file, catalog, tmp_path / "x.png")
    with pytest.raises(DataError, match="no refused triplet"):
        triptych.triplets_sample(file, catalog, tmp_path / "x.png", SampleOptions(refused=True))


def test_the_review_page_shows_words_as_words(file: Path, catalog: Path, tmp_path: Path) -> None:
    page = tmp_path / "review.html"
    assert triptych.triplets_review(file, catalog, page).to_review == 4
    html = page.read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert "{{ 7 * 7 }}" in html
    [allowed] = re.findall(r"script-src 'nonce-([^']+)'", html)
    assert re.findall(r"<script[^>]*>", html) == [f'<script nonce="{allowed}">']
    assert "default-src 'none'" in html
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    for one in read_triplets(file)[0]:
        assert (f'id="{triplet_id(one)}"' in html) is one.accepted


def test_verdicts_feed_back(file: Path, catalog: Path, tmp_path: Path) -> None:
    triplets, _ = read_triplets(file)
    verdicts = {
        triplet_id(triplets[0]): {"accept": True, "note": ""},
        triplet_id(triplets[2]): {"accept": False, "note": "not\x1b[31m blue\n" + "x" * 500},
        triplet_id(triplets[4]): {"accept": True},
        "0" * 16: {"accept": True},
    }
    saved = tmp_path / "verdicts.json"
    saved.write_text(json.dumps({"format": "triptych-verdicts-1", "file": file.name, "verdicts": verdicts}))
    facts = triptych.triplets_apply_review(file, saved, tmp_path / "reviewed")
    assert (facts.accepted_by_a_person, facts.rejected_by_a_person, facts.not_of_this_file) == (2, 1, 1)
    judged, note = read_triplets(tmp_path / "reviewed")
    assert [one.accepted for one in judged] == [True, True, False, True, True]
    assert judged[2].reason.startswith("a person refused it: not [31m blue x")
    assert judged[2].reason.isprintable()
    assert len(judged[2].reason) < 250
    assert (judged[0].confidence, judged[1], judged[4].reason) == (1.0, triplets[1], "")
    assert note["of"] == {"command": "test"}
    assert triptych.triplets_apply_review(tmp_path / "reviewed", saved, tmp_path / "again").accepted == 4
    for broken in ("", "[]", "{}", '{"format": "triptych-verdicts-1", "verdicts": {"a": {"accept": "yes"}}}'):
        saved.write_text(broken)
        with pytest.raises(DataError, match=r"verdicts\.json"):
            triptych.triplets_apply_review(file, saved, tmp_path / "x")
    with pytest.raises(UsageError, match="--count"):
        ReviewOptions(count=0)


def test_an_export_is_a_dataset_folder_with_its_card(file: Path, catalog: Path, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    assert triptych.triplets_export(file, out, catalog=catalog).triplets == 4
    card = (out / "README.md").read_text(encoding="utf-8")
    _, head, _ = card.split("---\n", 2)
    [config] = yaml.safe_load(head)["configs"]
    # What `load_dataset(folder)` looks for: a configuration with a split, and its files below the folder.
    assert (config["config_name"], [files["split"] for files in config["data_files"]]) == ("default", ["train"])
    [part] = out.glob(config["data_files"][0]["path"])
    table = pq.read_table(part)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == table.column_names
    assert features["target_image"] == {"_type": "Image"}
    text = {"dtype": "string", "_type": "Value"}
    assert features["changes"] == [{"attribute": text, "old": text, "new": text}]
    assert (features["negatives"], features["confidence"]) == ([text], {"dtype": "float32", "_type": "Value"})
    row = table.to_pylist()[0]
    with Image.open(io.BytesIO(row["target_image"]["bytes"])) as inside:
        assert inside.size == (16, 16)
    assert row["target_image"]["bytes"] == Catalog(catalog).path(row["target"]).read_bytes()
    assert '"command": "test"' in card
    assert '"accepted": 4' in card
    with pytest.raises(UsageError, match="not empty"):
        triptych.triplets_export(file, out)
    named = tmp_path / "named"
    assert triptych.triplets_export(file, named, refused=True).triplets == 5
    assert "reference_image" not in (named / "README.md").read_text(encoding="utf-8")
    # The plain columns are those of a triplet file.
    assert [one["reference"] for one in pq.read_table(named / "data").to_pylist()][-1] == "0004.png"
    assert b"huggingface" not in (pq.read_schema(next((named / "data").iterdir())).metadata or {})


CIRR = {
    "pairid": 1, "reference": "0001", "target_hard": "0002", "target_soft": {"0002": 1.0},
    "caption": "show  three\x00 bottles", "img_set": {"id": 3, "members": ["0001", "0002", "0003", "gone"]},
}  # fmt: skip
LASCO = {"qid": 1, "query-image": [1, "./0001.png"], "query-text": "more", "target-image": [2, "val/0002.jpg"]}
MEGAPAIRS = {"q_img": "0001.png", "q_text": ["one", "two"], "t_img": "a\\0002.jpg", "hns": ["0003.png", "0001.png"]}
MTCIR = {"id": "1", "image": "00/0001.png", "target_image": "00/0002.png", "modifications": ["one", "two"]}
FASHIONIQ = {"target": "0002", "candidate": "0001", "captions": [" is longer.", "has no sleeves"]}
QUERY = {"reference": "0001.png", "modification": "in red", "targets": ["0002.png", "0003.png", "gone.png"]}


@pytest.mark.parametrize(
    ("record", "texts", "group", "also"),
    [
        (CIRR, ["show three bottles"], ("0003.png",), ()),
        (LASCO, ["more"], (), ()),
        (MEGAPAIRS, ["one", "two"], ("0003.png",), ()),
        (MTCIR, ["one", "two"], (), ()),
        (QUERY, ["in red"], (), ("0003.png",)),
        (
            FASHIONIQ,
            ["is longer and has no sleeves", "has no sleeves and is longer", "is longer", "has no sleeves"],
            (),
            (),
        ),
    ],
    ids=["cirr", "lasco", "megapairs", "mtcir", "queries", "fashioniq"],
)
def test_other_peoples_triplets_come_in(
    record: dict, texts: list[str], group: tuple[str, ...], also: tuple[str, ...], catalog: Path, tmp_path: Path
) -> None:
    gone = {
        key: "gone" if key in ("reference", "q_img", "query-image", "candidate", "image") else value
        for key, value in record.items()
    }
    for form in (json.dumps([record, gone]), f"{json.dumps(record)}\n\n{json.dumps(gone)}\n"):
        (tmp_path / "source").write_text(form)
        facts = triptych.triplets_import(tmp_path / "source", tmp_path / "t", catalog=catalog)
        triplets, _ = read_triplets(tmp_path / "t")
        assert (facts.triplets, facts.missing_pictures, len(triplets)) == (1, 1, 1)
        assert (triplets[0].reference, triplets[0].target, triplets[0].negatives) == ("0001.png", "0002.png", group)
        assert [wording.text for wording in triplets[0].modifications] == texts
        assert triplets[0].accepted
        assert triplets[0].other_targets == also


def named_catalog(folder: Path, names: list[str]) -> Path:
    """A catalog of pictures that are not there."""
    entries = [Entry(name, 1, 1, f"{row:064}", "ok") for row, name in enumerate(names)]
    opened = Catalog.create(folder, folder, NoEncoder(), {})
    opened.append(entries, unit(np.random.default_rng(0).normal(size=(len(names), 16))))
    return folder


def test_official_captions_come_in_as_they_are(tmp_path: Path) -> None:
    """The first pairs of FashionIQ's training captions and CIRR's, with pictures of their names."""
    data = Path(os.environ.get("TRIPTYCH_DATA", "data"))
    files = [data / "fashioniq/captions/cap.dress.train.json", data / "cirr/captions/cap.rc2.val.json"]
    for source in files:
        if not source.is_file():
            pytest.skip(f"{source} is not here")
        records = json.loads(source.read_text(encoding="utf-8"))[:20]
        names = {record[field] for record in records for field in record if field in
                 ("candidate", "target", "reference", "target_hard")}  # fmt: skip
        catalog = named_catalog(tmp_path / source.stem, [f"{name}.png" for name in sorted(names)])
        out = tmp_path / f"{source.stem}.parquet"
        done = triptych.triplets_import(source, out, catalog=catalog)
        assert done.triplets >= len(records)
        assert done.triplets + sum(done.left_out.values()) == len(json.loads(source.read_text(encoding="utf-8")))
        assert {*done.left_out} <= {"a picture that the catalog lacks"}


def test_what_is_left_out_is_counted_by_reason(
    catalog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [
        FASHIONIQ,
        FASHIONIQ | {"captions": ["is red", "is red."]},
        FASHIONIQ | {"captions": ["x" * 1200, ""]},
        FASHIONIQ | {"captions": [" ", "."]},
        FASHIONIQ | {"target": "0001"},
        FASHIONIQ | {"target": "B000"},
        {name: value for name, value in FASHIONIQ.items() if name != "target"},
        {name: value for name, value in CIRR.items() if name != "target_hard"},
    ]
    (tmp_path / "captions.json").write_text(json.dumps(records))
    done = triptych.triplets_import(tmp_path / "captions.json", tmp_path / "t.parquet", catalog=catalog)
    assert (done.triplets, done.missing_pictures, done.cut) == (3, 1, 1)
    assert done.left_out == {
        "no target, as in a split without answers": 2,
        "no text": 1,
        "the reference as its own target": 1,
        "a picture that the catalog lacks": 1,
    }
    printed = capsys.readouterr().err
    assert "left out 5 of 8 triplets" in printed
    assert "1 with a picture that the catalog lacks, such as " in printed
    assert "captions.json[5] (B000)" in printed
    assert "1 triplets have a text of more than 1000 characters, which was cut there" in printed
    texts = [[wording.text for wording in one.modifications] for one in read_triplets(tmp_path / "t.parquet")[0]]
    assert texts[1:] == [["is red"], ["x" * 1000]]
    (tmp_path / "captions.json").write_text(json.dumps(records[6:]))
    with pytest.raises(DataError, match="2 with no target, as in a split without answers"):
        triptych.triplets_import(tmp_path / "captions.json", tmp_path / "t.parquet", catalog=catalog)


def test_pictures_that_fit_too_are_no_negatives(catalog: Path, tmp_path: Path) -> None:
    members = {"id": 1, "members": ["0001", "0002", "0003", "0004", "0005"]}
    record = CIRR | {"img_set": members, "target_soft": {"0002": 1.0, "0003": 0.5, "0004": -1.0}}
    (tmp_path / "cirr.json").write_text(json.dumps([record]))
    triptych.triplets_import(tmp_path / "cirr.json", tmp_path / "t.parquet", catalog=catalog)
    assert read_triplets(tmp_path / "t.parquet")[0][0].negatives == ("0004.png", "0005.png")


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "{}", "[1]", '[{"q_img": "a"}]', '{"reference": 1, "modification": "x", "targets": ["a"]}',
     '{"reference": "0001.png", "modification": " ", "targets": ["0002.png"]}',
     '{"reference": "gone", "modification": "x", "targets": ["0002.png"]}', '[{"a": '],
)  # fmt: skip
def test_what_is_no_triplet_is_named(content: str, catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "source.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"source\.jsonl") as raised:
        triptych.triplets_import(tmp_path / "source.jsonl", tmp_path / "t", catalog=catalog)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "t").exists()


@pytest.mark.slow
def test_what_came_in_can_be_trained_on(tiny_catalog: Path, tmp_path: Path) -> None:
    names = Catalog(tiny_catalog).names
    lines = [
        json.dumps({"q_img": one, "q_text": "the next one", "t_img": other, "hns": []})
        for one, other in itertools.pairwise(names)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    triptych.triplets_import(tmp_path / "pairs.jsonl", tmp_path / "t.parquet", catalog=tiny_catalog)
    options = triptych.TrainOptions(epochs=1, batch_size=64)
    trained = triptych.train(tmp_path / "t.parquet", tiny_catalog, tmp_path / "composer", options)
    assert trained.triplets + trained.held_out == len(lines)


def test_the_command_line_has_them_all(file: Path, catalog: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    def program(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["triptych", "triplets", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    assert program("stats", file) == 0
    assert "colour+sleeve 1" in capsys.readouterr().out
    assert program("sample", file, "--catalog", catalog, "--out", tmp_path / "s.png", "--count", 1) == 0
    assert program("review", file, "--catalog", catalog, "--out", tmp_path / "r.html") == 0
    (tmp_path / "v.json").write_text('{"format": "triptych-verdicts-1", "verdicts": {}}')
    assert program("apply-review", file, tmp_path / "v.json", "--out", tmp_path / "reviewed") == 0
    assert program("export", file, "--out", tmp_path / "d") == 0
    assert program("export", file, "--out", tmp_path / "d") == 2
    (tmp_path / "q.jsonl").write_text(json.dumps(QUERY))
    assert program("import", tmp_path / "q.jsonl", "--catalog", catalog, "--out", tmp_path / "t") == 0
    assert program("stats", tmp_path / "gone") == 1
    assert {"s.png", "r.html", "reviewed", "d", "t"} <= {path.name for path in tmp_path.iterdir()}
