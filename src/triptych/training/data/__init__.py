"""What training reads: pairs, pixels, patches, triplets and augmentation."""
