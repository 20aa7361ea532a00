"""A picture or a text becomes a unit vector in one shared space."""

from pathlib import Path

from triptych.core.errors import UsageError
from triptych.core.files import read_json
from triptych.core.vectors import Vectors, unit
from triptych.encoders.protocol import SLOT, Encoder, Ids, Pixels, ReadsWords

__all__ = ["SLOT", "Encoder", "Ids", "Pixels", "ReadsWords", "Vectors", "load_encoder", "unit"]

EMBEDDED = Path(__file__).parent / "wardrobe"
"""The encoder that ships with the package, trained on the wardrobe world."""


def load_encoder(name: str, *, threads: int | None = None) -> Encoder:
    """The encoder that `name` means.

    `wardrobe` is the embedded default, `hf:NAME_OR_DIR` a CLIP or SigLIP in the Hugging Face layout, and anything
    else a folder that `pretrain` or `export --onnx` made. Raises UsageError for a name that means nothing, DataError
    for a damaged folder.
    """
    if name.startswith("hf:"):
        from triptych.encoders.huggingface import HuggingFaceEncoder

        return HuggingFaceEncoder(name, threads=threads)
    from triptych.encoders.exported import FORMAT, ExportedEncoder
    from triptych.encoders.native import OwnEncoder

    if name == "wardrobe":
        return OwnEncoder(EMBEDDED, name, threads)
    folder = Path(name)
    if not folder.is_dir():
        raise UsageError(f"--encoder {name}: write wardrobe, hf:NAME_OR_DIR, or a folder that `triptych pretrain` made")
    config = read_json(folder / "config.json", "encoder configuration")
    exported = isinstance(config, dict) and config.get("format") == FORMAT
    return (ExportedEncoder if exported else OwnEncoder)(folder, str(folder.resolve()), threads)
