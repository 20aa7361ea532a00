"""Textual inversion: a picture becomes a pseudo-word, and a query a sentence with that word in it.

The rivals of this family, trained on the same unlabelled pictures with the same encoder: Pic2Word, SEARLE and LinCIR.
What `invert` writes is a composer, so that everything which takes a composer takes it.
"""

from triptych.inversion.training import invert

__all__ = ["invert"]
