"""Sewing a garment: its pieces of cloth laid on a sheet, upright and without light."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from triptych.benchmarks.datasets.wardrobe import bottoms, tops
from triptych.benchmarks.datasets.wardrobe.garments import Garment
from triptych.benchmarks.datasets.wardrobe.needle import Needle
from triptych.benchmarks.datasets.wardrobe.sheet import Sheet

_KINDS: Mapping[str, Callable[[Needle], None]] = {
    "t-shirt": tops.t_shirt,
    "shirt": tops.shirt,
    "sweater": tops.sweater,
    "hoodie": tops.hoodie,
    "jacket": tops.jacket,
    "dress": tops.dress,
    "skirt": bottoms.skirt,
    "trousers": bottoms.trousers,
    "shorts": bottoms.shorts,
}


@lru_cache(maxsize=8)
def sew(garment: Garment, side: int) -> Sheet:
    """The sheet of `side` pixels with the garment on it; it must not be drawn on further."""
    needle = Needle(garment, side)
    _KINDS[garment.kind](needle)
    return needle.sheet
