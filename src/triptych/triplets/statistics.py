"""Statistics of a triplet file: types of change, lengths, duplicates, leakage."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych.core.errors import DataError
from triptych.core.text import truncate
from triptych.triplets.file import Triplet, kind_of_reason, read_triplets

_SHOWN = 8  # kinds of change, and reasons, that are listed


@dataclass(frozen=True)
class TripletStatistics:
    """Statistics of a triplet file. All but the first three are about the accepted triplets."""

    accepted: int
    """Accepted triplets."""
    refused: int
    """Refused triplets."""
    refused_because: Mapping[str, int]
    """Why triplets were refused, the most frequent reasons first."""
    references: int
    """Different reference pictures."""
    targets: int
    """Different target pictures."""
    changes: Mapping[str, int]
    """Triplets by what changes, such as `colour+sleeve`."""
    words: Mapping[str, str]
    """Words of a wording, by style: the median, and the 5th to the 95th percentile."""
    same_pair_again: int
    """Triplets with the same reference and target as another triplet."""
    pair_both_ways: int
    """Pairs of pictures that are reference and target in both orders."""
    wordings: int
    """Wordings."""
    distinct_wordings: int
    """Different wordings, whatever their case."""
    commonest_wording: str
    """The most frequent wording, and its count."""
    hard_negatives_each: float
    """Mean number of hard negatives."""
    reasoners: Mapping[str, int]
    """Triplets by reasoner."""
    leaked: int | None = None
    """Triplets with a picture of the given benchmark; None if none was given."""


def triplets_stats(file: Path | str, *, against: Path | str | None = None) -> TripletStatistics:
    """Count what a triplet file holds.

    Args:
        file: triplet file.
        against: a benchmark's pictures, as a .txt list with one a line, or its queries.jsonl. With it, triplets with
            such a picture are counted as leaked.

    Returns:
        Counts and shares over the accepted triplets, and the reasons of the refused ones.

    Raises:
        DataError: a file cannot be read.
    """
    triplets, _ = read_triplets(Path(file))
    accepted = [triplet for triplet in triplets if triplet.accepted]
    # The file may be untrusted, and its content is printed on a terminal.
    refused = Counter(truncate(kind_of_reason(triplet.reason), 80) for triplet in triplets if not triplet.accepted)
    pairs = Counter((triplet.reference, triplet.target) for triplet in accepted)
    texts = Counter(wording.text.casefold() for triplet in accepted for wording in triplet.modifications)
    leaked = None
    if against is not None:
        known = _pictures_of(Path(against))
        leaked = sum(bool({one.reference, one.target} & known) for one in accepted)
    return TripletStatistics(
        accepted=len(accepted),
        refused=sum(refused.values()),
        refused_because=_most(refused),
        references=len({triplet.reference for triplet in accepted}),
        targets=len({triplet.target for triplet in accepted}),
        changes=_most(Counter(map(_kind, accepted))),
        words={truncate(style, 40): _lengths(lengths) for style, lengths in sorted(_words(accepted).items())},
        same_pair_again=sum(count - 1 for count in pairs.values()),
        pair_both_ways=sum((target, reference) in pairs for reference, target in pairs) // 2,
        wordings=sum(texts.values()),
        distinct_wordings=len(texts),
        commonest_wording=f"{texts.most_common(1)[0][0]!r} ({texts.most_common(1)[0][1]})" if texts else "none",
        hard_negatives_each=round(float(np.mean([len(one.negatives) for one in accepted])), 1) if accepted else 0.0,
        reasoners=dict(Counter(truncate(triplet.reasoner, 120) for triplet in accepted).most_common(_SHOWN)),
        leaked=leaked,
    )


def _kind(triplet: Triplet) -> str:
    return truncate("+".join(sorted(change.attribute for change in triplet.changes)), 80)


def _words(triplets: Iterable[Triplet]) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for triplet in triplets:
        for wording in triplet.modifications:
            found.setdefault(wording.style, []).append(len(wording.text.split()))
    return found


def _lengths(words: list[int]) -> str:
    low, middle, high = np.percentile(words, [5, 50, 95])
    return f"{middle:.0f} ({low:.0f} to {high:.0f})"


def _most(counted: Counter[str]) -> dict[str, int]:
    named = dict(counted.most_common(_SHOWN))
    if rest := sum(counted.values()) - sum(named.values()):
        named[f"{len(counted) - len(named)} others"] = rest
    return named


def _pictures_of(path: Path) -> set[str]:
    """The picture names in a list or a file of queries: references, targets and candidates."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable list of pictures ({error})") from None
    if path.suffix != ".jsonl":
        return {line.strip() for line in lines if line.strip()}
    found: set[str] = set()
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                query = json.loads(line)
                found |= {query["reference"], *query["targets"], *query.get("candidates", ())}
            except (ValueError, KeyError, TypeError, RecursionError):
                raise DataError(f"{path}:{number}: not a query; see docs/reference/formats.md") from None
    return found
