"""Textual inversion: a picture becomes a pseudo-word, and a query a sentence with that word in it.

Baselines trained on the same unlabelled pictures with the same encoder: Pic2Word, SEARLE and LinCIR. What is written
is a composer, so that everything which takes a composer takes it.
"""
