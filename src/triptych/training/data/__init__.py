"""Training data: pairs, pixels, patches, triplets and augmentation."""
