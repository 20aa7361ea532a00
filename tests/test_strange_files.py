"""Catalogs, triplets and models of somebody else: nothing outside their folders is read, shown, copied or deleted."""

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from toy_encoder import ToyEncoder
from triptych.catalog.catalog import Catalog
from triptych.catalog.entry import Entry
from triptych.catalog.indexing import index
from triptych.catalog.reencoding import reencode
from triptych.cli.app import show, show_text
from triptych.core.errors import DataError, PictureError, UsageError
from triptych.core.files import copy_own, locked, read_json
from triptych.core.onnx_weights import places_of_tensors
from triptych.core.text import cell, escaped_json
from triptych.encoders.patterns import may_run_for_ever
from triptych.encoders.tokenizer import read_tokenizer
from triptych.exporting.models import _export_composer
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.retrieval.results import write_results
from triptych.training.callbacks import JsonLines
from triptych.triplets.exporting import triplets_export
from triptych.triplets.file import Triplet, read_triplets, write_triplets

ENCODER = ToyEncoder(2)


def picture(path: Path, shade: int) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (shade, 255 - shade, 90)).save(path, "PNG")
    return path.read_bytes()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A picture of the user's, outside everything."""
    picture(tmp_path / "home" / "uploads" / "secret.png", 7)
    return tmp_path / "home" / "uploads" / "secret.png"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for shade in range(4):
        picture(tmp_path / "pictures" / f"{shade}.png", 50 * shade)
    index(tmp_path / "pictures", tmp_path / "catalog", encoder=ENCODER)
    return Catalog(tmp_path / "catalog")


def forged(catalog: Catalog, name: str, content: str = "0" * 64) -> Catalog:
    """The catalog as its maker could have written it, with a picture more."""
    vector = ENCODER.encode_pictures(np.ones((1, 3, 2, 2), np.float32))
    catalog.append([Entry(name, 1, 1, content, "ok")], vector)
    return Catalog(catalog.folder)


def rooted(catalog: Catalog, root: Path) -> Catalog:
    note = json.loads((catalog.folder / "catalog.json").read_text()) | {"root": str(root)}
    (catalog.folder / "catalog.json").write_text(json.dumps(note))
    return Catalog(catalog.folder)


def triplets(tmp_path: Path, reference: str, target: str) -> Path:
    made = Triplet(reference, target, (), (), (), True, "", 1.0, 1.0, "toy")
    write_triplets(tmp_path / "triplets.parquet", [made], {})
    return tmp_path / "triplets.parquet"


@pytest.mark.parametrize("name", ["../home/uploads/secret.png", "/etc/passwd", "a/../../b.png", "..", "a\0b.png"])
def test_a_name_that_leads_outside_the_root_makes_no_catalog(catalog: Catalog, name: str) -> None:
    with pytest.raises(DataError, match="leads outside the catalog's root"):
        _ = forged(catalog, name).names


def test_a_name_with_dots_is_a_name(catalog: Catalog) -> None:
    assert "a..b/...png" in forged(catalog, "a..b/...png").names


def test_a_link_out_of_the_root_is_not_read(catalog: Catalog, secret: Path) -> None:
    (catalog.root / "link.png").symlink_to(secret)
    strange = forged(catalog, "link.png")
    with pytest.raises(PictureError, match="not the file that was indexed"):
        strange.open_picture("link.png")


def test_a_root_elsewhere_shows_nothing_of_it(catalog: Catalog, secret: Path) -> None:
    strange = rooted(forged(catalog, "uploads/secret.png"), secret.parent.parent)
    for read in (strange.read, strange.open_picture, OpenCatalog(strange, ENCODER).read):
        with pytest.raises(PictureError, match="not the file that was indexed"):
            read("uploads/secret.png")


def test_a_link_that_the_owner_has_indexed_is_read(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "link.png").symlink_to(secret)
    index(tmp_path / "mine", tmp_path / "catalog", encoder=ENCODER)
    assert Catalog(tmp_path / "catalog").read("link.png") == secret.read_bytes()


