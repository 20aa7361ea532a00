"""How texts are read: which words an encoder does not know, and how a long text is read in parts.

Every tokenizer splits a word that was in no caption into letters, bytes or an unknown token. So words of other
languages and scripts, and typing errors, can be distinguished from words that an encoder may know.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from triptych.core.progress import say
from triptych.core.text import truncate
from triptych.core.vectors import Vectors, unit
from triptych.encoders.protocol import ReportsReading, TextReading
from triptych.encoders.tokenizer import whole_tokenizer

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

    from triptych.encoders.lexicon import Lexicon

# A word counts as known if known pieces of these lengths cover this share of its letters.
_SHARE = 2 / 3
_STEM = 3  # letters of a piece at the start of a word, at least
_SUFFIX = 4  # letters of a later piece, at least, after a first piece of at least this length
_SYLLABLE = 2  # letters of a piece in alphabets other than Latin, at least
_SHOWN = 8  # words in a message, at most
_LONGEST = 40  # letters of a word in a message, at most
_BYTE = re.compile("<0x[0-9A-Fa-f]{2}>")
_MARKERS = "Ġ▁"  # signs of tokenizers for the space before a word
_WORD_SIGNS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL")  # scripts in which a single sign can be a word
_EMOJI_STYLES = ("\ufe0e", "\ufe0f")

_LISTED = """
a an the this that these those and or but so as at by for from in into of on to with than then if there here
i me my you your he she it its we us our they them their who what which one something anything same other another
is are was were be been am has have had do does did can could would should will may might
please just only also very like
"""
_FUNCTION_WORDS = frozenset(_LISTED.split())
"""Function words, which name nothing that a picture shows. Negations are not among them, since it matters whether
"without" is known."""


class TextReader:
    """Reports how the texts of a tokenizer are read.

    Args:
        tokenizer: a tokenizer of the package `tokenizers`, without truncation and padding.
        limit: the most tokens of a text that are read at once, without start and end tokens.
        lower: whether texts are lower-cased before a tokenizer that distinguishes cases.
        lexicon: the words that the encoder can name, which always count as known.
    """

    def __init__(
        self, tokenizer: "Tokenizer", limit: int, *, lower: bool = False, lexicon: "Lexicon | None" = None
    ) -> None:
        self.limit = limit
        self._tokenizer = tokenizer
        self._lower = lower
        self._lexicon = lexicon
        self._unknown_token = getattr(tokenizer.model, "unk_token", None) or "<unk>"
        self._knows = lru_cache(maxsize=65_536)(self._judge)

    @classmethod
    def of(cls, folder: Path, length: int, *, lower: bool) -> Self:
        """Make the reader for a folder with a `tokenizer.json`. `length` is the limit including start and end
        tokens."""
        tokenizer = whole_tokenizer(folder)
        return cls(tokenizer, length - tokenizer.num_special_tokens_to_add(False), lower=lower)

    def readings(self, texts: Sequence[str], *, reserved: int = 0, learnt: Collection[str] = ()) -> list[TextReading]:
        """`ReportsReading.readings`."""
        limit = max(1, self.limit - reserved)
        counts = [len(encoding.ids) for encoding in self._encode(texts)]
        found = []
        for text, count in zip(texts, counts, strict=True):
            parts = self._parts(text, limit, learnt) if count > limit else ()
            found.append(TextReading(count, limit, self.unknown(text, learnt), parts))
        return found

    def unknown(self, text: str, learnt: Collection[str] = ()) -> tuple[str, ...]:
        """The distinct unknown words of a text, in order, without function words."""
        words = dict.fromkeys(words_of(text))
        return tuple(word for word in words if word.lower() not in _FUNCTION_WORDS and not self._reads(word, learnt))

    def encode_whole(self, texts: Sequence[str], encode: Callable[[Sequence[str]], Vectors]) -> Vectors:
        """Vectors of texts by `encode`, which truncates. A too long text gets the mean over its parts."""
        # A token has at least one byte, but a tokenizer may normalise non-ASCII characters to longer strings.
        suspects = [row for row, text in enumerate(texts) if len(text) >= self.limit or not text.isascii()]
        return self.replace_long(encode(texts), texts, suspects, encode)

    def replace_long(
        self, vectors: Vectors, texts: Sequence[str], rows: Sequence[int], encode: Callable[[Sequence[str]], Vectors]
    ) -> Vectors:
        """Replace the vectors of `rows`, whose texts are too long, by the mean over their parts."""
        parts: list[str] = []
        owners: list[int] = []
        for row, reading in zip(rows, self.readings([texts[row] for row in rows]), strict=True):
            parts += reading.parts
            owners += [row] * len(reading.parts)
        if parts:
            long = np.unique(owners)
            vectors = np.array(vectors)
            vectors[long] = _means(encode(parts), np.searchsorted(long, owners), len(long))
        return vectors

    def _encode(self, texts: Sequence[str]) -> "list[Encoding]":
        lowered = [text.lower() for text in texts] if self._lower else list(texts)
        encoded: list[Encoding] = self._tokenizer.encode_batch(lowered, add_special_tokens=False)
        return encoded

    def _reads(self, word: str, learnt: Collection[str]) -> bool:
        plain = word.lower()
        return plain in learnt or self._knows(plain)

    def _judge(self, word: str) -> bool:
        """Whether enough of a word's letters are in pieces that an encoder may have learnt."""
        if (word.isascii() and len(word) == 1) or word.isnumeric():
            return True  # such as the s of women's and the v of v-neck; numbers are read digit by digit
        if self._lexicon is not None and self._lexicon.knows(word):
            return True
        encoding = self._encode([word])[0]
        spans, starts = self._pieces(encoding)
        if starts and spans == [(0, len(word))]:
            return True
        lengths = [end - start for start, end in spans]
        if any(unicodedata.name(sign, "").startswith(_WORD_SIGNS) for sign in word):
            read = sum(lengths)
        elif any(unicodedata.name(sign, "").startswith("LATIN") for sign in word):
            stem = lengths[0] if starts and lengths else 0
            least = _SUFFIX if stem >= _SUFFIX else len(word) + 1
            read = (stem if stem >= _STEM else 0) + sum(length for length in lengths[1:] if length >= least)
        else:
            read = sum(length for length in lengths if length >= _SYLLABLE)
        return read >= _SHARE * len(word)

    def _pieces(self, encoding: "Encoding") -> tuple[list[tuple[int, int]], bool]:
        """The spans of known pieces of whole characters, and whether the first one begins the word."""
        real = [
            (token, span)
            for token, span in zip(encoding.tokens, encoding.offsets, strict=True)
            if token != self._unknown_token and not _BYTE.fullmatch(token)
        ]
        starts = bool(real) and real[0][0] not in _MARKERS and real[0][1][0] == 0
        spans = [span for token, span in real if token not in _MARKERS]
        # Several tokens with the same span are bytes of one character.
        bytes_of = Counter(spans)
        whole = [span for span in spans if bytes_of[span] == 1 and span[1] > span[0]]
        return whole, starts and bool(whole) and whole[0][0] == 0

    def _parts(self, text: str, limit: int, learnt: Collection[str]) -> tuple[str, ...]:
        """Split a too long text into parts, without unknown words."""
        words = text.split()
        understood = [word for word in words if any(self._reads(said, learnt) for said in words_of(word))]
        words = understood or words or [text]
        pieces = [piece for word in words for piece in self._fitting(word, limit)]
        counts = [len(encoding.ids) for encoding in self._encode(pieces)]
        target = sum(counts) / math.ceil(sum(counts) / limit)
        parts: list[list[str]] = []
        filled = 0
        for piece, count in zip(pieces, counts, strict=True):
            if not parts or filled + count > limit or filled >= target:
                parts.append([])
                filled = 0
            parts[-1].append(piece)
            filled += count
        return tuple(" ".join(part) for part in parts)

    def _fitting(self, word: str, limit: int) -> list[str]:
        """Halve a word until its parts fit."""
        if len(word) < 2 or len(self._encode([word])[0].ids) <= limit:
            return [word]
        middle = len(word) // 2
        return [*self._fitting(word[:middle], limit), *self._fitting(word[middle:], limit)]


