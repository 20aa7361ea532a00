"""Zero-shot tags: the probability of each word of a vocabulary for a picture, by the encoder alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from triptych.core.vectors import Vectors, require_finite_rows
from triptych.encoders.lexicon import Lexicon
from triptych.encoders.protocol import Encoder
from triptych.tagging import calibration
from triptych.tagging.calibration import Labels, Scores, softmax
from triptych.tagging.vocabulary import Vocabulary

Tags = Mapping[str, NDArray[np.float32]]
"""Group to probabilities `(n, words)`. The rest of a row to one is the probability that a picture shows none of the
words: a skirt has no sleeves."""

ABOUT = "kind"
"""The group that names the thing in a picture."""

_PHRASINGS = ("{}", "a photo of something {}")
_OF_A_KIND = ("{}", "a photo of a {}")
_FEW = 20  # pictures; nothing is learnt from fewer
_SAMPLE = 4096  # pictures at most from which a group is learnt
_HUBS = 0.25  # share of a word's mean score that is subtracted if most words of a group are not shown
_UNSAID = 0.02  # a word that a picture's captions contain less often than this is not shown
_NAMED, _PARTLY_NAMED = 0.8, 0.5  # weight of naming beside similarity, if the encoder knows all words or most of them
_SILENT = 1e-4  # lower limit of an opinion's probability, so that it does not overrule the other one
_LEAST_INFORMATION = 0.15  # nats of information about the pictures that a group must have
# Nats of information that a group must have beyond the kind. With photos-1 on the product photos and on closet, groups
# that are annotated have 0.12 to 0.55 nats; materials, necklines and lengths on closet, which are mostly wrong, have
# 0.05 to 0.06.
_LEAST_BEYOND_KIND = 0.1
_PLAIN = ("red", "blue", "black", "white", "green", "shirt", "shoe", "chair", "car", "dog", "house", "flower")
_LEAST_SPREAD = 0.25  # if a group's cosines spread less than this share of the spread of common words, it is left out


@dataclass(frozen=True)
class GroupReport:
    """What a catalog's pictures show of a group of the vocabulary."""

    group: str
    words: tuple[str, ...]
    """The words that pictures are tagged with; empty if the group is left out."""
    merged: Mapping[str, str]
    """Narrower words that count as a broader one, since the encoder does not distinguish them here."""
    not_shown: tuple[str, ...]
    """Words that no picture shows, or too few."""
    agreement: float = 0.0
    """How often a picture and its nearest neighbours have the same tag: about how often a tag is right."""
    information: float = 0.0
    """What the tags tell about the pictures beyond the frequency of each word, in nats."""
    beyond_kind: float | None = None
    """What they tell beyond what a picture is of, in nats; None if that is not known, and of the kind itself."""
    reason: str = ""
    """Why the group is left out; empty if it is kept."""


@dataclass(frozen=True)
class _Question:
    """How pictures are asked about a group."""

    group: str
    words: tuple[str, ...]
    """The words that are asked about."""
    phrases: tuple[str, ...]
    """The text for each word."""
    texts: tuple[Vectors, ...]
    """The texts' vectors `(words, d)` in each phrasing."""
    scale: float
    """1 / temperature of the cosines."""
    hubs: NDArray[np.float32] | float = 0.0
    """What is subtracted from each word's cosine."""
    sharpness: float = 1.0
    """A factor on the scores, of similarity and naming together."""
    columns: Labels | None = None
    """The column of the tags that each word counts in; None for one of its own."""

    def cosines(self, vectors: Vectors) -> Scores:
        """The mean cosines `(n, words)` over the phrasings."""
        return np.asarray(vectors @ np.mean(self.texts, axis=0).T, np.float32)

    def only(self, kept: Sequence[int]) -> "_Question":
        """The same question with only some of its words."""
        return replace(
            self,
            words=tuple(self.words[place] for place in kept),
            phrases=tuple(self.phrases[place] for place in kept),
            texts=tuple(texts[list(kept)] for texts in self.texts),
        )


