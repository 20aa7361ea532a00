"""Real product photos (Kaggle's Fashion Product Images), their queries and words."""
