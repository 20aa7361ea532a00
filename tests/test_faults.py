"""Commands killed (-9) at random moments end as if they had not been: bench/faults.py, with few kills and with many."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from hostile import Count

BENCH = Path(__file__).parents[1] / "bench"

pytest.importorskip("httpx2", reason="the extra `chat` is not installed")
pytest.importorskip("fastapi", reason="the extra `serve` is not installed")


def faults(folder: Path, *options: object) -> list[str]:
    command = [sys.executable, str(BENCH / "faults.py"), "--folder", str(folder / "work"), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_few_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    """Training is killed at chosen moments in test_resume.py; here it would take most of the time."""
    commands = ["index", "mine", "mine-chat", "adds"]
    _, *rows, last = faults(tmp_path, "--kills", 4, "--commands", ",".join(commands))
    assert [row.split()[:2] for row in rows] == [[command, "1"] for command in commands]
    assert last == "4 kills, 0 rounds wrong"


@pytest.mark.slow
def test_many_kills_and_calls(tmp_path: Path) -> None:
    lines = faults(tmp_path, "--kills", 60, "--chat-calls", 2000)
    assert "60 kills, 0 rounds wrong" in lines
    assert "calls sent again though their answer was in the ledger: 0" in lines


def test_what_is_lost_or_paid_for_twice_is_wrong() -> None:
    facts = {"calls": 9, "faults": Counter({"429": 3}), "seconds": 1.0, "references": 3, "triplets": 6}
    ended = Counter({"accepted": 2, "rejected": 1})

    def count(**more: object) -> Count:
        return Count(**({"kills": 0, "ended": ended, "repeated": 0, "known": 0, "answered": 0} | facts | more))

    assert count().wrong == 0
    assert count(kills=2, answered=1).wrong == 0  # the reply was on its way
    for more in ({"answered": 1}, {"known": 1}, {"repeated": 1}, {"ended": Counter({"accepted": 2, "pending": 1})}):
        assert count(**more).wrong == 1
    assert "9 calls, 3 faults (33 %), 0 kills" in count().lines()[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's files")
def test_what_a_service_answered_is_true_after_every_fault(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "service_faults.py"), "--folder", str(tmp_path / "work"), "--rounds", "12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert [counts[f"rounds {fault}"] for fault in ("kill", "term", "full")] == ["4", "4", "4"]
    assert int(counts["adds acknowledged"]) > int(counts["rounds full"])
    assert int(counts["adds refused"]) > 0


def test_what_a_service_answered_falsely_is_noticed(own_catalog: Path) -> None:
    from service_faults import Truth, Wrong, check
    from triptych.catalog.catalog import Catalog

    known = Catalog(own_catalog).hashes[0]
    check(own_catalog, Truth({known: True, "0" * 64: False, "1" * 64: None}), "now")
    for there in ({known: False}, {"0" * 64: True}):
        with pytest.raises(Wrong):
            check(own_catalog, Truth(dict(there)), "now")