def test_nothing_outside_is_exported(catalog: Catalog, secret: Path, tmp_path: Path) -> None:
    strange = rooted(forged(catalog, "uploads/secret.png"), secret.parent.parent)
    file, out = triplets(tmp_path, "uploads/secret.png", "uploads/secret.png"), tmp_path / "out"
    with pytest.raises(DataError, match="cannot be exported: not the file that was indexed"):
        triplets_export(file, out, catalog=strange.folder)
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_nothing_outside_is_on_a_contact_sheet(
    catalog: Catalog, secret: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = OpenCatalog(rooted(forged(catalog, "uploads/secret.png"), secret.parent.parent), ENCODER)
    hits = strange.search(text="red")
    write_results(tmp_path / "sheet.png", None, "red", hits, strange.read)
    assert "not the file that was indexed" in capsys.readouterr().err


def test_nothing_outside_is_deleted(catalog: Catalog, secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strange = rooted(forged(catalog, "uploads/secret.png", "secret"), secret.parent.parent)
    OpenCatalog(strange, ENCODER).remove(["uploads/secret.png"])
    assert secret.exists()
    assert "not deleted, " in capsys.readouterr().err


def test_what_was_added_is_deleted(catalog: Catalog, tmp_path: Path) -> None:
    opened = OpenCatalog(catalog, ENCODER)
    (added,) = opened.add([picture(tmp_path / "new.png", 201)])
    assert Path(added.path).exists()
    opened.remove([added.name])
    assert not Path(added.path).exists()


def test_nothing_is_added_through_a_link(catalog: Catalog, secret: Path, tmp_path: Path) -> None:
    (catalog.root / "uploads").symlink_to(secret.parent)
    with pytest.raises(UsageError, match="is a link"):
        OpenCatalog(catalog, ENCODER).add([picture(tmp_path / "new.png", 201)])
    assert os.listdir(secret.parent) == ["secret.png"]


def test_a_lock_that_is_a_link_harms_nothing(catalog: Catalog, tmp_path: Path) -> None:
    diary = tmp_path / "diary.txt"
    diary.write_text("today")
    (catalog.folder / ".lock").unlink()
    (catalog.folder / ".lock").symlink_to(diary)
    with pytest.raises(DataError, match="is a link"), locked(catalog.folder):
        pass
    assert diary.read_text() == "today"


@pytest.mark.parametrize(
    "change",
    [
        {"parts": ["../../elsewhere.parquet"]},
        {"parts": ["/etc/passwd"]},
        {"parts": 7},
        {"root": None},
        {"encoder": {"name": "x"}},
        {"encoder": {"name": "x", "fingerprint": "y", "dim": "3"}},
    ],
)
def test_a_strange_note_is_one_line(catalog: Catalog, change: Mapping[str, Any]) -> None:
    note = json.loads((catalog.folder / "catalog.json").read_text()) | change
    (catalog.folder / "catalog.json").write_text(json.dumps(note))
    with pytest.raises(DataError, match=r"catalog\.json is damaged"):
        Catalog(catalog.folder)


def test_deep_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(DataError, match="not a readable thing"):
        read_json(tmp_path / "deep.json", "thing")


def test_a_link_out_of_a_model_is_not_copied(tmp_path: Path) -> None:
    composer, diary = tmp_path / "composer", tmp_path / "diary.txt"
    composer.mkdir()
    diary.write_text("today")
    (composer / "query.onnx").symlink_to(diary)
    with pytest.raises(DataError, match="leads out of its folder"):
        copy_own(composer, "query.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
    (composer / "real.onnx").write_text("graph")
    (composer / "gallery.onnx").symlink_to("real.onnx")
    copy_own(composer, "gallery.onnx", tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_text() == "graph"


def test_export_models_copies_no_link_out_of_a_composer(tmp_path: Path) -> None:
    composer, diary = tmp_path / "composer", tmp_path / "diary.txt"
    composer.mkdir()
    diary.write_text("today")
    for name in ("gallery.onnx", "query.onnx"):
        (composer / name).symlink_to(diary)
        with pytest.raises(DataError, match=rf"{name}: a link that leads out of its folder"):
            _export_composer(composer, tmp_path / "out", int8=True)
        (composer / name).unlink()
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"(a+)+b", r"(?:a*)*", r"(a|aa)+$", r"(\s*\w+){2,}x", r"((a+)b?)*", r"(?i:[a-z]+)*!", r"a*a*a*a*a*b"),
        *(r"(a)\1+", r"(?<x>a)\k<x>", r"\g<0>a", r"(a+){1,99}", r"(x+x+)+y", "a" * 3000, r"(((a|b)+c)", r"(?:(?:a+))+"),
    ],
)
def test_a_pattern_that_could_run_for_ever_is_told(pattern: str) -> None:
    assert may_run_for_ever(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{M}]*[\p{Ll}\p{M}]+(?i:'s|'t|'re)?|\p{N}{1,3}| ?[^\s\p{L}]+[\r\n/]*|\s*[\r\n]+",
        r"<\|startoftext\|>|[^[:space:]]+",
        r" {2,}",
        r"\s+",
    ],
    ids=["clip", "gpt-2", "llama-3", "o200k", "bracket", "siglip", "spaces"],
)
def test_patterns_in_use_are_let_through(pattern: str) -> None:
    assert not may_run_for_ever(pattern)


