"""The text intermediary: caption the reference by tags, edit the caption, search with it."""

import re
from collections import deque
from collections.abc import Sequence
from functools import lru_cache

from triptych.composers.negation import signed_phrases
from triptych.composers.protocol import ChangedWords, SameSpace
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder
from triptych.tagging.tagger import Tagger, Tags, best_words
from triptych.tagging.vocabulary import Vocabulary

_REMEMBERED = 4  # arrays of references with cached tags: enough for a task and its val split
_TEXTS = 20_000  # modifications with cached words


class CaptionEdit(SameSpace):
    """An upper bound of the text intermediary: caption the reference by tags, edit the caption, search with it.

    The edit is that of a perfect language model, since `changes` gives the new words. If a query has no `changes`, the
    modification is appended to the caption. Tags of the latest arrays of references are cached, since other wordings,
    weights and methods use the same references.
    """

    name = "caption-edit"

    def __init__(self, encoder: Encoder, vocabulary: Vocabulary) -> None:
        self._encoder = encoder
        self.vocabulary = vocabulary
        self._tagger = Tagger(encoder, vocabulary)
        self._tagged: deque[tuple[Vectors, Tags]] = deque(maxlen=_REMEMBERED)

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Encode the edited captions."""
        tags = self._tags(references)
        captions = []
        for row, modification in enumerate(modifications):
            words = best_words(tags, self.vocabulary, row)
            change = changes[row] if changes else None
            title = self.vocabulary.title({**words, **(change or {})})
            captions.append(title if change else f"{title} {modification}")
        return self._encoder.encode_texts(captions)

    def _tags(self, references: Vectors) -> Tags:
        known = next((tags for asked, tags in self._tagged if asked is references), None)
        if known is None:
            known = self._tagger(references)
            self._tagged.append((references, known))
        return known


class CaptionWords(SameSpace):
    """The text intermediary without an oracle: the words that the modification names replace those of the caption.

    As in CIReVL (Karthik et al., *Vision-by-Language for Training-Free Compositional Image Retrieval*, ICLR 2024), the
    query is a text. There a language model edits the caption; here words of the vocabulary are replaced. A modification
    without such words is appended to the caption.
    """

    name = "caption-words"

    def __init__(self, captions: CaptionEdit) -> None:
        """Edit the captions of a `CaptionEdit`."""
        self._captions = captions
        self._named = NamedWords(captions.vocabulary)

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Encode the edited captions.

        Args:
            references: picture vectors `(n, d)`.
            modifications: the n texts.
            changes: ignored, since only an oracle knows them.

        Returns:
            Unit vectors `(n, d)`.
        """
        return self._captions.compose(references, modifications, [self._named(text) for text in modifications])


class NamedWords:
    """Finds the words of a vocabulary that a modification asks for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Collect the forms of each word. If two overlap in a text, the longer one counts."""
        self._word_of: dict[str, tuple[str, str]] = {}
        for group, words in vocabulary.groups.items():
            for word in words:
                for form in (word, vocabulary.phrases[group][word], *vocabulary.sayings.get(group, {}).get(word, ())):
                    self._word_of.setdefault(form.lower(), (group, word))
        forms = sorted(self._word_of, key=lambda form: (-len(form), form))
        self._pattern = re.compile(rf"\b({'|'.join(map(re.escape, forms))})(?:e?s)?\b")
        self._found = lru_cache(_TEXTS)(self._find)

    def __call__(self, modification: str) -> dict[str, str]:
        """Return for each group the last word that the modification asks for. Excluded words are ignored."""
        return self._found(modification)

    def _find(self, modification: str) -> dict[str, str]:
        wanted = " . ".join(signed_phrases(modification).wanted).lower()
        return dict(self._word_of[found[1]] for found in self._pattern.finditer(wanted))
