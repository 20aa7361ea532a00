"""The text intermediary without an oracle: a caption of the reference, edited by the words of the modification."""

import re
from collections.abc import Sequence
from functools import lru_cache

from triptych.composers.baselines import CaptionEdit
from triptych.composers.negation import wishes_of
from triptych.composers.protocol import ChangedWords
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder
from triptych.tagging.vocabulary import Vocabulary

_REMEMBERED = 20_000  # texts whose words are kept


class CaptionWords(CaptionEdit):
    """Caption the reference by tags, replace the words that the modification names, and search with the caption.

    As in CIReVL (Karthik et al., *Vision-by-Language for Training-Free Compositional Image Retrieval*, ICLR 2024), text
    stands between picture and answer; there a language model edits the caption, here the words of the vocabulary do. A
    modification that names none of them is appended to the caption.
    """

    name = "caption-words"

    def __init__(self, encoder: Encoder, vocabulary: Vocabulary) -> None:
        """Find words of a vocabulary in pictures, by an encoder, and in texts."""
        super().__init__(encoder, vocabulary)
        self._named = NamedWords(vocabulary)

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Embed the edited captions.

        Args:
            references: picture vectors `(n, d)`.
            modifications: the n texts.
            changes: ignored, since they are what an oracle knows.

        Returns:
            Unit vectors `(n, d)`.
        """
        return super().compose(references, modifications, [self._named(text) for text in modifications])


class NamedWords:
    """Finds the words of a vocabulary that a modification asks for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Collect each word's forms; of two that overlap in a text the longer one counts."""
        self._word_of: dict[str, tuple[str, str]] = {}
        for group, words in vocabulary.groups.items():
            for word in words:
                for form in (word, vocabulary.phrases[group][word], *vocabulary.sayings.get(group, {}).get(word, ())):
                    self._word_of.setdefault(form.lower(), (group, word))
        forms = sorted(self._word_of, key=lambda form: (-len(form), form))
        self._pattern = re.compile(rf"\b({'|'.join(map(re.escape, forms))})(?:e?s)?\b")
        self._found = lru_cache(_REMEMBERED)(self._find)

    def __call__(self, modification: str) -> dict[str, str]:
        """Return the last word that is asked for of each group; what is excluded is not asked for."""
        return self._found(modification)

    def _find(self, modification: str) -> dict[str, str]:
        wanted = " . ".join(wishes_of(modification).wanted).lower()
        return dict(self._word_of[found[1]] for found in self._pattern.finditer(wanted))
