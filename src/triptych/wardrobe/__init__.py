"""The embedded world: drawn garments, and the queries that lead from one to another."""

from pathlib import Path

from triptych.wardrobe.captions import caption
from triptych.wardrobe.drawing import draw
from triptych.wardrobe.garments import Garment, vocabulary
from triptych.wardrobe.world import write_world

VOCABULARY = Path(__file__).parent / "vocabulary.json"
"""The words of `vocabulary()`, with other ways to say them, for the agent and the baselines."""

__all__ = ["VOCABULARY", "Garment", "caption", "draw", "vocabulary", "write_world"]
