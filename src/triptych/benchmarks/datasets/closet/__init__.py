"""Photos of clothes that people took at home (CC0), with queries and words."""
