"""The files of a model in the Hugging Face layout: which are required, their download, and their fingerprint."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from triptych.core.errors import DataError, FailureError, TriptychError, UsageError
from triptych.core.files import hash_file, read_json

Precision = Literal["auto", "float32"]

FAMILIES = {
    "clip": ("CLIPModel", "CLIPImageProcessorPil"),
    "siglip": ("SiglipModel", "SiglipImageProcessorPil"),
    "metaclip_2": ("MetaClip2Model", "CLIPImageProcessorPil"),
}
"""The classes of transformers for model and image processor, for each supported `model_type` with two towers."""
CLIP_LIKE = ("clip", "metaclip_2")
"""Families with CLIP's interface: features are projected, and may be added before normalisation."""
JOINT = "qwen3_vl"
"""The `model_type` of models that read pictures and texts together (`qwen_vl`)."""

_KINDS = "clip, siglip (1, or 2 of fixed resolution), metaclip_2 or qwen3_vl (an embedding model)"

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
SETTINGS = ("config.json", *PREPROCESSORS, *TOKENIZER, "special_tokens_map.json")
OPEN_CLIP = "open_clip_config.json"
OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"


def family_of(folder: Path, name: str) -> str:
    """The model's family, by its `model_type`.

    Raises:
        DataError: there is no configuration.
        UsageError: the family is not supported.
    """
    if not (folder / "config.json").is_file():
        if (folder / OPEN_CLIP).is_file():
            raise UsageError(_convert(name))
        raise DataError(f"{name}: config.json is missing; give a model in the Hugging Face layout{_elsewhere(folder)}")
    config = read_json(folder / "config.json", "model configuration")
    family = config.get("model_type") if isinstance(config, dict) else None
    # An open_clip model may name code beside its weights. Other models are published in both layouts.
    if (folder / OPEN_CLIP).is_file() and (family not in FAMILIES or config.get("auto_map")):
        raise UsageError(_convert(name))
    if family == "siglip2":
        raise UsageError(f"{name}: NaFlex is not supported; use a SigLIP 2 of fixed resolution")
    if family in (*FAMILIES, JOINT):
        return str(family)
    if isinstance(config, dict) and config.get("auto_map"):
        raise UsageError(
            f"{name}: model_type {family} needs its authors' code, which is never run; use one of {_KINDS}, or wrap it "
            "as a plug-in (docs/how-to/plug-in.md)"
        )
    raise UsageError(f"{name}: model_type {family} is not supported; use {_KINDS}")


def _convert(name: str) -> str:
    return (
        f"{name}: an open_clip checkpoint; convert it once with `triptych convert-encoder {name} --out DIR`, "
        "then use hf:DIR"
    )


def _elsewhere(folder: Path) -> str:
    """A hint about the content of the folder."""
    if (folder / "modules.json").is_file():
        return "; this is a folder of sentence-transformers: use the folder of its first module"
    if (folder / "adapter_config.json").is_file():
        return "; these are only adapter weights: merge them into their base model first"
    return ""


def setting_files(folder: Path, name: str) -> list[Path]:
    """All files except weights that decide the vectors."""
    found = [folder / setting for setting in SETTINGS if (folder / setting).is_file()]
    present = {path.name for path in found}
    for needed in TOKENIZER:
        if needed not in present:
            raise DataError(f"{name}: {needed} is missing; save the model's fast tokenizer there")
    if not present.intersection(PREPROCESSORS):
        raise DataError(f"{name}: {PREPROCESSORS[0]} is missing; save the model's image processor there")
    return found


