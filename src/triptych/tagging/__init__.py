"""Words for pictures without labels: a vocabulary of attributes, and how likely each word is for each picture."""
