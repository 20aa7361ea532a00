"""`push` and `pull`: share composers, encoders and triplet sets as folders, on the Hugging Face hub or elsewhere."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from triptych.composers.trained import TrainedComposer
from triptych.core.environment import require_extra
from triptych.core.errors import DataError, FailureError, UsageError
from triptych.core.files import atomic, copy_own, locked, read_json, write_json

COMPOSER, ENCODER, TRIPLETS = "composer", "encoder", "triplets"
CARD = "README.md"
HUB = "hf:"
_DATASETS = "datasets/"
_SUFFIXES = (".json", ".safetensors", ".onnx", ".txt", ".md", ".model")
_MOST_FILES = 100_000  # in a folder that is pushed; more suggest that it is the wrong folder

_TEMPLATE = """---
library_name: triptych
tags:
- composed-image-retrieval
- triptych
---

# {title}

{what}

```
triptych pull {source} {name}
{use}
```

## What made it

```json
{note}
```

Licence, training data and the rights in it: state them here before you show this to others.
"""


@dataclass(frozen=True)
class PushResult:
    """The result of `push`, or with `dry_run` its plan."""

    kind: str
    """The kind of folder: composer, encoder or triplets."""
    files: int
    bytes: int
    to: str
    """The destination."""
    sent: bool
    """False after a dry run."""


@dataclass(frozen=True)
class PullResult:
    """The result of `pull`."""

    kind: str
    """The kind of folder: composer, encoder or triplets."""
    files: int
    folder: str
    """The folder that was written."""
    encoder: str | None = None
    """The encoder that a composer was trained on; None for other kinds."""


def push(folder: Path | str, to: str, *, public: bool = False, dry_run: bool = False) -> PushResult:
    """Copy a composer, an encoder or exported triplets, with a card, to the Hugging Face hub or to another folder.

    Only files that the program itself reads are copied. Links that lead out of the folder are refused. The names of
    this machine's folders are removed from a composer's note of its origin. An existing card is kept.

    Args:
        folder: the output of `train`, `finetune`, `pretrain`, `adapt-encoder`, `export-models` or `triplets export`, or
            an encoder in the Hugging Face layout.
        to: `hf:OWNER/NAME`, or a folder, which must be empty or absent.
        public: whether a new repository is public. An existing one keeps its visibility.
        dry_run: only report what would be copied.

    Returns:
        What was copied, and where.

    Raises:
        DataError: the folder is none of these, or a link leads out of it.
        UsageError: the destination is not empty, or huggingface_hub is not installed.
        FailureError: the hub refused.
    """
    folder = Path(folder)
    kind = kind_of(folder)
    names = list(_files(folder, kind))
    size = sum((folder / name).stat().st_size for name in names)
    if dry_run:
        return PushResult(kind, len(names), size, to, sent=False)
    if to.startswith(HUB):
        require_extra("hub", f"push {to}")
        with TemporaryDirectory() as staging:
            _copy(folder, names, Path(staging), kind, to)
            address = _upload(Path(staging), to.removeprefix(HUB), kind, public=public)
    else:
        out = _empty(Path(to))
        with locked(out):
            _copy(folder, names, out, kind, to)
        address = str(out)
    return PushResult(kind, len(names), size, address, sent=True)


def pull(source: str, out: Path | str, *, revision: str | None = None) -> PullResult:
    """Fetch what `push` sent, and check its kind.

    No fetched code is run: only files of known kinds are taken, and none of them is pickled.

    Args:
        source: `hf:OWNER/NAME`, `hf:datasets/OWNER/NAME` for triplets, or a folder.
        out: folder to write, which must be empty or absent.
        revision: a branch, a tag or a commit of the hub's repository.

    Returns:
        The kind of folder, and where it is.

    Raises:
        DataError: the source is neither composer, encoder nor triplets.
        UsageError: `out` is not empty, or huggingface_hub is not installed.
        FailureError: the hub has no such repository, or cannot be reached.
    """
    out = _empty(Path(out))
    if source.startswith(HUB):
        require_extra("hub", f"pull {source}")
        with TemporaryDirectory() as staging:
            return _take(_download(source.removeprefix(HUB), revision, Path(staging)), out)
    if revision is not None:
        raise UsageError("--revision is for the hub (hf:OWNER/NAME)")
    return _take(Path(source), out)


def kind_of(folder: Path) -> str:
    """The kind of a folder.

    Raises:
        DataError: it cannot be shared; the message says which command makes a folder that can.
    """
    if folder.is_file() and folder.suffix == ".parquet":
        raise DataError(f"{folder}: a file; make a folder of it with triptych triplets export, and push that")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if any((folder / "data").glob("*.parquet")):
        return TRIPLETS
    config = read_json(folder / "config.json", "config") if (folder / "config.json").is_file() else None
    form = config.get("format") if isinstance(config, Mapping) else None
    if isinstance(form, str) and form.startswith("triptych-composer-"):
        return COMPOSER
    if isinstance(config, Mapping) and ("encoder-" in str(form) or "model_type" in config):
        return ENCODER
    raise DataError(f"{folder}: neither a composer, nor an encoder, nor a folder that triplets export wrote")


def _empty(out: Path) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is not empty; give a new folder")
    return out


def _files(folder: Path, kind: str) -> Iterable[str]:
    """The files of a folder that are copied.

    Raises:
        DataError: there are too many.
    """
    suffixes = (*_SUFFIXES, ".parquet") if kind == TRIPLETS else _SUFFIXES
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.suffix in suffixes and not any(part.startswith(".") for part in name.parts) and path.is_file():
            found.append(name.as_posix())
        if len(found) > _MOST_FILES:
            raise DataError(f"{folder}: more than {_MOST_FILES} files")
    return found


def _copy(folder: Path, names: Iterable[str], out: Path, kind: str, source: str) -> None:
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        copy_own(folder, name, out / name)
    if kind == COMPOSER:
        config = read_json(out / "config.json", "composer")
        config["made_by"] = _without_folders(config.get("made_by", {}))
        write_json(out / "config.json", config)
    if not (out / CARD).exists():
        with atomic(out / CARD) as temporary:
            temporary.write_text(_card(folder, out, kind, source), encoding="utf-8")


def _without_folders(value: Any) -> Any:
    """The same content, with names in place of absolute paths."""
    if isinstance(value, Mapping):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value


def _card(folder: Path, out: Path, kind: str, source: str) -> str:
    name = folder.resolve().name
    config: Any = read_json(out / "config.json", "config") if kind != TRIPLETS else {}
    encoder = config.get("encoder") if isinstance(config.get("encoder"), Mapping) else {}
    what, use = {
        COMPOSER: (
            f"A composer for composed image retrieval, trained on the encoder `{encoder.get('name', '?')}`.",
            f"triptych search --catalog catalog --composer {name} --image photo.jpg --text 'but in red'",
        ),
        ENCODER: (
            "An encoder of pictures and texts, for composed image retrieval.",
            f"triptych index PICTURES --catalog catalog --encoder {name}",
        ),
        TRIPLETS: ("Triplets for composed image retrieval.", f"triptych triplets stats {name}"),
    }[kind]
    source = source if source.startswith(HUB) else "THIS_FOLDER"
    note = json.dumps(_without_folders(config.get("made_by", {})), indent=2, ensure_ascii=False)
    return _TEMPLATE.format(title=name, what=what, source=source, name=name, use=use, note=note)


def _take(source: Path, out: Path) -> PullResult:
    """Copy a foreign folder once its kind is known."""
    kind = kind_of(source)
    names = list(_files(source, kind))
    with locked(out):
        for name in names:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            copy_own(source, name, out / name)
    encoder = TrainedComposer(out).encoder_name if kind == COMPOSER else None
    return PullResult(kind, len(names), str(out), encoder)


def _upload(folder: Path, name: str, kind: str, *, public: bool) -> str:
    from huggingface_hub import HfApi

    repo_type = "dataset" if kind == TRIPLETS else "model"
    name = name.removeprefix(_DATASETS)
    api = HfApi()
    try:
        address = api.create_repo(name, private=not public, repo_type=repo_type, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=folder, repo_type=repo_type, commit_message=f"A {kind} made by triptych"
        )
    except Exception as error:  # the hub, its transfers and its HTTP client have no common base
        raise FailureError(f"hf:{name}: the hub refused ({_reason(error)}); hf auth login lets you write") from error
    return str(address)


def _download(name: str, revision: str | None, staging: Path) -> Path:
    from huggingface_hub import snapshot_download

    repo_type = "dataset" if name.startswith(_DATASETS) else "model"
    patterns = [f"*{suffix}" for suffix in (*_SUFFIXES, ".parquet")]
    try:
        return Path(
            snapshot_download(
                name.removeprefix(_DATASETS),
                repo_type=repo_type,
                revision=revision,
                local_dir=staging,
                allow_patterns=patterns,
            )
        )
    except Exception as error:  # as above
        remedy = "check the name and the network; triplets are at hf:datasets/OWNER/NAME"
        raise FailureError(f"hf:{name}: the hub does not provide it ({_reason(error)}); {remedy}") from error


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
