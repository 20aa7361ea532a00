import errno
import json
import os
import platform
import stat
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from triptych.core import files
from triptych.core.errors import DataError, FailureError
from triptych.core.files import atomic, hash_file, locked, made_by, read_json, write_json
from triptych.core.version import __version__


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new folder" / "note.txt"
    with atomic(path) as temporary:
        temporary.write_text("all of it")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "all of it"
    assert contents(path.parent) == ["note.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")

    def fail():
        with atomic(path) as temporary:
            temporary.write_text("half of the n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert contents(tmp_path) == ["note.txt"]


def test_a_file_is_as_readable_as_any_other(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "note.json", {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "note.json").stat().st_mode) == 0o640


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    path = tmp_path / "odd [name]*.json"
    code = (
        "import os, signal, sys; from pathlib import Path; from triptych.core import files\n"
        "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_json(Path(sys.argv[1]), 'never seen')\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -9
    assert len(contents(tmp_path)) == 1
    assert not path.exists()
    write_json(path, "seen")
    assert contents(tmp_path) == [path.name]
    assert read_json(path, "note") == "seen"


def test_a_living_writer_keeps_its_temporary_file(tmp_path):
    path = tmp_path / "note.json"
    with atomic(path) as temporary:
        temporary.write_text('"slow"')
        write_json(path, "quick")
        assert read_json(path, "note") == "quick"
    assert read_json(path, "note") == "slow"
    assert contents(tmp_path) == ["note.json"]


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    with locked(tmp_path / "new"):
        with pytest.raises(FailureError, match="another run"), locked(tmp_path / "new"):
            pass
        code = "import sys; from pathlib import Path; from triptych.core.files import locked\n"
        code += "with locked(Path(sys.argv[1])): pass\n"
        other = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "new")], capture_output=True, text=True, check=False
        )
        assert other.returncode != 0
        assert "another run is writing here" in other.stderr
    with locked(tmp_path / "new"):
        assert contents(tmp_path / "new") == [".lock"]


def test_a_lock_goes_with_a_killed_process(tmp_path):
    code = "import os, signal, sys; from pathlib import Path; from triptych.core.files import locked\n"
    code += "with locked(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)\n"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    with locked(tmp_path):
        assert contents(tmp_path) == [".lock"]


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("filelock.lock_descriptor", refused)
    write_json(tmp_path / "note.json", "written")  # which needs no lock
    assert read_json(tmp_path / "note.json", "note") == "written"
    with pytest.raises(FailureError, match=r"cannot lock files \(.+\); use a folder on another disk"), locked(tmp_path):
        pass


def test_files_are_written_on_windows_too(tmp_path, monkeypatch):
    """There a file that is open is not renamed, and what a killed writer left is known by its age alone."""
    monkeypatch.setattr(files, "_WINDOWS", True)
    path = tmp_path / "note.json"
    fresh, stale = tmp_path / ".note.json.0000.tmp", tmp_path / ".note.json.1111.tmp"
    for left in (fresh, stale):
        left.write_text("half")
    os.utime(stale, (0, 0))
    with atomic(path) as temporary:
        temporary.write_text('"whole"')
    assert read_json(path, "note") == "whole"
    assert contents(tmp_path) == [fresh.name, path.name]


@pytest.mark.parametrize("flag", [True, False])
def test_a_lock_is_no_link(tmp_path, monkeypatch, flag):
    if not flag:
        monkeypatch.delattr(os, "O_NOFOLLOW")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is a link; delete it"), locked(tmp_path / "folder"):
        pass
    assert not (tmp_path / "elsewhere").exists()
    with locked(tmp_path / "another"):
        assert contents(tmp_path / "another") == [".lock"]


def test_writing_never_changes_the_umask(tmp_path, monkeypatch):
    """It belongs to the process: another thread would make its files while it is another one."""
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask was changed"))
    write_json(tmp_path / "note.json", {})


def test_json_round_trip_keeps_words_legible(tmp_path):
    path = tmp_path / "note.json"
    write_json(path, {"Größe": ["ж", "🧥"]})
    assert read_json(path, "note") == {"Größe": ["ж", "🧥"]}
    assert "🧥" in path.read_text("utf-8")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_unreadable_json_is_named(tmp_path, content):
    path = tmp_path / "note.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a readable shopping list") as raised:
        read_json(path, "shopping list")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_json_is_named(tmp_path):
    with pytest.raises(DataError, match="there is no shopping list here"):
        read_json(tmp_path / "note.json", "shopping list")


def test_a_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_note_says_what_made_an_artefact():
    note = made_by("train", {"out": Path("a/b"), "epochs": 3}, recall=12.5)
    assert json.loads(json.dumps(note)) == note
    assert note["program"] == "triptych"
    assert note["version"] == __version__
    assert note["python"] == platform.python_version()
    assert note["command"] == "train"
    assert note["settings"] == {"out": "a/b", "epochs": 3}
    assert note["recall"] == 12.5
    assert datetime.fromisoformat(note["time"]).utcoffset() is not None
