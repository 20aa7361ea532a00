"""Real clothes as people photograph them at home (CC0), their queries and words."""
