"""`leakage`: find training pictures in a benchmark's gallery, as equal files or near-duplicates."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.catalog.indexing import index
from triptych.catalog.options import IndexOptions
from triptych.core.environment import Runtime
from triptych.core.errors import FailureError
from triptych.core.files import made_by, output_file, write_json
from triptych.core.vectors import nearest
from triptych.encoders.protocol import Encoder
from triptych.evaluation.options import LeakageOptions
from triptych.triplets.file import read_triplets


@dataclass(frozen=True)
class Leak:
    """A gallery picture and its nearest picture in the catalog."""

    gallery: str
    catalog: str
    cosine: float
    identical: bool
    """Whether the two files are identical."""


@dataclass(frozen=True)
class LeakageResult:
    """The pictures of a gallery that are also in a catalog."""

    leaks: list[Leak]
    """One pair for each such gallery picture, the most similar first."""
    identical: int
    """How many pairs are identical files."""
    catalog_pictures: int
    gallery_pictures: int
    made_by: Mapping[str, Any] = field(repr=False)
    """Program, version, settings and time."""

    def __str__(self) -> str:
        return format_leakage(self)


def leakage(
    catalog: Path | str,
    gallery: Path | str,
    options: LeakageOptions = LeakageOptions(),
    *,
    triplets: Path | str | None = None,
    encoder: Encoder | str | None = None,
    output: Path | str | None = None,
    runtime: Runtime = Runtime(),
) -> LeakageResult:
    """Find the pictures of `gallery` that are also in `catalog`, as identical files or with nearly equal vectors.

    The meaning of a cosine depends on the encoder, so check some pairs before you rely on a threshold.

    Args:
        catalog: the training pictures.
        gallery: a folder of pictures, a .txt list, or a catalog by the same encoder.
        options: the threshold for near-duplicates.
        triplets: a triplet file; only the pictures of its accepted triplets are compared.
        encoder: the catalog's encoder, if its name is not enough.
        output: a file to write the result to (.json), as documented in docs/reference/formats.md.
        runtime: what the encoder computes with.

    Returns:
        The pairs of pictures, the most similar first.

    Raises:
        MismatchError: the gallery's catalog has another encoder.
        FailureError: the catalog or the gallery has no usable pictures.
    """
    output = output_file(output, ".json", flag="--output") if output else None
    opened = Catalog(Path(catalog))
    ours = _Pictures.of(opened)
    if triplets:
        accepted = [triplet for triplet in read_triplets(Path(triplets))[0] if triplet.accepted]
        ours = ours.only({name for triplet in accepted for name in (triplet.reference, triplet.target)})
    theirs = _read_gallery(Path(gallery), opened, encoder, options, runtime)
    if not ours.names or not theirs.names:
        raise FailureError(f"{catalog} and {gallery}: one of them has no usable pictures")
    leaks = _find(ours, theirs, options.threshold)
    settings = {"catalog": catalog, "gallery": gallery, "triplets": triplets, "threshold": options.threshold}
    result = LeakageResult(
        leaks=leaks,
        identical=sum(leak.identical for leak in leaks),
        catalog_pictures=len(ours.names),
        gallery_pictures=len(theirs.names),
        made_by=made_by("leakage", {name: str(value) if value else value for name, value in settings.items()}),
    )
    if output:
        write_json(output, asdict(result))
    return result


@dataclass(frozen=True)
class _Pictures:
    names: list[str]
    digests: list[str]
    vectors: np.ndarray[Any, np.dtype[np.float32]]

    @classmethod
    def of(cls, catalog: Catalog) -> "_Pictures":
        digests = [entry.sha256 for entry in catalog.entries if entry.status == "ok"]
        return cls(catalog.names, digests, catalog.compared_vectors)

    def only(self, wanted: set[str]) -> "_Pictures":
        rows = [row for row, name in enumerate(self.names) if name in wanted]
        return _Pictures([self.names[row] for row in rows], [self.digests[row] for row in rows], self.vectors[rows])


def _read_gallery(
    gallery: Path, catalog: Catalog, encoder: Encoder | str | None, options: LeakageOptions, runtime: Runtime
) -> _Pictures:
    if Catalog.exists(gallery):
        opened = Catalog(gallery)
        opened.require_same(catalog)
        return _Pictures.of(opened)
    with TemporaryDirectory() as folder:
        known = catalog.encoder(encoder, threads=runtime.threads, device=runtime.device)
        index(gallery, folder, IndexOptions(max_pixels=options.max_pixels), encoder=known, runtime=runtime)
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


def format_leakage(result: LeakageResult, most: int = 20) -> str:
    """Format the result as text, with the first `most` pairs."""
    leaks = result.leaks
    share = 100 * len(leaks) / result.gallery_pictures
    lines = [
        f"{len(leaks)} of {result.gallery_pictures} gallery pictures ({share:.2f} %) are also among the "
        f"{result.catalog_pictures} pictures of the catalog: {result.identical} identical files, "
        f"{len(leaks) - result.identical} near-duplicates"
    ]
    if leaks:
        width = max(len(leak.gallery) for leak in leaks[:most])
        for leak in leaks[:most]:
            how = "same file" if leak.identical else f"{leak.cosine:.4f}"
            lines.append(f"  {how:<9}  {leak.gallery:<{width}}  {leak.catalog}")
    if len(leaks) > most:
        lines.append(f"  … and {len(leaks) - most} more; --output writes all")
    return "\n".join(lines)
