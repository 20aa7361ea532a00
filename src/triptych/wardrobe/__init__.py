"""The embedded world: drawn garments, and the queries that lead from one to another."""

from triptych.wardrobe.captions import caption
from triptych.wardrobe.drawing import draw
from triptych.wardrobe.garments import Garment, vocabulary
from triptych.wardrobe.world import write_world

__all__ = ["Garment", "caption", "draw", "vocabulary", "write_world"]
