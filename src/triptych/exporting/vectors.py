"""`export`: a catalog's vectors, for a search engine that runs elsewhere."""

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.composers.trained import TrainedComposer
from triptych.core.errors import MismatchError, UsageError
from triptych.core.files import atomic, made_by, write_json
from triptych.core.vectors import Vectors
from triptych.retrieval.stores.gallery import Gallery, picture_id
from triptych.retrieval.stores.hnsw import build_graph, measure_recall, need_faiss
from triptych.retrieval.stores.metadata import MetadataTable

_POINTS = 500  # a file: less than the 32 MB that Qdrant takes in one request


def export(
    catalog: Path | str,
    out: Path | str,
    *,
    to: str,
    composer: Path | str | None = None,
    approximate: bool = False,
) -> dict[str, Any]:
    """Write the vectors of a catalog, in the composer's space if one is given, into the folder `out`.

    `to="faiss"`: `index.faiss`, an index by inner product, exact or `approximate` (HNSW), and `pictures.json`, whose
    `names` are in the index's order. `to="qdrant"`: bodies for Qdrant's REST API, `collection.json` for
    `PUT /collections/NAME` and `points-*.json` for `PUT /collections/NAME/points`, with the metadata as payload.

    Returns the number of vectors and, for an approximate index, its recall@10 against exact search. Raises UsageError
    for another target or without the extra that it needs, MismatchError where the composer has another encoder.
    """
    if to not in ("faiss", "qdrant"):
        raise UsageError(f"--to {to}: write faiss or qdrant")
    if approximate and to != "faiss":
        raise UsageError("--approximate is for faiss; Qdrant makes its own index")
    catalog, out = Path(catalog), Path(out)
    opened = Catalog(catalog)
    vectors = _moved(opened, Path(composer)) if composer else opened.vectors
    settings = {"catalog": catalog, "to": to, "composer": str(composer or ""), "approximate": approximate}
    facts: dict[str, Any] = {"vectors": len(vectors)}
    if to == "faiss":
        facts |= _write_faiss(out, vectors, approximate)
    else:
        _write_qdrant(out, Gallery.of(opened), vectors)
    write_json(out / "pictures.json", {"names": opened.names, "made_by": made_by("export", settings, **facts)})
    return facts


def _moved(catalog: Catalog, folder: Path) -> Vectors:
    composer = TrainedComposer(folder)
    if composer.encoder_fingerprint != catalog.fingerprint:
        raise MismatchError(f"{folder}: trained on another encoder than {catalog.folder} was indexed with")
    return composer.gallery(catalog.vectors)


def _write_faiss(out: Path, vectors: Vectors, approximate: bool) -> dict[str, float]:
    faiss = need_faiss()
    if approximate:
        index = build_graph(vectors)
    else:
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors))
    with atomic(out / "index.faiss") as temporary:
        faiss.write_index(index, str(temporary))
    return {"recall@10": round(measure_recall(index, vectors), 4)} if approximate else {}


def _write_qdrant(out: Path, gallery: Gallery, vectors: Vectors) -> None:
    # Unit vectors or not, the product is what triptych ranks by.
    write_json(out / "collection.json", {"vectors": {"size": vectors.shape[1], "distance": "Dot"}})
    for stale in out.glob("points-*.json"):
        stale.unlink()
    facts_of = MetadataTable.of(gallery.metadata)
    rows = list(range(len(gallery.names)))
    for start in range(0, len(rows), _POINTS):
        block = rows[start : start + _POINTS]
        points: list[dict[str, Any]] = [
            {
                # Qdrant wants a UUID or a number; the same picture always has the same.
                "id": str(uuid5(NAMESPACE_URL, f"triptych:{gallery.names[row]}")),
                "vector": [float(str(value)) for value in vectors[row]],
                "payload": facts | {"name": gallery.names[row], "id": picture_id(gallery.names[row])},
            }
            for row, facts in zip(block, facts_of(block), strict=True)
        ]
        with atomic(out / f"points-{start // _POINTS:05d}.json") as temporary:
            temporary.write_text(json.dumps({"points": points}, ensure_ascii=False), encoding="utf-8")