class Tagger:
    """Tags pictures with the words of a vocabulary.

    It classifies by the similarity of pictures and texts, as CLIP does without training (Radford et al. 2021, 3.1),
    averaged over two phrasings. If the encoder can name most words of a group, naming counts more than similarity (in
    the geometric mean), and alone decides whether any word is shown. If the vocabulary says what a group is about, as
    sleeves are about tops, a picture shows the group as probably as it shows such a thing.

    Given pictures of a catalog, it learns from them without labels. Words that no picture shows are dropped. Each
    group's temperature is set so that the mean confidence of tags is the share of neighbours that agree. Narrower words
    that are not distinguished count as the broader one. Groups with too little information about the pictures are left
    out.
    """

    vocabulary: Vocabulary
    """The words that it tags with."""
    reports: tuple[GroupReport, ...]
    """A report about each group; empty if there were too few pictures to learn from."""
    named: frozenset[str]
    """The groups whose words the encoder can name."""

    def __init__(self, encoder: Encoder, vocabulary: Vocabulary, pictures: Vectors | None = None) -> None:
        """Encode the vocabulary's texts, and learn from the catalog's `pictures` `(n, d)` if there are at least twenty.

        No group at all may be left.
        """
        self.vocabulary = vocabulary
        self._lexicon: Lexicon | None = encoder.lexicon
        self._questions = {group: _question(encoder, vocabulary, group) for group in vocabulary.groups}
        self.reports = ()
        if pictures is not None and len(pictures) >= _FEW:
            self._plain = np.asarray(encoder.encode_texts(_PLAIN), np.float32)
            self._learn(_sample(pictures))
        self.named = frozenset(
            group for group in self.vocabulary.groups if self._weight_of_naming(self._questions[group])
        )

    def __call__(self, vectors: Vectors) -> Tags:
        """The tags of picture vectors `(n, d)`."""
        tags = {group: self._tags(self._questions[group], vectors) for group in self.vocabulary.groups}
        return {group: values * self._about(group, tags, len(vectors)) for group, values in tags.items()}

    def _tags(self, question: _Question, vectors: Vectors) -> Scores:
        """Probabilities `(n, columns)` of a group's words for pictures of what the group is about."""
        values = softmax(question.sharpness * self._scores(question, question.cosines(vectors), vectors))
        if question.columns is not None:
            values = calibration.merged(values, question.columns)
        if self._weight_of_naming(question):
            said = np.exp(self._odds(question, vectors)).sum(axis=1, keepdims=True)
            values = values * (said / (said + _UNSAID))
        return np.asarray(values, np.float32)

    def _scores(self, question: _Question, cosines: Scores, vectors: Vectors) -> Scores:
        """Logarithms of probabilities up to a constant, by similarity and by naming."""
        scores = question.scale * (cosines - question.hubs)
        if weight := self._weight_of_naming(question):
            alike = np.log(softmax(scores) + _SILENT)
            named = np.log(softmax(self._odds(question, vectors)) + _SILENT)
            scores = weight * named + (1 - weight) * alike
        return np.asarray(scores, np.float32)

    def _weight_of_naming(self, question: _Question) -> float:
        """How much naming counts beside similarity, from 0 to 1."""
        if not self._lexicon or not self._lexicon.knows_most(question.phrases):
            return 0.0
        return _NAMED if all(map(self._lexicon.knows, question.phrases)) else _PARTLY_NAMED

    def _odds(self, question: _Question, vectors: Vectors) -> Scores:
        """Log-odds `(n, words)` that a caption contains each word."""
        assert self._lexicon is not None
        return self._lexicon.log_odds(vectors, question.phrases)

    def _about(self, group: str, tags: Tags, count: int) -> Scores:
        """The probability `(n, 1)` that a picture shows what the group is about."""
        probability = np.ones((count, 1), np.float32)
        for other in self.vocabulary.applies.get(group, ()):
            if other in tags:
                meant = self.vocabulary.is_about(group, other, self.vocabulary.groups[other])
                probability = probability * tags[other][:, meant].sum(axis=1, keepdims=True)
        return probability

    def _learn(self, vectors: Vectors) -> None:
        """Choose words and groups, and fit temperatures."""
        asked, neighbours = self.vocabulary, calibration.neighbours_of(vectors)
        # Groups that others are about come first.
        order = sorted(asked.groups, key=lambda group: (group in asked.applies, group != ABOUT))
        reports: dict[str, GroupReport] = {}
        known: dict[str, tuple[tuple[str, ...], Scores]] = {}
        for group in order:
            about = self._rows(group, known)
            kinds = known[ABOUT][1].argmax(axis=1) if ABOUT in known else None
            if about.all():
                question, report = self._learn_group(group, vectors, neighbours, kinds)
            elif about.sum() >= _FEW:
                chosen, kinds = vectors[about], None if kinds is None else kinds[about]
                question, report = self._learn_group(group, chosen, calibration.neighbours_of(chosen), kinds)
            else:
                why = "hardly any picture shows what it describes"
                question, report = self._questions[group], _left_out(self._questions[group], why)
            self._questions[group], reports[group] = question, report
            if report.words:
                known[group] = (report.words, self._tags(question, vectors))
        self.reports = tuple(reports[group] for group in asked.groups)
        self.vocabulary = asked.restricted({group: known[group][0] for group in asked.groups if group in known})

    def _rows(self, group: str, known: Mapping[str, tuple[Sequence[str], Scores]]) -> NDArray[np.bool_]:
        """Which pictures `(n,)` show what a group is about, by the tags of groups that are known."""
        rows = np.array([True])
        for other in self.vocabulary.applies.get(group, ()):
            if other in known:
                words, values = known[other]
                rows = rows & is_shown(values[:, self.vocabulary.is_about(group, other, words)])
        return rows

    def _learn_group(
        self, group: str, vectors: Vectors, neighbours: Labels, kinds: Labels | None
    ) -> tuple[_Question, GroupReport]:
        """How to ask about a group in these pictures."""
        question = self._questions[group]
        spread = calibration.spread(question.cosines(vectors)) / calibration.spread(vectors @ self._plain.T)
        if spread < _LEAST_SPREAD and not self._weight_of_naming(question):
            return question, _left_out(question, "most of its words are unknown to the encoder")
        kept = np.flatnonzero(self._shown(question, vectors))
        not_shown = tuple(word for place, word in enumerate(question.words) if place not in set(kept.tolist()))
        if len(kept) < 2:
            return question, _left_out(question, "the pictures do not show two of its words")
        mostly_absent = len(kept) < len(question.words) / 2
        question = question.only(kept.tolist())
        if mostly_absent:
            question = replace(question, hubs=_HUBS * question.cosines(vectors).mean(axis=0))
        question = replace(question, scale=_fitted_scale(question, vectors, neighbours))
        # By similarity alone, each phrasing is an opinion of its own; naming, if it has the larger weight, is in both.
        first, second = (
            self._scores(question, np.asarray(vectors @ texts.T, np.float32), vectors) for texts in question.texts
        )
        scores = self._scores(question, question.cosines(vectors), vectors)
        columns, words, joined = self._columns(question, scores.argmax(axis=1), neighbours)
        one, other = columns[first.argmax(axis=1)], columns[second.argmax(axis=1)]
        agreement = calibration.agreement(one, other, neighbours)
        sharpness = calibration.fit_scale(scores, columns, agreement)
        if self._weight_of_naming(question):
            sharpness = max(1.0, sharpness)  # odds that were learnt are not overstated
        values = calibration.merged(softmax(sharpness * scores), columns)
        gained = calibration.information(values, other, neighbours)
        beyond = None if kinds is None else round(calibration.information(values, other, neighbours, kinds), 3)
        report = GroupReport(group, words, joined, not_shown, round(agreement, 3), round(gained, 3), beyond)
        if why := _too_little(report):
            return question, replace(report, words=(), reason=why)
        return replace(question, sharpness=sharpness, columns=columns), report

    def _shown(self, question: _Question, vectors: Vectors) -> NDArray[np.bool_]:
        """Which words `(words,)` some pictures show, by two phrasings or by naming."""
        first, second = (np.asarray(vectors @ texts.T, np.float32) for texts in question.texts)
        shown = calibration.words_shown(first, second)
        if self._weight_of_naming(question):
            if not self.vocabulary.broader.get(question.group):
                return np.ones(
                    len(question.words), bool
                )  # a vocabulary whose words can be named lists only words that are meant
            likeliest = self._odds(question, vectors).argmax(axis=1)
            counts = np.bincount(likeliest, minlength=len(question.words))
            shown |= counts >= calibration.least_pictures(len(vectors))
        return shown

    def _columns(
        self, question: _Question, labels: Labels, neighbours: Labels
    ) -> tuple[Labels, tuple[str, ...], dict[str, str]]:
        """The tags' column of each word, the columns' words, and which words were merged into which."""
        families = [self.vocabulary.family(question.group, word) for word in question.words]
        numbers = np.array([families.index(family) for family in families])
        apart = calibration.distinguished(labels, numbers, neighbours)
        heads = [
            word if apart[place] or families.count(family) == 1 else family
            for place, (word, family) in enumerate(zip(question.words, families, strict=True))
        ]
        words = tuple(word for word in self.vocabulary.groups[question.group] if word in set(heads))
        joined = {word: head for word, head in zip(question.words, heads, strict=True) if word != head}
        return np.array([words.index(head) for head in heads]), words, joined


