"""Published rows as recipes: run, and set beside what was published."""
