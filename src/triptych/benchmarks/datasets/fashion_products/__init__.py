"""Real product photos (Kaggle's Fashion Product Images), with queries and words."""
