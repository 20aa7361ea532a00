"""Whatever `index` meets is counted, absence is no deletion, and what is known of a picture is of its own bytes."""

import csv
import os
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import triptych
from triptych import IndexOptions, IndexResult
from triptych.catalog.catalog import Catalog
from triptych.cli.app import show
from triptych.core import environment, images
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, FailureError, PictureError, UsageError
from triptych.core.finding import find_pictures
from triptych.core.images import open_picture
from triptych.core.limits import Limits
from triptych.core.text import escaped
from triptych.encoders.protocol import Encoder as EncoderProtocol
from triptych.encoders.protocol import Pixels
from triptych.retrieval.open_catalog import OpenCatalog
from triptych.training.data.pixels import read_bytes


class Means:
    """An encoder that knows the colours of the quarters of a picture, and counts what it encodes."""

    name, fingerprint, dim, instance_dim, logit_scale, lexicon = "means", "f" * 64, 12, 0, 1.0, None
    spoilt = -1.0
    """The mean of a picture for which its vector is no number."""

    def __init__(self) -> None:
        self.encoded = 0

    def prepare(self, picture: Image.Image) -> Pixels:
        return np.asarray(picture.resize((2, 2)), np.float32).transpose(2, 0, 1)

    def encode_pictures(self, pixels: Pixels) -> Pixels:
        self.encoded += len(pixels)
        vectors = pixels.reshape(len(pixels), -1) + 1
        vectors[pixels.mean(axis=(1, 2, 3)) == self.spoilt] = np.nan
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def encode_texts(self, texts: object) -> Pixels:
        raise NotImplementedError


