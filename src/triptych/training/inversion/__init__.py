"""Textual inversion: a picture becomes a pseudo-word, and a query becomes a sentence with that word.

Three baselines, trained on the same unlabelled pictures with the same encoder: Pic2Word, SEARLE and LinCIR. The result
is a composer like any other.
"""
