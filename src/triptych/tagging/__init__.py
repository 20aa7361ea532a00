"""Tags for pictures without labels: a vocabulary of attributes, and the probability of each word for each picture."""
