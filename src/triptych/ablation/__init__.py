"""What each part of the method brings: recipes of options, run over seeds on val queries, as table and picture."""

from triptych.ablation.recipes import Recipe, load_recipes
from triptych.ablation.running import ablate
from triptych.ablation.showing import format_ablation

__all__ = ["Recipe", "ablate", "format_ablation", "load_recipes"]
