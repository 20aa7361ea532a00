"""What a page needs to know of a catalog to offer choices, and of two pictures to say what differs."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from triptych.catalog import is_numeric
from triptych.encoders import Encoder, Vectors
from triptych.tagging import Tagger, Vocabulary

_VALUES = 60  # of a column of words that is offered as a choice
_SURE = 0.5  # how likely a word must be, in both pictures, to be told


def columns(metadata: pa.Table) -> list[dict[str, Any]]:
    """The columns that a condition can be about: numbers with their range, and words, commonest first, if few."""
    told = []
    for name in metadata.column_names:
        if name == "name":
            continue
        column = metadata.column(name)
        if is_numeric(column.type):
            ends = pc.min_max(column).as_py()
            told.append({"name": name, "kind": "number", "values": [], "least": ends["min"], "most": ends["max"]})
        else:
            counts = Counter(str(value) for value in column.to_pylist() if value not in (None, ""))
            values = [value for value, _ in counts.most_common()] if len(counts) <= _VALUES else []
            told.append({"name": name, "kind": "words", "values": values, "least": None, "most": None})
    return told


class Comparing:
    """Says in attribute tags what differs between two pictures, as the encoder sees them."""

    def __init__(self, encoder: Encoder, vocabulary: Vocabulary) -> None:
        self._tagger = Tagger(encoder, vocabulary)

    def __call__(self, reference: Vectors, result: Vectors) -> dict[str, list[dict[str, Any]]]:
        """`changed` and `kept` tags of two vectors `(d,)`, the surest first; what is unsure in either is not told."""
        tags = self._tagger(np.stack([reference, result]))
        told: dict[str, list[dict[str, Any]]] = {"changed": [], "kept": []}
        for group, values in tags.items():
            words: Sequence[str] = self._tagger.vocabulary.groups[group]
            before, after = (int(row.argmax()) for row in values)
            sure = float(min(values[0][before], values[1][after]))
            if sure >= _SURE:
                tag = {"group": group, "before": words[before], "after": words[after], "sure": round(sure, 3)}
                told["kept" if before == after else "changed"].append(tag)
        return {kind: sorted(found, key=lambda tag: -tag["sure"]) for kind, found in told.items()}
