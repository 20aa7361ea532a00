"""(reference, modification) to query vector: the protocol, and composers that were trained."""

from triptych.composers.protocol import Change, Composer, Patches, reads_pixels
from triptych.composers.trained import TrainedComposer

__all__ = ["Change", "Composer", "Patches", "TrainedComposer", "reads_pixels"]
