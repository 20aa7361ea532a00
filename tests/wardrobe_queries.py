"""What the wardrobe's customers say of given changes."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from triptych.benchmarks.datasets.wardrobe.captions import Voice, modification
from triptych.benchmarks.datasets.wardrobe.garments import Garment
from triptych.triplets.file import Change

PLAIN = Garment("t-shirt", "red", "plain", "sleeveless", neckline="", length="short", print="none", line=0)


def said_of(changes: Sequence[Change], voice: Voice, draws: int) -> set[str]:
    """The queries that a voice has for the changes, in small letters, as far as so many draws come upon them."""
    before, after = (
        replace(PLAIN, **{change.attribute: getattr(change, side) for change in changes}) for side in ("old", "new")
    )
    return {modification(before, after, voice, Random(seed)).casefold() for seed in range(draws)}
