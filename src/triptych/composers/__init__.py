"""(reference, modification) to query vector: the protocol, the baselines, and composers that were trained."""