def tokenizer(folder: Path, **more: Any) -> Path:
    model = {"type": "WordLevel", "vocab": {"a": 0, "[unk]": 1}, "unk_token": "[unk]"}
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": model, "added_tokens": []} | more))
    return folder


def test_a_tokenizer_of_somebody_else_has_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_tokenizer(tokenizer(tmp_path / "good")).get_vocab_size() == 2
    split = {"type": "Split", "pattern": {"Regex": "(a+)+b"}, "behavior": "Isolated", "invert": False}
    with pytest.raises(DataError, match="could run forever"):
        read_tokenizer(tokenizer(tmp_path / "slow", pre_tokenizer=split))
    spelt = (tmp_path / "slow" / "tokenizer.json").read_text().replace("Regex", "\\u0052egex")
    (tmp_path / "slow" / "tokenizer.json").write_text(spelt)
    with pytest.raises(DataError, match="could run forever"):
        read_tokenizer(tmp_path / "slow")
    many = {"type": "WordLevel", "vocab": {str(word): word for word in range(700_000)}, "unk_token": "1"}
    with pytest.raises(DataError, match="the vocabulary has 700000 words"):
        read_tokenizer(tokenizer(tmp_path / "large", model=many))
    with (tmp_path / "large" / "tokenizer.json").open("ab") as huge:
        huge.truncate(65 * 1024 * 1024)
    with pytest.raises(DataError, match="has 68157440 bytes"):
        read_tokenizer(tmp_path / "large")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1+1", "'+1+1"),
        ("-1+cmd", "'-1+cmd"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "\\t=1"),
        ("two\nrows", "two\\nrows"),
        ("\x1b[31mred", "\\x1b[31mred"),
        *((number, number) for number in ("-1.5", "+3", "-2e-7", "0.25", "")),
        ("plain, text", "plain, text"),
    ],
)
def test_a_cell_is_no_formula(text: str, written: str) -> None:
    assert cell(text) == written


def test_names_are_harmless_in_the_list_of_rejected_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    picture(folder / "good.png", 1)
    for name in ("=cmd.png", "two\nrows.png", "\x1b[2Jgone.png"):
        (folder / name).write_bytes(b"no picture at all")
    index(folder, tmp_path / "catalog", encoder=ENCODER)
    with (tmp_path / "catalog" / "rejected.csv").open(newline="") as content:
        names = [row[0] for row in csv.reader(content)]
    assert sorted(names) == ["'=cmd.png", "\\x1b[2Jgone.png", "name", "two\\nrows.png"]
    assert "\x1b" not in capsys.readouterr().err


def test_a_triplet_file_with_a_strange_note_is_one_line(tmp_path: Path) -> None:
    file = triplets(tmp_path, "a.png", "b.png")
    table = pq.read_table(file)
    for note in (b"[" * 200_000, b"no json", b"[]", b'{"format": 7}'):
        pq.write_table(table.replace_schema_metadata({b"triptych": note}), file)
        with pytest.raises(DataError, match="not a"):
            read_triplets(file)


def test_reencode_takes_up_nothing_outside(catalog: Catalog, secret: Path, tmp_path: Path) -> None:
    (catalog.root / "link.png").symlink_to(secret)
    strange = forged(catalog, "link.png")
    reencode(strange.folder, ToyEncoder(3))
    assert Catalog(strange.folder).names == ["0.png", "1.png", "2.png", "3.png"]


def test_names_do_not_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["\x1b[2J", "\x9b2J", "\u202egnp.exe", "\U000e0001tag", "straße"]
    show_text("\n".join(names))
    show({"names": names})
    written = json.dumps(names, ensure_ascii=False, indent=2)
    print(escaped_json(written))
    shown = capsys.readouterr().out
    assert not any(sign in shown for sign in ("\x1b", "\x9b", "\u202e", "\U000e0001"))
    assert shown.count("straße") == 3
    assert json.loads(escaped_json(written)) == names


@pytest.mark.parametrize("line", ["[" * 200_000, "no JSON", "[]", "{}", '{"step": "x"}'], ids=range(5))
def test_a_log_of_another_kind_is_told(line: str, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(line + "\n", encoding="utf-8")
    run = SimpleNamespace(step=3)
    with pytest.raises(DataError, match="is the log of another run"):
        JsonLines(log).on_start(run)  # type: ignore[arg-type]
    assert log.read_text(encoding="utf-8") == line + "\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        (2**62).to_bytes(8, "little") + b"{}",
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
        (2).to_bytes(8, "little") + b"[]",
        (8).to_bytes(8, "little") + b'{"a": 1}',
    ],
    ids=["empty", "a length that is a lie", "deep", "no object", "no tensor"],
)
def test_a_strange_header_of_weights_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="not a safetensors file"):
        places_of_tensors(tmp_path / "w.safetensors")
