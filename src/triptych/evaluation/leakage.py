"""`leakage`: whether pictures that were trained on stand in a benchmark's gallery, as they are or nearly."""

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import made_by, write_json
from triptych.core.vectors import nearest
from triptych.triplets.file import read_triplets


@dataclass(frozen=True)
class Leak:
    """A gallery picture, and the catalog's picture that is nearest to it."""

    gallery: str
    catalog: str
    cosine: float
    identical: bool
    """Whether the two files are the same, byte by byte."""


def leakage(
    catalog: Path | str,
    gallery: Path | str,
    *,
    triplets: Path | str | None = None,
    threshold: float = 0.95,
    output: Path | str | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Find the pictures of `gallery` that `catalog` holds too: the same file, or one of at least `threshold` cosine.

    `gallery` is a folder of pictures or a .txt list, or a catalog of them by the same encoder. With `triplets`, only
    the pictures of accepted triplets are looked for. What a cosine means depends on the encoder: look at some pairs
    before trusting a threshold.

    Returns, and writes to `output`, `{"leaks": [...], ...}` as documented in docs/formats.md: a leak for each gallery
    picture, the likest first.
    Raises UsageError for a threshold that is no cosine, MismatchError where the gallery's catalog has another encoder,
    FailureError where there is nothing to compare.
    """
    if not 0 < threshold <= 1:
        raise UsageError("--threshold must be above 0 and at most 1")
    ours = _Pictures.of(Catalog(Path(catalog)))
    if triplets:
        accepted = [triplet for triplet in read_triplets(Path(triplets))[0] if triplet.accepted]
        ours = ours.only({name for triplet in accepted for name in (triplet.reference, triplet.target)})
    theirs = _read_gallery(Path(gallery), Catalog(Path(catalog)), threads)
    if not ours.names or not theirs.names:
        raise FailureError(f"{catalog} and {gallery}: no usable pictures to compare in one of them")
    leaks = _find(ours, theirs, threshold)
    settings = {"catalog": catalog, "gallery": gallery, "triplets": triplets, "threshold": threshold}
    result = {
        "leaks": [asdict(leak) for leak in leaks],
        "identical": sum(leak.identical for leak in leaks),
        "catalog_pictures": len(ours.names),
        "gallery_pictures": len(theirs.names),
        "made_by": made_by("leakage", {name: str(value) if value else value for name, value in settings.items()}),
    }
    if output:
        write_json(Path(output), result)
    return result


@dataclass(frozen=True)
class _Pictures:
    names: list[str]
    digests: list[str]
    vectors: np.ndarray[Any, np.dtype[np.float32]]

    @classmethod
    def of(cls, catalog: Catalog) -> "_Pictures":
        digests = [entry.sha256 for entry in catalog.entries if entry.status == "ok"]
        return cls(catalog.names, digests, catalog.vectors)

    def only(self, wanted: set[str]) -> "_Pictures":
        rows = [row for row, name in enumerate(self.names) if name in wanted]
        return _Pictures([self.names[row] for row in rows], [self.digests[row] for row in rows], self.vectors[rows])


def _read_gallery(gallery: Path, catalog: Catalog, threads: int | None) -> _Pictures:
    if Catalog.exists(gallery):
        opened = Catalog(gallery)
        opened.require_same(catalog)
        return _Pictures.of(opened)
    with TemporaryDirectory() as folder:
        index(gallery, folder, encoder=catalog.encoder_name, runtime=Runtime(threads=threads))
        made = Catalog(Path(folder))
        made.require_same(catalog)
        return _Pictures.of(made)


def _find(ours: _Pictures, theirs: _Pictures, threshold: float) -> list[Leak]:
    name_of = dict(zip(reversed(ours.digests), reversed(ours.names), strict=True))
    rows, cosines = nearest(theirs.vectors, ours.vectors, 1)
    leaks = []
    for name, digest, row, cosine in zip(theirs.names, theirs.digests, rows[:, 0], cosines[:, 0], strict=True):
        if digest in name_of:
            leaks.append(Leak(name, name_of[digest], 1.0, identical=True))
        elif cosine >= threshold:
            leaks.append(Leak(name, ours.names[row], round(float(cosine), 4), identical=False))
    return sorted(leaks, key=lambda leak: (not leak.identical, -leak.cosine, leak.gallery))


def format_leakage(result: dict[str, Any], most: int = 20) -> str:
    """What was found in words, and the first `most` pairs."""
    leaks = result["leaks"]
    share = 100 * len(leaks) / result["gallery_pictures"]
    lines = [
        f"{len(leaks)} of {result['gallery_pictures']} gallery pictures ({share:.2f} %) are among the "
        f"{result['catalog_pictures']} of the catalog: {result['identical']} the same file, "
        f"{len(leaks) - result['identical']} nearly the same"
    ]
    if leaks:
        width = max(len(leak["gallery"]) for leak in leaks[:most])
        for leak in leaks[:most]:
            how = "same file" if leak["identical"] else f"{leak['cosine']:.4f}"
            lines.append(f"  {how:<9}  {leak['gallery']:<{width}}  {leak['catalog']}")
    if len(leaks) > most:
        lines.append(f"  … and {len(leaks) - most} more; --output writes them all")
    return "\n".join(lines)
