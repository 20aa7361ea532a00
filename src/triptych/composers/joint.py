"""The encoder's own query: of a reference's pixels and the words at once, where the encoder reads both together."""

from collections.abc import Sequence

from triptych.composers.protocol import ChangedWords
from triptych.core.errors import UsageError
from triptych.core.vectors import Vectors
from triptych.encoders.protocol import Encoder, EncodesQueries, Pixels


class JointQuery:
    """Asks the encoder for the query's vector (`EncodesQueries`); gallery vectors are those of its pictures.

    Raises UsageError where the encoder reads pictures and words apart.
    """

    name = "joint"
    gallery_fingerprint = ""

    def __init__(self, encoder: Encoder) -> None:
        if not isinstance(encoder, EncodesQueries):
            raise UsageError(
                f"--method joint: {encoder.name} has no query of its own of picture and words together; take one "
                "that has it, such as hf:BAAI/BGE-VL-base or hf:Qwen/Qwen3-VL-Embedding-2B"
            )
        self._encoder = encoder

    def gallery(self, vectors: Vectors) -> Vectors:
        """The vectors as they are."""
        return vectors

    def compose(
        self,
        references: Vectors,
        modifications: Sequence[str],
        changes: Sequence[ChangedWords | None] | None = None,
    ) -> Vectors:
        """Raises UsageError: it needs the pixels of the references (`compose_pictures`)."""
        raise UsageError("joint reads the reference picture itself; its vector is not enough")

    def compose_pictures(self, pixels: Pixels, modifications: Sequence[str]) -> Vectors:
        """`ReadsPictures.compose_pictures`."""
        return self._encoder.encode_queries(pixels, modifications)
