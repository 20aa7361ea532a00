"""Words for pictures without labels: a vocabulary of attributes, and how likely each word is for each picture."""

from triptych.tagging.agreement import agreed
from triptych.tagging.tagger import Tagger, Tags, best_words, shows
from triptych.tagging.vocabulary import DEFAULT, Vocabulary, load_vocabulary

__all__ = ["DEFAULT", "Tagger", "Tags", "Vocabulary", "agreed", "best_words", "load_vocabulary", "shows"]
