"""CIRCUS: labels for queries of CIRR, FashionIQ, LaSCo and CIRCO that state which inputs are needed to solve them.

Attimonelli et al., *Do Composed Image Retrieval Benchmarks Require Multimodal Composition?* (arXiv 2605.14787). With
eleven encoders, a query is `shortcut-solvable` if the picture alone or the words alone find its target among the first
ten, `composition-required` if only both together do, and `unresolved` if neither does. `shortcut-free` means one of the
last two. `validated` queries are those of a sample of these that annotators found well-formed.

The layout is that of the authors, github.com/matteoattimonelli/CIRCUS in the benchmark's folder as `CIRCUS/`:
`shortcut_free_subsets/cirr/shortcut_free/*.jsonl` and `final_dataset/query_jsonl/cirr/validated_solved/*.jsonl`, with
M-BEIR's fields. CIRR and FashionIQ queries are identified by picture and text, and texts are capitalised and end with a
full stop; LaSCo and CIRCO queries keep their numbers. Queries are filtered. Gallery and metrics stay the benchmark's
own, while the authors rank over M-BEIR's pools.
"""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from triptych.benchmarks.annotations import Record, read_lines
from triptych.benchmarks.settings import Subset
from triptych.core.errors import DataError, UsageError
from triptych.core.progress import say

SOURCE = "clone github.com/matteoattimonelli/CIRCUS into the benchmark's folder"
_VALIDATED = ("validated_solved", "validated_unsolved")
_NUMBERED = ("circo", "lasco")  # benchmarks whose queries have ids


class QuerySubset:
    """The queries of a benchmark with a label; all queries if no label is chosen."""

    def __init__(self, name: str, keys: frozenset[str] | None) -> None:
        self._name = name
        self._keys = keys
        self._met: set[str] = set()

    @classmethod
    def of(cls, root: Path, benchmark: str, subset: Subset, split: str) -> "QuerySubset":
        """Read the queries with a label from the folder `CIRCUS` in the benchmark's folder.

        Raises:
            UsageError: the split is not val.
            DataError: the files are missing or wrong.
        """
        if subset == "all":
            return cls("", None)
        if split != "val":
            raise UsageError(f"--setting subset={subset}: CIRCUS labels queries of val, not of {split}")
        files = _files(root / "CIRCUS", benchmark, subset.replace("-", "_"))
        numbered = benchmark in _NUMBERED
        keys = frozenset(_key(record, numbered) for file in files for record in read_lines(file, SOURCE))
        return cls(f"{benchmark} {subset}", keys)

    def keeps(self, record: Record, key_of: Callable[[Record], str]) -> bool:
        """Whether a query of the official annotations is in the subset. `key_of` computes the query's key."""
        if self._keys is None:
            return True
        name = key_of(record)
        if name in self._keys:
            self._met.add(name)
            return True
        return False

    def report(self, kept: int) -> None:
        """Print how many labelled queries are missing in the benchmark's files.

        Raises:
            DataError: all of them are missing.
        """
        if self._keys is None:
            return
        if not kept:
            raise DataError(
                f"{self._name}: none of its {len(self._keys)} queries is in this folder; is it another release?"
            )
        if missed := len(self._keys) - len(self._met):
            say(f"{self._name}: {missed} of {len(self._keys)} labelled queries are not in the benchmark's files")


def text_key(reference: str, text: str) -> str:
    """The key of a query without a number: its reference and the letters of its text."""
    return f"{reference} {' '.join(re.findall(r'[a-z0-9]+', text.lower()))}"


def _files(folder: Path, benchmark: str, label: str) -> list[Path]:
    """Find the files of a label; for `validated`, those of both halves.

    Raises:
        DataError: there are no such files.
    """
    if label.startswith("validated"):
        labels = _VALIDATED if label == "validated" else (label,)
        places = [folder / "final_dataset" / "query_jsonl" / benchmark / each for each in labels]
    else:
        places = [folder / "shortcut_free_subsets" / benchmark / label]
    found = []
    for place in places:
        files = sorted(file for file in place.glob("*.jsonl") if not file.name.endswith(".trace.jsonl"))
        if not files:
            raise DataError(f"{place}: there is no file of queries here; {SOURCE}")
        found += files
    return found


def _key(record: Record, numbered: bool) -> str:
    if numbered:
        return record.identifier("query_id" if "query_id" in record else "qid").rpartition("_")[2]
    return text_key(PurePosixPath(record.text("query_img_path")).stem, record.text("query_txt"))
