"""examples/custom_reasoner.py runs: in Python, and by name on the command line."""

import subprocess
import sys
from pathlib import Path

from triptych.triplets.file import read_triplets

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_the_example_reasoner_in_python_and_by_name(shown_catalog: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    subprocess.run([sys.executable, EXAMPLES / "custom_reasoner.py", shown_catalog, one], check=True)
    code = f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); from triptych.cli import main; main()"
    options = ["--reasoner", "custom_reasoner:OtherColour", "--catalog", shown_catalog, "--out", other]
    subprocess.run([sys.executable, "-c", code, "mine", *options], check=True)
    triplets, note = read_triplets(one)
    assert triplets == read_triplets(other)[0]
    assert note["settings"]["reasoner"] == "other colour"
    assert sum(triplet.accepted for triplet in triplets) > 10
    for triplet in triplets:
        [change], [wording] = triplet.changes, triplet.modifications
        assert change.old != change.new
        assert (triplet.reasoner, wording.text) == ("other colour", f"in {change.new}")
