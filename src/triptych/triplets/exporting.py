"""Export triplets as a folder that Hugging Face's `datasets` loads, with a card that says what made it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError, PictureError, UsageError
from triptych.core.files import atomic
from triptych.core.results import known_fields
from triptych.triplets.file import Triplet, read_triplets, table_of
from triptych.triplets.selection import require_picture
from triptych.triplets.statistics import triplets_stats

_ROWS = 5000  # of one Parquet file with pictures inside
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
tags:
- composed-image-retrieval
- synthetic
---

# Triplets for composed image retrieval

{accepted} triplets <reference, modification, target>{refused}, written by triptych. {pictures}

```python
from datasets import load_dataset

triplets = load_dataset("path/to/this/folder", split="train")
```

| column | meaning |
|---|---|
| `reference`, `target` | names of the pictures |{image_rows}
| `modifications` | the change in words, by `style` |
| `changes` | what differs, as the reasoner describes it: `attribute`, `old`, `new` |
| `negatives` | hard negatives: pictures like the target that do not answer |
| `other_targets` | pictures that answer as well as the target |
| `accepted`, `reason` | the critic's verdict |
| `confidence`, `similarity` | the critic's confidence (0 to 1); cosine of the two pictures |
| `reasoner` | what wrote the modification |
| `round` | the round of mining |

## What is in it

```json
{stats}
```

## What made it

```json
{note}
```

Licence and rights of the pictures are those of their source; state them here before you publish this folder.
"""


@dataclass(frozen=True)
class ExportResult:
    """The result of `triplets_export`."""

    triplets: int
    """How many triplets."""
    files: int
    """How many Parquet files."""
    pictures: str
    """Where the pictures are: inside, or by name."""
    folder: str
    """The dataset folder."""


def triplets_export(
    file: Path | str,
    out: Path | str,
    *,
    catalog: Path | str | None = None,
    refused: bool = False,
    root: Path | str | None = None,
) -> ExportResult:
    """Write triplets as a dataset folder that Hugging Face's `datasets` loads.

    Args:
        file: triplet file.
        out: folder to write; it must be empty or absent.
        catalog: folder of a catalog whose pictures are included as Image columns.
        refused: whether refused triplets are written, too.
        root: the present folder of the catalog's pictures, if they have moved since `index`.

    Returns:
        How many triplets and files were written, and where.

    Raises:
        UsageError: `out` is not empty, or `root` is no folder.
        DataError: there is nothing to export, the catalog lacks a picture, or a picture's file has changed since
            `index`.
    """
    file, out = Path(file), Path(out)
    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out}: is not empty; give a new folder")
    triplets, note = read_triplets(file)
    chosen = [triplet for triplet in triplets if triplet.accepted or refused]
    if not chosen:
        raise DataError(f"{file}: holds no accepted triplet")
    opened = Catalog(Path(catalog), Path(root) if root else None) if catalog else None
    if opened:  # before anything is written
        for triplet in chosen:
            require_picture(opened, triplet.reference)
            require_picture(opened, triplet.target)
    parts = [chosen[start : start + _ROWS] for start in range(0, len(chosen), _ROWS)]
    for number, part in enumerate(parts):
        with atomic(out / "data" / f"train-{number:05d}-of-{len(parts):05d}.parquet") as temporary:
            pq.write_table(_table(part, opened), temporary, compression="zstd", row_group_size=500)
    turned = sum(not triplet.accepted for triplet in chosen)
    card = _CARD.format(
        accepted=len(chosen) - turned,
        refused=f" and {turned} that its critic refused" if turned else "",
        pictures="The pictures are inside."
        if opened
        else "The pictures are not inside; `reference` and `target` name them.",
        image_rows="\n| `reference_image`, `target_image` | the pictures themselves |" if opened else "",
        stats=json.dumps(known_fields(triplets_stats(file)), indent=2, ensure_ascii=False),
        note=json.dumps(note, indent=2, ensure_ascii=False),
    )
    with atomic(out / "README.md") as temporary:
        temporary.write_text(card, encoding="utf-8")
    return ExportResult(len(chosen), len(parts), "inside" if opened else "by name", str(out))


def _table(triplets: Sequence[Triplet], catalog: Catalog | None) -> pa.Table:
    table = table_of(triplets)
    if catalog is None:
        return table
    for name in ("reference", "target"):
        values = [
            {"bytes": _content(catalog, getattr(triplet, name)), "path": getattr(triplet, name)} for triplet in triplets
        ]
        table = table.append_column(f"{name}_image", pa.array(values, _IMAGE))
    # `datasets` reads its own types from this.
    features = {f"{name}_image": {"_type": "Image"} for name in ("reference", "target")}
    return table.replace_schema_metadata(
        {b"huggingface": json.dumps({"info": {"features": _features(table, features)}})}
    )


def _content(catalog: Catalog, name: str) -> bytes:
    """A picture's file for publication: only the file that was indexed, wherever an untrusted catalog points."""
    try:
        return catalog.read(name)
    except PictureError as error:
        raise DataError(f"{catalog.folder}: {name!r} cannot be exported: {error}") from None


def _features(table: pa.Table, images: dict[str, Any]) -> dict[str, Any]:
    """The type of every column as `datasets` reads it, which needs all of them or none.

    A list is written as a list of one type, which all versions understand; `List` came with version 4.
    """

    def of(kind: pa.DataType) -> Any:
        if pa.types.is_list(kind):
            return [of(kind.value_type)]
        if pa.types.is_struct(kind):
            return {field.name: of(field.type) for field in kind}
        return {"dtype": {"float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}

    return {field.name: images.get(field.name) or of(field.type) for field in table.schema}