def words_of(text: str) -> Iterator[str]:
    """The words of a text: runs of letters, marks and digits, and single symbols such as emojis."""
    word = ""
    for sign in text:
        kind = unicodedata.category(sign)
        if kind[0] in "LMN" and sign not in _EMOJI_STYLES:
            word += sign
            continue
        if word:
            yield word
            word = ""
        if kind == "So":
            yield sign
    if word:
        yield word


def parts_of_texts(texts: Sequence[str], readings: Sequence[TextReading]) -> tuple[list[str], NDArray[np.intp]]:
    """The parts of all texts, and for each part the row of its text."""
    if not readings:
        return list(texts), np.arange(len(texts))
    parts = [reading.parts or (text,) for text, reading in zip(texts, readings, strict=True)]
    owners = np.repeat(np.arange(len(texts)), [len(part) for part in parts])
    return [part for several in parts for part in several], owners


def mean_by_owner(vectors: Vectors, owners: NDArray[np.intp], count: int) -> Vectors:
    """The vectors `(count, d)` of texts from those of their parts. A text with one part has the part's vector."""
    return vectors if len(vectors) == count else _means(vectors, owners, count)


def _means(vectors: Vectors, owners: NDArray[Any], count: int) -> Vectors:
    """The normalised mean of each owner's vectors. A single vector is unchanged."""
    sums = np.zeros((count, vectors.shape[1]), np.float64)
    np.add.at(sums, owners, vectors)
    means = unit(sums)
    alone = np.bincount(owners, minlength=count)[owners] == 1
    means[owners[alone]] = vectors[alone]
    return means