def is_shown(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which pictures show any word of a group, by its tags `(n, words)`."""
    shown: NDArray[np.bool_] = values.sum(axis=1) > 0.5
    return shown


def best_words(tags: Tags, vocabulary: Vocabulary, row: int) -> dict[str, str]:
    """The likeliest word for one picture in each tagged group that it shows."""
    return {
        group: vocabulary.groups[group][int(values[row].argmax())]
        for group, values in tags.items()
        if is_shown(values[row : row + 1])[0]
    }


def _question(encoder: Encoder, vocabulary: Vocabulary, group: str) -> _Question:
    """The question about all words of a group, with the encoder's own temperature."""
    words = vocabulary.groups[group]
    phrases = [vocabulary.phrases[group][word] for word in words]
    phrasings = _OF_A_KIND if group == ABOUT else _PHRASINGS
    asked = [phrasing.format(phrase) for phrasing in phrasings for phrase in phrases]
    texts = encoder.encode_texts(asked)
    require_finite_rows(texts, lambda row: repr(asked[row]), "the encoder")
    parts = tuple(np.asarray(part, np.float32) for part in np.split(texts, len(phrasings)))
    return _Question(group, words, tuple(phrases), parts, encoder.logit_scale)


def _fitted_scale(question: _Question, vectors: Vectors, neighbours: Labels) -> float:
    """1 / temperature at which the mean confidence equals the share of phrasings and neighbours that agree."""
    first, second = (np.asarray(vectors @ texts.T - question.hubs).argmax(axis=1) for texts in question.texts)
    agreed = calibration.agreement(first, second, neighbours)
    scores = np.asarray(question.scale * (question.cosines(vectors) - question.hubs), np.float32)
    return question.scale * calibration.fit_scale(scores, np.arange(len(question.words)), agreed)


def _too_little(report: GroupReport) -> str:
    """Why a group has too little information about the pictures; empty if it has enough."""
    if len(report.words) < 2 or report.information < _LEAST_INFORMATION:
        return f"its words distinguish the pictures too little ({report.information:.2f} nats beyond chance)"
    if report.beyond_kind is not None and report.beyond_kind < _LEAST_BEYOND_KIND:
        return f"its words add little to the kind ({report.beyond_kind:.2f} nats)"
    return ""


def _left_out(question: _Question, reason: str) -> GroupReport:
    """The report of a group that is left out."""
    return GroupReport(question.group, (), {}, question.words, reason=reason)


def _sample(pictures: Vectors) -> Vectors:
    """A fixed sample of pictures, small enough to find neighbours quickly."""
    if len(pictures) <= _SAMPLE:
        return pictures
    return pictures[np.sort(np.random.default_rng(0).permutation(len(pictures))[:_SAMPLE])]
