"""Result dataclasses as mappings, for commands that print them and notes that keep them."""

from dataclasses import asdict
from typing import Any


def known_fields(result: Any) -> dict[str, Any]:
    """The fields of a result dataclass that are not None. Nested dataclasses become mappings."""
    return {name: value for name, value in asdict(result).items() if value is not None}
