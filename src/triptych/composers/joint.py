"""The encoder's own joint query of a reference's pixels and the words, for encoders that read both together."""

from collections.abc import Sequence

from triptych.composers.protocol import ChangedWords, SameSpace
from triptych.core.errors import UsageError
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder, EncodesQueries, Pixels


class JointQuery(SameSpace):
    """Uses the encoder's own query vector (`EncodesQueries`). Gallery vectors are those of its pictures.

    Raises:
        UsageError: the encoder does not read pictures and words together.
    """

    name = "joint"

    def __init__(self, encoder: Encoder) -> None:
        if not isinstance(encoder, EncodesQueries):
            raise UsageError(
                f"--method joint: {encoder.name} does not read picture and words together; use one "
                "that does, such as hf:BAAI/BGE-VL-base or hf:Qwen/Qwen3-VL-Embedding-2B"
            )
        self._encoder = encoder

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Raise an error, since this method needs the pixels of the references; see `compose_pictures`.

        Raises:
            UsageError: always.
        """
        raise UsageError("joint needs the pixels of the reference picture, not only its vector")

    def compose_pictures(self, pixels: Pixels, modifications: Sequence[str]) -> Vectors:
        """See `ReadsPictures.compose_pictures`."""
        return self._encoder.encode_queries(pixels, modifications)