def paint(path: Path, shade: int = 0) -> Path:
    """A picture like no other of another shade."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (shade % 256, shade // 256, 99)
    path.write_bytes(encoded(colour, "AVIF" if path.suffix == ".avif" else "PNG"))
    os.utime(path, ns=(shade + 1, shade + 1))
    return path


def encoded(colour: tuple[int, int, int], kind: str = "PNG") -> bytes:
    out = BytesIO()
    Image.new("RGB", (16, 16), colour).save(out, kind)
    return out.getvalue()


@pytest.fixture
def p(tmp_path: Path) -> Path:
    for shade in range(6):
        paint(tmp_path / "p" / f"{shade}a.png", shade)
    return tmp_path / "p"


@pytest.fixture
def c(tmp_path: Path) -> Path:
    return tmp_path / "c"


def index(pictures: Path, catalog: Path, encoder: EncoderProtocol | None = None, **given: object) -> IndexResult:
    options = {name: given.pop(name) for name in ("exclude", "max_pixels", "prune", "name_column") if name in given}
    return triptych.index(
        pictures,
        catalog,
        IndexOptions(**options),  # type: ignore[arg-type]
        encoder=encoder or Means(),
        runtime=Runtime(threads=1),
        **given,  # type: ignore[arg-type]
    )


def rejected(catalog: Path) -> dict[str, str]:
    with (catalog / "rejected.csv").open(encoding="utf-8", newline="") as content:
        return dict(list(csv.reader(content))[1:])


# What is met --------------------------------------------------------------------------------------------------


def test_formats_that_are_not_read_are_counted_and_listed(p: Path, c: Path, capfd: pytest.CaptureFixture[str]) -> None:
    paint(p / "b.avif", 9)
    (p / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + b"0" * 500)
    (p / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic" + b"0" * 500)
    (p / "DSC_1.NEF").write_bytes(b"II*\0" + b"0" * 500)
    (p / "DSC_2.nef").touch()
    (p / ".hidden.png").touch()
    (p / "no suffix").touch()
    paint(p / "@eaDir" / "thumb.png", 10)
    paint(p / "#recycle" / "old.png", 10)
    paint(p / "private" / "x.png", 11)
    paint(p / "small.gif.png", 12)
    done = index(p, c, exclude=("private", "*.gif.*"))
    assert done.left_out == {
        ".nef": 2, "excluded": 2, ".heic": 1, "hidden": 1, "other files": 1,
        "system folders": 1, "thumbnail folders": 1,
    }  # fmt: skip
    assert (done.total, done.rejected) == (7, 1)
    assert "b.avif" in Catalog(c).names
    listed = rejected(c)
    assert set(listed) == {
        "IMG_1.HEIC", "phone.jpg", "DSC_1.NEF", "DSC_2.nef", ".hidden.png", "no suffix", "'@eaDir", "#recycle",
        "private", "small.gif.png",
    }  # fmt: skip
    assert listed["IMG_1.HEIC"] == listed["phone.jpg"] == 'HEIC needs the extra heif: pip install "pillow-heif>=0.18"'
    assert listed["private"] == "excluded by private"
    assert "left out 1 pictures: HEIC needs the extra heif" in capfd.readouterr().err


def test_no_picture_at_all_is_a_failure_that_says_what_was_seen(tmp_path: Path, c: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    with pytest.raises(DataError, match=r"raw: no picture found; seen there: nothing at all \(is the disk"):
        index(folder, c)
    (folder / "a.NEF").touch()
    (folder / "b.HEIC").touch()
    with pytest.raises(DataError, match=r"raw: no picture found; seen there: .heic 1, .nef 1; HEIC needs the extra"):
        index(folder, c)
    (tmp_path / "list.txt").write_text("gone.jpg\n")
    with pytest.raises(DataError, match=r"looked for below .*raw.*missing files 1"):
        index(tmp_path / "list.txt", c, root=folder)
    assert not c.exists()
    (folder / "c.jpg").write_text("no picture")
    with pytest.raises(DataError, match="none of 1 pictures can be used: not a picture in a known format 1"):
        index(folder, c)
    assert "c.jpg" in rejected(c)


def test_heic_is_read_where_the_extra_is_there(tmp_path: Path, c: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.preinit()
    module = types.ModuleType("pillow_heif")
    module.register_heif_opener = lambda: Image.register_open(  # type: ignore[attr-defined]
        "HEIF", Image.OPEN["PNG"][0], lambda start: start.startswith(b"\x89PNG")
    )
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.0")
    monkeypatch.setattr(images, "heif_is_installed", lambda: True)
    monkeypatch.setattr("triptych.core.finding.heif_is_installed", lambda: True)
    images._register_heif.cache_clear()
    assert images.formats()[-1] == "HEIF"
    paint(tmp_path / "p" / "x.HEIC", 5)
    assert index(tmp_path / "p", c).total == 1
    Image.OPEN.pop("HEIF")


def test_doctor_knows_the_extra() -> None:
    assert environment.EXTRAS["heif"] == ("pillow_heif",)
    assert "extra heif" in triptych.doctor()


def test_more_pixels_are_accepted_when_asked_for(p: Path, c: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (300, 200)).save(p / "large.png")
    first = index(p, c, max_pixels=0.01)
    assert (first.total, first.rejected_for) == (6, {"too many pixels": 1})
    # A refusal holds for the limits under which it was made.
    again = index(p, c)
    assert (again.total, again.rejected, again.encoded) == (7, 0, 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert open_picture(p / "large.png", Limits(max_pixels=60_000)).size == (300, 200)
    with pytest.raises(PictureError, match="too many pixels"):
        open_picture(p / "large.png", Limits(max_pixels=59_999))


def test_terminal_escapes_stay_out_of_the_terminal(p: Path, c: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("\x1b]0;owned\x07.png", "\x1b[2J.\x1b[31m", "\x9b31m.jpg"):
        (p / name).write_text("no picture")
    done = index(p, c)
    show(done)
    printed = "".join(capfd.readouterr()).replace("\r", "")
    assert not any(sign in printed for sign in "\x1b\x07\x9b")
    assert done.left_out == {"other files": 1}
    assert escaped("a\x1b[2J  b.png") == "a\\x1b[2J  b.png"


def test_a_pattern_that_excludes_nothing_sensible_is_refused() -> None:
    with pytest.raises(UsageError, match="--exclude"):
        IndexOptions(exclude=("",))


# Absence ------------------------------------------------------------------------------------------------------


def many(folder: Path, count: int = 60) -> Path:
    for shade in range(count):
        paint(folder / f"{shade:03}.png", shade)
    return folder


def test_an_unmounted_share_costs_no_vector(tmp_path: Path, c: Path) -> None:
    p, encoder = many(tmp_path / "p"), Means()
    index(p, c, encoder)
    p.rename(tmp_path / "away")
    p.mkdir()
    before = Catalog(c).vectors
    with pytest.raises(DataError, match=r"nothing at all.* keeps its 60 pictures; to give them up, .*--prune"):
        index(p, c, encoder)
    np.testing.assert_array_equal(Catalog(c).vectors, before)
    p.rmdir()
    with pytest.raises(UsageError, match="does not exist"):
        index(p, c, encoder)
    (tmp_path / "away").rename(p)
    assert index(p, c, encoder).unchanged == 60
    assert encoder.encoded == 60


def test_a_list_over_an_unmounted_share_costs_no_vector(tmp_path: Path, c: Path) -> None:
    p, encoder = many(tmp_path / "p", 10), Means()
    (tmp_path / "list.txt").write_text("".join(f"{shade:03}.png\n" for shade in range(10)))
    index(tmp_path / "list.txt", c, encoder, root=p)
    p.rename(tmp_path / "away")
    paint(p / "000.png", 0)
    done = index(tmp_path / "list.txt", c, encoder, root=p)
    assert (done.total, done.vanished, done.rejected) == (1, 9, 0)
    shutil.rmtree(p)
    (tmp_path / "away").rename(p)
    assert index(tmp_path / "list.txt", c, encoder, root=p).total == 10
    assert encoder.encoded == 10


def test_a_list_that_leaves_out_much_says_that_the_list_does(tmp_path: Path, c: Path) -> None:
    p, encoder, listed = many(tmp_path / "p"), Means(), tmp_path / "list.txt"
    names = sorted(path.name for path in p.iterdir())
    listed.write_text("\n".join(names))
    index(listed, c, encoder, root=p)
    listed.write_text("\n".join(names[:20]))
    with pytest.raises(FailureError, match=r"40 of 60 pictures are not in the list .*list.txt any more, such as 020"):
        index(listed, c, encoder, root=p)
    assert len(Catalog(c).names) == 60
    listed.write_text("\n")
    with pytest.raises(DataError, match="the list names no picture"):
        index(listed, c, encoder, root=p)


def test_a_large_picture_stays_readable_wherever_its_catalog_is_opened(
    p: Path, c: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures have 256 pixels, and 100 are what is accepted by default."""
    small = Limits(max_pixels=100)
    monkeypatch.setattr("triptych.catalog.reader.DEFAULT_LIMITS", small)
    index(p, c, max_pixels=0.02)
    index(p, c, max_pixels=0.01)  # what was taken once stays
    opened = Catalog(c)
    assert (len(opened.names), opened.limits.max_pixels) == (6, 20_000)
    assert opened.open_picture(opened.names[0]).size == (16, 16)
    for limits, count in ((small, 0), (opened.limits, 6)):
        assert len(read_bytes(p, opened.names, Means().prepare, threads=1, limits=limits)[1]) == count
    searchable = OpenCatalog(opened, Means())
    assert searchable.reference(image=encoded((9, 9, 9))).vector.shape == (12,)
    searchable.add([encoded((1, 2, 3))], limits=Limits(max_pixels=30_000))
    assert Catalog(c).limits.max_pixels == 30_000


