"""`export-vectors`: write a catalog's vectors for another search engine."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.composers.protocol import Composer, attach_encoder
from triptych.composers.registry import load_composer
from triptych.core.environment import Runtime
from triptych.core.errors import DataError, UsageError
from triptych.core.files import atomic, made_by, write_json
from triptych.core.vectors import Vectors, require_finite_rows
from triptych.encoders.protocol import Encoder
from triptych.retrieval.stores.gallery import Gallery, picture_id
from triptych.retrieval.stores.hnsw import build_graph, import_faiss, measure_recall
from triptych.retrieval.stores.metadata import MetadataTable

_POINTS = 500  # in one file; this stays below 32 MB, the largest request that Qdrant accepts


@dataclass(frozen=True)
class ExportVectorsResult:
    """The result of `export_vectors`."""

    vectors: int
    """How many vectors were written."""
    recall_at_10: float | None = None
    """For an approximate index, the share of the ten exactly nearest vectors that it finds; else None."""


def export_vectors(
    catalog: Path | str,
    out: Path | str,
    *,
    to: str,
    composer: Composer | Path | str | None = None,
    encoder: Encoder | str | None = None,
    approximate: bool = False,
    runtime: Runtime = Runtime(),
) -> ExportVectorsResult:
    """Write a catalog's vectors for another search engine.

    Args:
        catalog: its folder.
        out: the folder to write to.
        to: `faiss` writes `index.faiss`, an index by inner product, and `pictures.json`, whose `names` are in the
            index's order. `qdrant` writes bodies for Qdrant's REST API: `collection.json` for `PUT /collections/NAME`,
            and `points-*.json` for `PUT /collections/NAME/points`, with the metadata as payload.
        composer: moves the vectors to its space.
        encoder: the catalog's encoder, which a composer may need; by default the one that the catalog names.
        approximate: for faiss, an HNSW index, which is not exact.
        runtime: what the encoder and the composer compute with.

    Raises:
        UsageError: `to` is unknown, or a required extra is not installed.
        MismatchError: the composer was made for another encoder.
    """
    if to not in ("faiss", "qdrant"):
        raise UsageError(f"--to {to}: choose faiss or qdrant")
    if approximate and to != "faiss":
        raise UsageError("--approximate is for faiss; Qdrant makes its own index")
    catalog, out = Path(catalog), Path(out)
    opened = Catalog(catalog)
    if not opened.names:
        raise DataError(f"{catalog}: holds no picture; add some with `triptych index`")
    vectors, name = opened.vectors, ""
    if composer is not None:
        moved = load_composer(composer, threads=runtime.threads)
        attach_encoder(moved, opened.encoder(encoder, threads=runtime.threads, device=runtime.device))
        vectors, name = moved.gallery(vectors), str(composer if isinstance(composer, Path | str) else moved.name)
        require_finite_rows(vectors, opened.names.__getitem__, moved.name)
    settings = {"catalog": catalog, "to": to, "composer": name, "approximate": approximate}
    result = ExportVectorsResult(len(vectors))
    if to == "faiss":
        result = replace(result, recall_at_10=_write_faiss(out, vectors, approximate))
    else:
        _write_qdrant(out, Gallery.of(opened), vectors)
    facts = {"vectors": len(vectors)} | ({} if result.recall_at_10 is None else {"recall@10": result.recall_at_10})
    write_json(out / "pictures.json", {"names": opened.names, "made_by": made_by("export-vectors", settings, **facts)})
    return result


def _write_faiss(out: Path, vectors: Vectors, approximate: bool) -> float | None:
    """Write `index.faiss`. Returns the recall of an approximate index."""
    faiss = import_faiss()
    if approximate:
        index = build_graph(vectors)
    else:
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors))
    with atomic(out / "index.faiss") as temporary:
        faiss.write_index(index, str(temporary))
    return round(measure_recall(index, vectors), 4) if approximate else None


def _write_qdrant(out: Path, gallery: Gallery, vectors: Vectors) -> None:
    # Triptych ranks by the inner product, also for vectors that are not of unit length.
    write_json(out / "collection.json", {"vectors": {"size": vectors.shape[1], "distance": "Dot"}})
    for stale in out.glob("points-*.json"):
        stale.unlink()
    metadata = MetadataTable.of(gallery.metadata)
    rows = list(range(len(gallery.names)))
    for start in range(0, len(rows), _POINTS):
        block = rows[start : start + _POINTS]
        points: list[dict[str, Any]] = [
            {
                # Qdrant needs a UUID or a number; the same picture always gets the same UUID.
                "id": str(uuid5(NAMESPACE_URL, f"triptych:{gallery.names[row]}")),
                "vector": [float(str(value)) for value in vectors[row]],
                "payload": known | {"name": gallery.names[row], "id": picture_id(gallery.names[row])},
            }
            for row, known in zip(block, metadata(block), strict=True)
        ]
        with atomic(out / f"points-{start // _POINTS:05d}.json") as temporary:
            temporary.write_text(json.dumps({"points": points}, ensure_ascii=False), encoding="utf-8")
