"""Whether a catalog's pictures are like those that its encoder was trained on; `index` checks it and stores the result.

DIR/domain.json   encoder (its fingerprint), pictures, checked, unlike (a share), warning (a sentence, or "")
"""

from pathlib import Path

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError
from triptych.core.files import read_json, write_json
from triptych.encoders.protocol import Encoder
from triptych.encoders.training_statistics import statistics_of

FILE = "domain.json"
_OLD_FILE = "likeness.json"  # its name in earlier versions
UNLIKE = 0.3
"""If a larger share of pictures is unlike the training pictures, there is a warning."""

_CHECKED = 2000  # pictures at most
_FEW = 20  # pictures; a share of fewer is too uncertain


def check_domain(catalog: Catalog, encoder: Encoder) -> str:
    """Compare a catalog's pictures with those that its encoder was trained on, and store the result.

    At most 2,000 pictures, evenly spread over the catalog, are compared. Nothing is stored for an encoder without
    statistics, and there is no warning about fewer than 20 pictures.

    Returns:
        The warning, a sentence; empty if there is none.
    """
    (catalog.folder / _OLD_FILE).unlink(missing_ok=True)
    statistics = statistics_of(encoder)
    if statistics is None or not catalog.names:
        (catalog.folder / FILE).unlink(missing_ok=True)
        return ""
    count = len(catalog.names)
    rows = np.unique(np.linspace(0, count - 1, min(count, _CHECKED)).astype(int))
    unlike = statistics.unlike(catalog.vectors[rows])
    catalog.forget_vectors()
    warning = _warning(encoder.name, unlike) if count >= _FEW and unlike > UNLIKE else ""
    write_json(
        catalog.folder / FILE,
        {
            "encoder": catalog.fingerprint,
            "pictures": count,
            "checked": len(rows),
            "unlike": round(unlike, 4),
            "warning": warning,
        },
    )
    return warning


def domain_warning(catalog: Catalog) -> str:
    """The warning that `check_domain` stored; empty if there is none, or if the catalog was never checked."""
    file = catalog.folder / FILE
    try:
        stored = read_json(file if file.exists() else catalog.folder / _OLD_FILE, "note")
    except DataError:
        return ""
    if not isinstance(stored, dict) or stored.get("encoder") != catalog.fingerprint:
        return ""
    return str(stored.get("warning", ""))


def _warning(name: str, unlike: float) -> str:
    short = Path(name).name if Path(name).is_absolute() else name
    other = "hf:BAAI/BGE-VL-base" if short.startswith("photos") else "photos"
    return (
        f"{unlike:.0%} of these pictures are unlike those that the encoder {short} was trained on, so expect poor "
        f"results; `triptych reencode CATALOG --encoder {other}` changes the encoder, `triptych doctor` lists others"
    )
