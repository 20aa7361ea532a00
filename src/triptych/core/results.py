"""Results are frozen dataclasses; this is what the commands print of them and notes keep."""

from dataclasses import asdict
from typing import Any


def known_fields(result: Any) -> dict[str, Any]:
    """The fields of a result dataclass that are not None, dataclasses among them as mappings."""
    return {name: value for name, value in asdict(result).items() if value is not None}
