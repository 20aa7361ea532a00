import pytest
from PIL import Image

from made_benchmarks import write_circo, write_fashioniq, write_genecis, write_picture
from test_score import run
from triptych.benchmarks.checking import check_benchmark
from triptych.core.errors import DataError, UsageError


@pytest.fixture
def root(tmp_path):
    return write_fashioniq(tmp_path / "fashion-iq")


def test_a_whole_folder(root, capsys):
    found = check_benchmark("fashioniq", root=root, split="val")
    assert (found.missing, found.corrupt, found.extra) == ([], [], [])
    assert vars(found.tasks["toptee"]) == {
        "queries": 6,
        "gallery": 14,
        "pictures": 14,
        "missing": 0,
        "corrupt": 0,
        "lost_queries": 0,
    }
    assert run("check", "fashioniq", "--root", root, "--split", "val") == 0
    assert "dress: 6 queries, 14 gallery, 14 pictures, 0 missing" in capsys.readouterr().out


def test_missing_corrupt_and_extra_pictures_are_listed(root, capsys):
    (root / "images" / "BSHIRT00.jpg").unlink()
    (root / "images" / "BSHIRT12.jpg").unlink()
    (root / "images" / "BDRESS13.png").write_bytes(b"spoilt")
    (root / "images" / "BDRESS04.jpg").write_bytes((root / "images" / "BDRESS04.jpg").read_bytes()[:300])
    write_picture(root / "images" / "OTHER.jpg", 1)
    found = check_benchmark("fashioniq", root=root, split="val")
    assert found.missing == ["BSHIRT00.jpg", "BSHIRT12.jpg"]
    assert [name for name, _ in found.corrupt] == ["BDRESS04.jpg", "BDRESS13.png"]
    assert "not a picture" in found.corrupt[1][1]
    assert found.extra == ["OTHER.jpg"]
    assert [getattr(found.tasks["shirt"], what) for what in ("missing", "corrupt", "lost_queries")] == [2, 0, 1]
    assert [getattr(found.tasks["dress"], what) for what in ("missing", "corrupt", "lost_queries")] == [0, 2, 2]
    assert run("check", "fashioniq", "--root", root, "--split", "val") == 1
    said = capsys.readouterr()
    assert "missing  BSHIRT00.jpg\nmissing  BSHIRT12.jpg\ncorrupt  BDRESS04.jpg: " in said.out
    assert "extra    OTHER.jpg" in said.out
    assert said.err.endswith("triptych: 2 pictures are missing and 2 corrupt: results would not be comparable\n")


def test_a_picture_may_be_as_large_as_is_said(root, capsys):
    Image.new("RGB", (120, 100), "red").save(root / "images" / "BSHIRT00.jpg")
    asked = ("check", "fashioniq", "--root", root, "--split", "val", "--max-pixels")
    assert run(*asked, "0.01") == 1
    assert "corrupt  BSHIRT00.jpg: too many pixels: 120x100; at most 10000" in capsys.readouterr().out
    assert run(*asked, "0.012") == 0


def test_crops_of_one_file_are_checked_each(tmp_path):
    root = write_genecis(tmp_path / "GeneCIS")
    write_picture(root / "Visual_Genome" / "VG_100K" / "51.jpg", 1, (8, 8))
    found = check_benchmark("genecis", root=root, split="test")
    assert found.tasks["focus_attribute"].corrupt == 0  # 8 by 8 pixels reach into the box
    (root / "coco2017" / "val2017" / f"{903:012d}.jpg").unlink()
    found = check_benchmark("genecis", root=root, split="test")
    assert found.missing == ["coco2017/val2017/000000000903.jpg"]
    assert found.tasks["change_object"].missing == 1


def test_a_split_without_targets_is_checked_too(tmp_path):
    root = write_circo(tmp_path / "CIRCO")
    (root / "COCO2017_unlabeled" / "unlabeled2017" / f"{7:012d}.jpg").unlink()
    found = check_benchmark("circo", root=root, split="test")
    assert found.tasks["relative"].lost_queries == 1
    assert found.missing == ["000000000007.jpg"]


def test_what_makes_no_sense(root):
    with pytest.raises(UsageError, match="fashioniq has no split 'test'; choose one of val"):
        check_benchmark("fashioniq", root=root)
    (root / "images").rename(root / "photos")
    with pytest.raises(DataError, match="no such folder"):
        check_benchmark("fashioniq", root=root, split="val")