def reading_notes(reading: TextReading, reader: str) -> list[str]:
    """Notes for users on how a text was read, one line each. `reader` is the encoder's name."""
    notes = []
    if reading.unknown:
        notes.append(f"not understood: {_listed(reading.unknown)}; {reader} does not know such words")
    if reading.tokens > reading.limit:
        what = f"the text has {reading.tokens} tokens, and {reader} reads {reading.limit} at once"
        if reading.is_cut:
            notes.append(f"{what}: the rest was ignored")
        elif len(reading.parts) > 1:
            notes.append(f"{what}: it was read in {len(reading.parts)} parts, and their vectors were averaged")
        else:
            notes.append(f"{what}: the words that are not understood were left out")
    return notes


def report_texts(texts: Sequence[str], reader: object, what: str, name: str, *, cut: bool = False) -> None:
    """Print which words of many texts are unknown, and how many texts are too long, in one line each.

    Args:
        texts: the texts of a file or of a step. Equal ones count once.
        reader: the encoder or composer that reads them. Nothing is printed for one without `readings`.
        what: the source of the texts, such as `queries.jsonl`.
        name: the reader's name.
        cut: whether too long texts are truncated instead of read in parts.
    """
    if not isinstance(reader, ReportsReading):
        return
    texts = list(dict.fromkeys(texts))
    counts = Counter(word for text in texts for word in set(text.split()))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    # Word by word, since most words occur in many texts.
    readings = reader.readings(words)
    if not readings:  # a composer whose encoder does not report readings
        return
    said = {word: reading.unknown for word, reading in zip(words, readings, strict=True)}
    unknown = list(dict.fromkeys(part.lower() for word in words for part in said[word]))
    if unknown:
        count = sum(any(said[word] for word in text.split()) for text in texts)
        say(f"{what}: {count} of {len(texts)} texts have words that {name} does not understand: {_listed(unknown)}")
    report_long_texts(texts, reader.readings(texts), what, name, cut=cut)


def report_long_texts(
    texts: Sequence[str], readings: Sequence[TextReading], what: str, name: str, *, cut: bool = False
) -> None:
    """Print how many of the texts are too long, given their `readings`, and how they are read."""
    long = [reading for reading in readings if reading.tokens > reading.limit]
    if not long:
        return
    lost = cut or any(reading.is_cut for reading in long)
    end = "the rest is ignored" if lost else "they are read in parts, and the vectors are averaged"
    say(
        f"{what}: {len(long)} of {len(texts)} texts have more tokens than the {long[0].limit} that {name} reads at "
        f"once; {end}"
    )


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(truncate(word, _LONGEST) for word in words[:_SHOWN]) + more