def weight_files(folder: Path, name: str) -> list[Path]:
    """The safetensors files in order: a single file, or the shards that the index names."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX, "index of weights")
        try:
            shards = sorted({folder / shard for shard in index["weight_map"].values()})
        except (KeyError, TypeError, AttributeError):
            raise DataError(f"{name}: {INDEX} has no weight_map; copy the model again") from None
        for shard in shards:
            if not shard.is_file():
                raise DataError(f"{name}: {shard.name} is missing; copy the model again")
        return shards
    if (folder / "pytorch_model.bin").is_file():
        remedy = "pytorch_model.bin is a pickle, which is not read; save the model as safetensors"
    else:
        remedy = "copy the model again, or name a revision that has it (hf:HUB_ID@REVISION)"
    raise DataError(f"{name}: {WEIGHTS} is missing; {remedy}")


def fingerprint_of(files: Iterable[Path], precision: Precision, *more: str) -> str:
    """A digest of the files, the precision and the values `more`; equal for equal vectors."""
    # This is the requested precision, not what the machine computes in: another machine may search the same catalog.
    parts = [f"{path.name} {hash_file(path)}" for path in files]
    return hashlib.sha256("\n".join(["huggingface-1", precision, *more, *parts]).encode()).hexdigest()


def locate_model(name: str, *, download: bool) -> tuple[str, Path]:
    """The full name `hf:FOLDER` or `hf:HUB_ID` of a model, and the folder of its files.

    Args:
        name: a folder or a hub id, with or without `hf:`.
        download: whether a hub id may be fetched.

    Raises:
        FailureError: the hub does not have the files, or does not answer.
        UsageError: they would have to be fetched, and `download` is false.
    """
    source = name.removeprefix("hf:")
    folder = Path(source)
    if folder.is_dir():
        folder = folder.resolve()
        return f"hf:{folder}", folder
    return f"hf:{source}", fetch_model(source, download=download)


def fetch_model(source: str, *, download: bool, open_clip: bool = False) -> Path:
    """The folder of a hub id's files, from the local cache if it has all of them.

    Args:
        source: the hub id, with or without `@REVISION`.
        download: whether a download is allowed.
        open_clip: whether to fetch the files of open_clip.

    Raises:
        FailureError: the hub does not have them, or does not answer.
        UsageError: they would have to be fetched, and `download` is false; or the model is not supported.
    """
    from huggingface_hub import snapshot_download

    hub_id, _, revision = source.partition("@")
    settings = [*SETTINGS, OPEN_CLIP, "modules.json"]
    weights = [OPEN_CLIP_WEIGHTS] if open_clip else [WEIGHTS, INDEX, "model-*-of-*.safetensors"]
    fetch = partial(snapshot_download, hub_id, revision=revision or None)
    whole = partial(fetch, allow_patterns=[*settings, *weights])
    try:
        with suppress(OSError, DataError):
            cached = Path(whole(local_files_only=True))
            if open_clip:
                (cached / OPEN_CLIP_WEIGHTS).stat()
                return cached
            setting_files(cached, source)
            weight_files(cached, source)
            return cached
        if download:
            folder = Path(fetch(allow_patterns=settings))
            if not open_clip:
                family_of(folder, f"hf:{source}")  # before the large weights are fetched
            return Path(whole())
    except TriptychError:
        raise
    except Exception as error:  # the hub, its transfers and its HTTP client have no common base
        raise FailureError(
            f"hf:{source}: not a folder, and not available from the Hugging Face hub ({_reason(error)});"
            " check the name and the network"
        ) from error
    raise UsageError(
        f"hf:{source}: this encoder is named in a file and is not on this machine, and files never cause downloads; "
        f"if you trust the name, give it as --encoder hf:{source}"
    )


def _reason(error: Exception) -> str:
    """A short form of the hub's error, since its own messages are paragraphs."""
    from huggingface_hub import errors

    known: list[tuple[type[Exception], str]] = [
        (errors.HFValidationError, "not a hub id"),
        (errors.GatedRepoError, "accept its terms there, then run hf auth login"),
        (errors.RepositoryNotFoundError, "no public model of this name"),
        (errors.RevisionNotFoundError, "no such revision"),
        (errors.LocalEntryNotFoundError, "offline, and not in the local cache"),
    ]
    return next((words for kind, words in known if isinstance(error, kind)), first_line(error))


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its class."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


@contextmanager
def blaming(name: str) -> Iterator[None]:
    """Turn any exception of transformers about a damaged file into a DataError of one line."""
    try:
        yield
    except TriptychError:
        raise
    except Exception as error:  # transformers raises many built-in types, and safetensors its own
        raise DataError(f"{name}: cannot be loaded ({first_line(error)}); copy the model again") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars and warnings while the block runs."""
    import transformers

    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if bars:
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
