"""Encoders by name: built-in ones, the Hugging Face layout, folders that this package wrote, and plug-ins."""

from contextlib import suppress
from pathlib import Path

from triptych.core.errors import UsageError
from triptych.core.files import read_json
from triptych.core.plugins import Registry
from triptych.encoders.protocol import Encoder

WARDROBE = Path(__file__).parent / "wardrobe"
"""The encoder of drawn garments that ships with the package."""

PHOTOS = "photos-1"
"""The newest encoder of real photos that ships with the package; a folder beside this file."""

DEFAULT = "photos"
"""The encoder that is used if none is named."""


def load_encoder(
    given: Encoder | str, *, threads: int | None = None, device: str | None = None, from_file: bool = False
) -> Encoder:
    """Load an encoder by name.

    Args:
        given: an encoder, or a name: `photos-1`, the built-in encoder of real photos; `photos`, the newest of these and
            the default; `wardrobe`, the built-in encoder of drawn garments; `hf:NAME_OR_DIR`, a CLIP,
            MetaCLIP 2, SigLIP or Qwen3-VL-Embedding in the Hugging Face layout; a folder that `pretrain`,
            `adapt-encoder`, `finetune` or `export-models` wrote; the name of an installed plug-in; or
            `module:attribute`.
        threads: processor threads of its graphs.
        device: the device of a torch model, such as `cuda:1`; by default a GPU if there is one. Graphs run on the
            processor.
        from_file: whether `given` was read from a file, such as a catalog. Then no `module:attribute` is imported, and
            no `hf:NAME` is downloaded.

    Returns:
        The encoder. The `name` of a plug-in is the given name, which catalogs and composers record.

    Raises:
        UsageError: there is no such encoder, or the object is not an encoder.
        DataError: its folder is damaged.
    """
    encoder = ENCODERS.get(given, from_file=from_file, threads=threads, device=device, download=not from_file)
    if isinstance(given, str) and type(encoder).__module__.partition(".")[0] != __name__.partition(".")[0]:
        with suppress(AttributeError):  # the plug-in may have a fixed name
            encoder.name = given
    return encoder


def name_elsewhere(encoder: Encoder | str) -> str:
    """The name by which another process or machine loads an encoder: that of a folder, without the working directory.

    Raises:
        UsageError: the encoder is an object, which cannot be sent.
    """
    if not isinstance(encoder, str):
        raise UsageError("--engine ray: workers load the encoder by its name; give a name, not an object")
    scheme, place = ("hf:", encoder[3:]) if encoder.startswith("hf:") else ("", encoder)
    return f"{scheme}{Path(place).resolve()}" if Path(place).is_dir() else encoder


def _wardrobe(threads: int | None) -> Encoder:
    from triptych.encoders.native import NativeEncoder

    return NativeEncoder(WARDROBE, "wardrobe", threads)


def _photos(threads: int | None) -> Encoder:
    from triptych.encoders.native import NativeEncoder

    return NativeEncoder(Path(__file__).parent / PHOTOS, PHOTOS, threads)


def _hugging_face(name: str, threads: int | None, device: str | None, download: bool) -> Encoder:
    from triptych.encoders.huggingface import load_hugging_face

    return load_hugging_face(name, threads, device=device, download=download)


def _folder(folder: Path, threads: int | None) -> Encoder:
    from triptych.encoders.exported import FORMAT, ExportedEncoder
    from triptych.encoders.native import NativeEncoder

    config = read_json(folder / "config.json", "encoder configuration")
    exported = isinstance(config, dict) and config.get("format") == FORMAT
    return (ExportedEncoder if exported else NativeEncoder)(folder, str(folder.resolve()), threads)


ENCODERS: Registry[Encoder] = Registry("encoder", Encoder, "triptych.encoders", flag="--encoder", folder=_folder)
ENCODERS.register("wardrobe", _wardrobe)
ENCODERS.register(PHOTOS, _photos)
ENCODERS.register("photos", _photos)
ENCODERS.register_scheme("hf:", _hugging_face, "NAME_OR_DIR")
