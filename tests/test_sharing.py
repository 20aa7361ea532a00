"""Composers, encoders and triplets handed on as folders, by a hub or without one."""

import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import triptych
from triptych.composers.trained import TrainedComposer
from triptych.core.errors import DataError, FailureError, UsageError

TODAY = Path(__file__).parent / "data" / "today"


@pytest.fixture
def composer(tmp_path: Path) -> Path:
    """A trained composer with what a folder may hold besides, and the name of a folder of this machine in its note."""
    folder = tmp_path / "jackets"
    shutil.copytree(TODAY / "composer", folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["made_by"]["settings"] = {"catalog": str(tmp_path / "private" / "shop"), "seeds": [1, str(tmp_path / "x")]}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "model.pt").write_bytes(b"pickled")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "notes.md").write_text("mine", "utf-8")
    return folder


class Hub(types.ModuleType):
    """Stands in for huggingface_hub: repositories are folders."""

    def __init__(self, root: Path) -> None:
        super().__init__("huggingface_hub")
        self.root = root
        self.made: list[tuple[str, bool, str]] = []
        self.HfApi = lambda: self

    def create_repo(self, name: str, *, private: bool, repo_type: str, exist_ok: bool) -> str:
        assert exist_ok
        self.made.append((name, private, repo_type))
        return f"https://hub.test/{name}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, repo_type: str, commit_message: str) -> None:
        assert commit_message.startswith("A ")
        shutil.copytree(folder_path, self.root / repo_type / repo_id)

    def snapshot_download(
        self, name: str, *, repo_type: str, revision: str | None, local_dir: Path, allow_patterns: list[str]
    ) -> str:
        if not (self.root / repo_type / name).is_dir():
            raise RuntimeError("404: no such repository\nand a long text")
        assert revision in (None, "v1")
        for pattern in allow_patterns:
            for path in (self.root / repo_type / name).rglob(pattern):
                place = local_dir / path.relative_to(self.root / repo_type / name)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
        return str(local_dir)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub in a folder."""
    made = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", made)
    monkeypatch.setattr("triptych.core.environment.missing", lambda extra: [])
    return made


def names(folder: Path) -> list[str]:
    """The files of a folder, but its lock."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_composer_goes_to_a_folder_and_comes_back_without_what_is_nobodys_business(composer, tmp_path):
    sent = triptych.push(composer, str(tmp_path / "shared"))
    assert (sent.kind, sent.files, sent.sent) == ("composer", 3, True)
    whole = [".lock", "README.md", "config.json", "gallery.onnx", "query.onnx"]
    assert names(tmp_path / "shared") == whole
    card = (tmp_path / "shared" / "README.md").read_text("utf-8")
    assert "library_name: triptych" in card
    assert "# jackets" in card
    for text in (card, (tmp_path / "shared" / "config.json").read_text("utf-8")):
        assert str(tmp_path) not in text
        assert "shop" in text
    came = triptych.pull(str(tmp_path / "shared"), tmp_path / "back")
    assert (came.kind, came.files) == ("composer", 4)
    assert came.encoder == TrainedComposer(composer).encoder_name
    assert names(tmp_path / "back") == whole
    with pytest.raises(UsageError, match="is not empty"):
        triptych.pull(str(tmp_path / "shared"), tmp_path / "back")
    with pytest.raises(UsageError, match="--revision is for the hub"):
        triptych.pull(str(tmp_path / "shared"), tmp_path / "again", revision="v1")


def test_a_dry_run_sends_nothing(composer, tmp_path, hub):
    sent = triptych.push(composer, "hf:me/jackets", dry_run=True)
    assert (sent.files, sent.sent) == (3, False)
    assert sent.bytes == sum((composer / name).stat().st_size for name in ("config.json", "gallery.onnx", "query.onnx"))
    assert hub.made == []


def test_a_composer_goes_to_the_hub_and_comes_back(composer, tmp_path, hub):
    (composer / "README.md").write_text("# My own card\n", "utf-8")
    assert triptych.push(composer, "hf:me/jackets").to == "https://hub.test/me/jackets"
    assert hub.made == [("me/jackets", True, "model")]
    # What somebody else put there besides is not fetched.
    (hub.root / "model" / "me" / "jackets" / "run.py").write_text("raise SystemExit", "utf-8")
    came = triptych.pull("hf:me/jackets", tmp_path / "back", revision="v1")
    assert came.kind == "composer"
    assert (tmp_path / "back" / "README.md").read_text("utf-8") == "# My own card\n"
    assert not (tmp_path / "back" / "run.py").exists()
    with pytest.raises(FailureError, match=r"the hub does not provide it \(404: no such repository\)"):
        triptych.pull("hf:me/none", tmp_path / "none")


def test_triplets_are_a_data_set_of_the_hub(tmp_path, hub):
    with pytest.raises(DataError, match="make a folder of it with triptych triplets export"):
        triptych.push(TODAY / "triplets-3.parquet", "hf:me/pairs")
    triptych.triplets_export(TODAY / "triplets-3.parquet", tmp_path / "set")
    assert triptych.push(tmp_path / "set", "hf:datasets/me/pairs", public=True).kind == "triplets"
    assert hub.made == [("me/pairs", False, "dataset")]
    came = triptych.pull("hf:datasets/me/pairs", tmp_path / "back")
    assert came.kind == "triplets"
    [part] = (tmp_path / "set" / "data").iterdir()
    assert (tmp_path / "back" / "data" / part.name).read_bytes() == part.read_bytes()
    with pytest.raises(FailureError, match="triplets are at hf:datasets/OWNER/NAME"):
        triptych.pull("hf:me/pairs", tmp_path / "again")


def test_an_encoder_is_handed_on(tmp_path):
    shipped: Any = Path(triptych.__file__).parent / "encoders" / "wardrobe"
    assert triptych.push(shipped, str(tmp_path / "shared")).kind == "encoder"
    came = triptych.pull(str(tmp_path / "shared"), tmp_path / "encoder")
    assert came.kind == "encoder"
    assert triptych.load_encoder(str(tmp_path / "encoder")).fingerprint == triptych.load_encoder("wardrobe").fingerprint


def test_what_is_refused(composer, tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        triptych.push(tmp_path / "none", str(tmp_path / "out"))
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError, match="neither a composer, nor an encoder"):
        triptych.push(tmp_path / "notes", str(tmp_path / "out"))
    (tmp_path / "secret.json").write_text("{}", "utf-8")
    (composer / "more.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(DataError, match="a link that leads out of its folder"):
        triptych.push(composer, str(tmp_path / "out"))
