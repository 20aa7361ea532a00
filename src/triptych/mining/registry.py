"""The reasoners and critics of `mine` by name, and plug-ins.

A reasoner or critic is made by a class or function without parameters, or with a parameter `context`, a
`MiningContext`.
"""

from dataclasses import dataclass
from functools import cached_property

from triptych.catalog.catalog import Catalog
from triptych.catalog.text_vectors import TextVectors
from triptych.core.plugins import Registry
from triptych.encoders.protocol import Encoder
from triptych.mining.critic import Critic, EncoderCritic
from triptych.mining.options import MineOptions
from triptych.mining.reasoner import Reasoner, TagsReasoner
from triptych.tagging.tagger import GroupReport, Tags
from triptych.tagging.vocabulary import Vocabulary


@dataclass(frozen=True)
class MiningContext:
    """What a reasoner or critic may use."""

    catalog: Catalog
    """The pictures; a picture's row here is its number in proposals and drafts."""
    encoder: Encoder
    """The encoder that made the catalog's vectors."""
    vocabulary: Vocabulary
    """The groups and words that the pictures show, by the encoder."""
    tags: Tags
    """The probabilities `(n, words)` of each group's words for the pictures."""
    options: MineOptions
    """The options of `mine`."""
    seed: int
    """The seed of this round of mining: that of the options in the first round."""

    reports: tuple[GroupReport, ...] = ()
    """What became of each group of the vocabulary, and how much its tags tell of the pictures."""

    @cached_property
    def texts(self) -> TextVectors:
        """Encodes texts, each once. `mine` stores the vectors in the catalog's folder."""
        return TextVectors(self.catalog.folder, self.encoder)


def _tags(context: MiningContext) -> TagsReasoner:
    options = context.options
    return TagsReasoner(
        context.tags,
        context.vocabulary,
        targets_each=options.triplets_per_change,
        seed=context.seed,
        exclusions=options.exclusions,
    )


def _encoder(context: MiningContext) -> EncoderCritic:
    options = context.options
    return EncoderCritic(
        context.catalog.vectors,
        context.tags,
        context.vocabulary,
        context.texts,
        options=options.critic,
        group_size=options.group_size,
    )


REASONERS: Registry[Reasoner] = Registry("reasoner", Reasoner, "triptych.reasoners", flag="--reasoner")
REASONERS.register("tags", _tags)

CRITICS: Registry[Critic] = Registry("critic", Critic, "triptych.critics", flag="--critic")
CRITICS.register("encoder", _encoder)
