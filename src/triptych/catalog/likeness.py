"""Whether a catalog's pictures are like those that its encoder was trained on; `index` looks, and notes it.

DIR/likeness.json   encoder (its fingerprint), pictures, checked, unlike (a share), warning (a sentence, or "")
"""

from pathlib import Path

import numpy as np

from triptych.catalog.catalog import Catalog
from triptych.core.errors import DataError
from triptych.core.files import read_json, write_json
from triptych.encoders.protocol import Encoder
from triptych.encoders.training_statistics import statistics_of

FILE = "likeness.json"
UNLIKE = 0.3
"""A catalog of which a larger share is unlike what its encoder was trained on is warned of."""

_CHECKED = 2000  # pictures, at most
_FEW = 20  # of fewer pictures a share says nothing


def note_likeness(catalog: Catalog, encoder: Encoder) -> str:
    """Compare a catalog's pictures with what its encoder was trained on, and note what was found.

    At most 2,000 pictures are looked at, evenly from the whole. Nothing is noted of an encoder without statistics, and
    nothing is said of fewer than 20 pictures.

    Returns:
        What a person should know, in a sentence; empty where there is nothing to say.
    """
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


def likeness_warning(catalog: Catalog) -> str:
    """What `note_likeness` found to be said of a catalog; empty where nothing is, or where it was never looked at."""
    try:
        noted = read_json(catalog.folder / FILE, "note")
    except DataError:
        return ""
    if not isinstance(noted, dict) or noted.get("encoder") != catalog.fingerprint:
        return ""
    return str(noted.get("warning", ""))


def _warning(name: str, unlike: float) -> str:
    short = Path(name).name if Path(name).is_absolute() else name
    other = "hf:BAAI/BGE-VL-base" if short.startswith("photos") else "photos"
    return (
        f"{unlike:.0%} of these pictures are unlike those that the encoder {short} was trained on, so expect poor "
        f"results; `triptych reencode CATALOG --encoder {other}` changes the encoder, `triptych doctor` lists others"
    )
