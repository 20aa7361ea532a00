"""The files of a model in the Hugging Face layout: which are required, how they are fetched, and their fingerprint."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

from triptych.core.errors import DataError, FailureError, UsageError
from triptych.core.files import hash_file, read_json

Precision = Literal["auto", "float32"]

FAMILIES = {
    "clip": ("CLIPModel", "CLIPImageProcessorPil"),
    "siglip": ("SiglipModel", "SiglipImageProcessorPil"),
}
"""For each supported `model_type`, the classes of transformers for the model and its pictures."""

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
SETTINGS = ("config.json", *PREPROCESSORS, *TOKENIZER, "special_tokens_map.json")


def family_of(folder: Path, name: str) -> str:
    """The model's family, `clip` or `siglip`, by its `model_type`.

    Raises:
        DataError: there is no configuration.
        UsageError: the family is not supported.
    """
    if not (folder / "config.json").is_file():
        raise DataError(f"{name}: config.json is missing; name a model in the Hugging Face layout")
    config = read_json(folder / "config.json", "model configuration")
    family = config.get("model_type") if isinstance(config, dict) else None
    if family == "siglip2":
        raise UsageError(f"{name}: NaFlex is not supported; take a SigLIP 2 of fixed resolution")
    if family not in FAMILIES:
        raise UsageError(f"{name}: model_type {family} is not supported; take clip or siglip (1 or 2)")
    return str(family)


def setting_files(folder: Path, name: str) -> list[Path]:
    """Every file, other than weights, that decides what a vector is."""
    found = [folder / setting for setting in SETTINGS if (folder / setting).is_file()]
    present = {path.name for path in found}
    for needed in TOKENIZER:
        if needed not in present:
            raise DataError(f"{name}: {needed} is missing; save the model's fast tokenizer there")
    if not present.intersection(PREPROCESSORS):
        raise DataError(f"{name}: {PREPROCESSORS[0]} is missing; save the model's image processor there")
    return found


def weight_files(folder: Path, name: str) -> list[Path]:
    """The safetensors files in order: one, or the shards that an index names."""
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
        remedy = "pytorch_model.bin is pickled and not read; save the model as safetensors"
    else:
        remedy = "copy the model again, or name a revision that has it (hf:HUB_ID@REVISION)"
    raise DataError(f"{name}: {WEIGHTS} is missing; {remedy}")


def fingerprint_of(files: Iterable[Path], precision: Precision) -> str:
    """A digest of the files and the precision, equal for equal vectors."""
    # The precision asked for, not what this machine makes of it: what one indexed, another may search.
    parts = [f"{path.name} {hash_file(path)}" for path in files]
    return hashlib.sha256("\n".join(["huggingface-1", precision, *parts]).encode()).hexdigest()


def fetch_model(source: str, *, download: bool) -> Path:
    """The folder of a hub id's files, from the local cache if it has all of them.

    Raises:
        FailureError: the hub does not have them, or does not answer.
        UsageError: they would have to be fetched, and `download` is false.
    """
    from huggingface_hub import snapshot_download

    hub_id, _, revision = source.partition("@")
    wanted = [*SETTINGS, WEIGHTS, INDEX, "model-*-of-*.safetensors"]
    fetch = partial(snapshot_download, hub_id, revision=revision or None, allow_patterns=wanted)
    try:
        with suppress(OSError, DataError):
            cached = Path(fetch(local_files_only=True))
            setting_files(cached, source)
            weight_files(cached, source)
            return cached
        if download:
            return Path(fetch())
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
    """The hub's error in a few words, since its own messages are paragraphs."""
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
