"""Published rows as recipes, which are run and compared with the published figures."""
