"""Published rows as data: what command measures each, what its authors published, and both side by side."""

from triptych.reproduction.pages import format_recipes, format_reproduction
from triptych.reproduction.recipes import Published, Recipe, Run, load_recipes
from triptych.reproduction.running import reproduce

__all__ = ["Published", "Recipe", "Run", "format_recipes", "format_reproduction", "load_recipes", "reproduce"]
