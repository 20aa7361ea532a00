"""Options of mining. The command line makes its flags from these fields."""

from dataclasses import dataclass
from pathlib import Path

from triptych.core.errors import UsageError
from triptych.core.options import as_paths, check_ranges, flag_of, nested, option

SimilarityRange = tuple[float, float]
"""The least and the greatest cosine similarity, both allowed."""

_VOCABULARY = 'Words, as JSON: {"colour": ["red", "blue"], …}; by default the package\'s own.'
_LIMIT = "Use only this many reference pictures."
_GROUP_SIZE = "Pictures considered together with a reference."
_SEED = "Seed of everything random."


@dataclass(frozen=True)
class CriticOptions:
    """What a draft must reach for the built-in critic to accept it.

    `min_probability` is small because rare words are never certain. A further target must reach it, too; a picture of
    the group that reaches half of it is no negative. `max_margin` is a difference of logarithms; 3 means twenty times
    as probable. Many pictures may answer, but the target must be one of them. `min_exclusion` is the probability that a
    target does not show an excluded word.

    Raises:
        UsageError: a value is out of its range.
    """

    min_probability: float = option(
        0.03, "Critic: least probability that the words are true of the target.", metavar="P", above=0
    )
    min_ratio: float = option(
        2.0, "Critic: times as probable of the target as of the reference; 0 for no test.", metavar="N", min=0
    )
    max_margin: float = option(
        3.0, "Critic: how much better another picture may fit, as a difference of logarithms.", metavar="N", min=0
    )

    min_exclusion: float = option(
        0.9, "Critic: least probability that a target does not show an excluded word.", metavar="P", min=0, max=1
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.min_probability >= 1:
            raise UsageError(f"{flag_of(CriticOptions, 'min_probability')} must be below 1")


@dataclass(frozen=True)
class MineOptions:
    """How `mine` makes triplets.

    Raises:
        UsageError: a value is out of its range.
    """

    vocabulary: Path | None = option(None, _VOCABULARY, metavar="FILE")
    limit: int | None = option(None, _LIMIT, min=1)
    changes: int = option(4, "Change plans for each reference: which attributes could change.", min=1)
    exclusions: float = option(
        0.12, "Share of the questions that only exclude a word, such as 'not blue'.", metavar="P", min=0, max=1
    )
    triplets_per_change: int = option(2, "Triplets for each change plan, at most.", min=1)
    candidates: int = option(1000, "Pictures considered as targets of each change plan.", min=1)
    group_size: int = option(8, _GROUP_SIZE, min=1)
    similarity: SimilarityRange | None = option(
        None, "Least and greatest similarity of a target, such as 0.8 0.96; by default any.", metavar="LOW HIGH"
    )
    critic: CriticOptions = nested(CriticOptions)
    # Composers of catalogs with 0.51 to 0.87 did no harm; one with 0.36 lost 6 points of R@10 (bench/do_no_harm.py).
    min_agreement: float = option(
        0.45,
        "Least share of neighbours that must agree about the kind, or nothing is mined; 0 for no test.",
        metavar="P",
        min=0,
        max=1,
    )
    """Below it, the encoder does not recognise what most pictures are of, so most triplets would be wrong."""
    reverse: bool = option(False, "Also make the reverse triplet, from each accepted target to its reference.")
    refined: Path | None = option(None, "Mine another round: add to this file, which refine wrote.", metavar="FILE")
    seed: int = option(0, _SEED, min=0)

    def __post_init__(self) -> None:
        as_paths(self, "vocabulary", "refined")
        check_ranges(self)
        if self.similarity is not None:
            object.__setattr__(self, "similarity", _similarity(self.similarity))


@dataclass(frozen=True)
class ChatMineOptions:
    """How `mine_chat` makes triplets. Options about the model are in `ChatSettings`.

    Raises:
        UsageError: a value is out of its range.
    """

    vocabulary: Path | None = option(
        None,
        'Also propose pictures that differ in one group of these words: {"colour": ["red", …], …}.',
        metavar="FILE",
    )
    limit: int | None = option(None, _LIMIT, min=1)
    triplets: int = option(2, "Triplets for each reference, at most.", min=1)
    # Beyond the nearest 300, two pictures hardly look similar to a person.
    candidates: int = option(300, "Nearest pictures from which a group is chosen.", min=1, max=300)
    group_size: int = option(8, _GROUP_SIZE, min=1)
    seed: int = option(0, _SEED, min=0)

    def __post_init__(self) -> None:
        as_paths(self, "vocabulary")
        check_ranges(self)


@dataclass(frozen=True)
class RefineOptions:
    """How `refine` judges triplets.

    Raises:
        UsageError: a value is out of its range.
    """

    vocabulary: Path | None = option(None, "Words, as JSON; by default the triplets' own vocabulary.", metavar="FILE")
    folds: int = option(2, "Parts of the triplets; each is judged by a composer that learnt from the others.", min=2)
    epochs: int = option(1, "Passes of each composer over its triplets.", min=1)
    top_k: int = option(10, "A target among this many first answers is plausible.", min=1)
    seed: int = option(0, _SEED, min=0)

    def __post_init__(self) -> None:
        as_paths(self, "vocabulary")
        check_ranges(self)


def _similarity(given: object) -> SimilarityRange:
    """Check a range of cosines. In a file of recipes it may be anything.

    Raises:
        UsageError: it is no range.
    """
    flag = flag_of(MineOptions, "similarity")
    if isinstance(given, (tuple, list)) and len(given) == 2 and all(isinstance(end, (int, float)) for end in given):
        low, high = given
        if -1 <= low < high <= 1:
            return low, high
    raise UsageError(f"{flag} needs two cosines, the least similarity and the greatest, such as 0.8 0.96")