def test_a_large_loss_asks_for_prune(tmp_path: Path, c: Path) -> None:
    p, encoder = many(tmp_path / "p"), Means()
    index(p, c, encoder)
    for shade in range(13):
        (p / f"{shade:03}.png").unlink()
    paint(p / "new.png", 200)
    with pytest.raises(FailureError, match=r"13 of 60 pictures are not in .* such as 000.png; they stay .*--prune"):
        index(p, c, encoder)
    assert len(Catalog(c).names) == 61
    done = index(p, c, encoder, prune=True)
    assert (done.total, done.vanished, encoder.encoded) == (48, 13, 61)
    paint(p / "000.png", 0)
    assert index(p, c, encoder).encoded == 1  # given up is given up
    for shade in range(20, 25):
        (p / f"{shade:03}.png").unlink()
    assert index(p, c, encoder).vanished == 17  # a small loss is noted, and the vectors stay
    paint(p / "020.png", 20)
    assert index(p, c, encoder).encoded == 0


def test_everything_may_be_given_up(p: Path, c: Path) -> None:
    index(p, c)
    for file in p.iterdir():
        file.unlink()
    assert index(p, c, prune=True).total == 0


def test_an_unreadable_folder_keeps_its_pictures(
    p: Path, c: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (p / "album").mkdir()
    (p / "0a.png").rename(p / "album" / "0a.png")
    index(p, c)
    real = os.scandir

    def refuse(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path).name == "album":
            raise PermissionError(13, "Permission denied")
        return real(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        done = index(p, c)
    assert (done.total, done.kept, done.vanished) == (6, 1, 0)
    assert done.left_out == {"unreadable folders and paths": 1}
    assert "kept 1 pictures that cannot be read now: 'album': permission denied" in capfd.readouterr().err
    assert rejected(c) == {"album": "permission denied"}
    done = index(p, c)
    assert (done.kept, done.rejected, done.total) == (0, 0, 6)


def test_a_link_to_an_unmounted_share_keeps_its_pictures(p: Path, c: Path, tmp_path: Path) -> None:
    paint(tmp_path / "share" / "far.png", 50)
    (p / "nas").symlink_to(tmp_path / "share")
    (p / "one.png").symlink_to(tmp_path / "share" / "far.png")
    assert index(p, c).total == 8
    (tmp_path / "share").rename(tmp_path / "gone")
    done = index(p, c)
    assert (done.total, done.kept) == (8, 2)
    (tmp_path / "gone").rename(tmp_path / "share")
    assert index(p, c).unchanged == 8


def test_a_file_that_cannot_be_read_keeps_its_vector(p: Path, c: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index(p, c)
    os.utime(p / "1a.png", ns=(77, 77))

    def fail(path: Path, limits: Limits) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("triptych.catalog.reading.read_file", fail)
        done = index(p, c)
    assert (done.total, done.kept, done.rejected) == (6, 1, 0)
    assert index(p, c).unchanged == 5


def test_a_moved_library_keeps_its_catalog(p: Path, c: Path, tmp_path: Path) -> None:
    encoder = Means()
    index(p, c, encoder)
    p.rename(tmp_path / "moved")
    assert index(tmp_path / "moved", c, encoder).unchanged == 6
    assert Catalog(c).root == tmp_path / "moved"
    # Its pictures may have new names and times as well: the content tells.
    for shade in range(6):
        paint(tmp_path / "renamed" / "deep" / f"{shade}z.png", shade).touch()
    shutil.rmtree(tmp_path / "moved")
    done = index(tmp_path / "renamed", c, encoder)
    assert (done.total, done.vanished, encoder.encoded) == (6, 6, 6)


def test_a_copy_beside_the_library_is_followed_when_asked_for(p: Path, c: Path, tmp_path: Path) -> None:
    encoder = Means()
    index(p, c, encoder)
    shutil.copytree(p, tmp_path / "copy")
    with pytest.raises(UsageError, match="choose another --catalog, or, if its pictures have moved, say so with --"):
        index(tmp_path / "copy", c, encoder)
    assert index(tmp_path / "copy", c, encoder, root=tmp_path / "copy").total == 6
    assert encoder.encoded == 6
    paint(tmp_path / "other" / "x.png", 99)
    with pytest.raises(UsageError, match="choose another --catalog"):
        index(tmp_path / "other", c, encoder, root=tmp_path / "other")


# One moment ---------------------------------------------------------------------------------------------------


def during(encoder: Means, act: Callable[[], None]) -> Means:
    """The same encoder; `act` is done once, after a picture was read and before its vector is made."""
    prepare, left = encoder.prepare, [act]

    def prepared(picture: Image.Image) -> Pixels:
        pixels = prepare(picture)
        if left:
            left.pop()()
        return pixels

    encoder.prepare = prepared  # type: ignore[method-assign]
    return encoder


def test_an_edit_during_the_run_is_read_at_the_next(p: Path, c: Path) -> None:
    content = encoded((0, 0, 220))

    def edit() -> None:
        (p / "0a.png").write_bytes(content)

    index(p, c, during(Means(), edit))
    assert index(p, c).encoded == 1
    opened, encoder = Catalog(c), Means()
    expected = encoder.encode_pictures(encoder.prepare(open_picture(content))[None])[0]
    np.testing.assert_allclose(opened.vectors[opened.row_of["0a.png"]], expected, atol=1e-6)


def test_a_copy_under_way_is_not_refused_for_ever(p: Path, c: Path) -> None:
    content = (p / "5a.png").read_bytes()
    (p / "0a.png").write_bytes(content[:60])

    def finish() -> None:
        (p / "0a.png").write_bytes(content)

    assert index(p, c, during(Means(), finish)).rejected == 1
    done = index(p, c)
    assert (done.rejected, done.total) == (0, 6)


def test_a_file_that_changes_while_it_is_read_is_read_again(p: Path, c: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = os.fstat, [0]

    def restless(handle: int) -> object:
        facts = real(handle)
        if facts.st_size != (p / "0a.png").stat().st_size:
            return facts
        seen[0] += 1
        return types.SimpleNamespace(st_size=facts.st_size, st_mtime_ns=facts.st_mtime_ns + seen[0])

    with monkeypatch.context() as patched:
        patched.setattr(images.os, "fstat", restless)
        index(p, c)
    assert any(entry.mtime_ns == -1 for entry in Catalog(c).entries)
    done = index(p, c)
    assert done.unchanged < 6
    assert done.encoded == 0
    assert index(p, c).unchanged == 6


def test_a_refusal_holds_for_the_library_that_made_it(p: Path, c: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (p / "bad.png").write_bytes(b"no picture")
    os.utime(p / "bad.png", ns=(1, 1))  # else it is too fresh to be sure of
    index(p, c)
    assert index(p, c).unchanged == 7
    with monkeypatch.context() as patched:
        patched.setattr("importlib.metadata.version", lambda name: "99")
        assert index(p, c).unchanged == 6
        assert index(p, c).unchanged == 7


def test_a_vector_that_is_no_number_stops_the_run(p: Path, c: Path) -> None:
    encoder = Means()
    encoder.spoilt = float(np.mean([3, 0, 99]))
    stopped = r"3a.png: encoder means made a vector of it that is not finite.*nothing of it was stored"
    with pytest.raises(FailureError, match=stopped):
        index(p, c, encoder)
    assert Catalog(c).names == []
    assert index(p, c).total == 6


def test_links_and_lists_honour_exclusions(p: Path, tmp_path: Path) -> None:
    paint(p / "x" / "y" / "z.png", 3)
    (tmp_path / "list.txt").write_text("x/y/z.png\n0a.png\n")
    assert find_pictures(p, exclude=["x/y"]).names == [f"{shade}a.png" for shade in range(6)]
    assert find_pictures(tmp_path / "list.txt", p, exclude=["x/y/"]).names == ["0a.png"]
