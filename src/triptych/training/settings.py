"""The settings of a training run, by which an unfinished run is recognised."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

_RENAMED = {"most_steps": "max_steps"}  # the names that older versions wrote


class Settings(dict[str, Any]):
    """Everything that decides the result of a run, as JSON values: its options, and hashes of its data.

    A setting that the checkpoint of an older version lacks counts as its default. So the default of a new option must
    leave the result as it was.

    Args:
        options: the options, a dataclass.
        facts: further settings, and those that replace an option, such as a file's hash instead of its path.
    """

    def __init__(self, options: Any, **facts: Any) -> None:
        super().__init__(asdict(options) | facts)
        self._defaults = asdict(type(options)())

    def agree_with(self, stored: Mapping[str, Any]) -> bool:
        """Whether a run with the settings `stored`, read from a checkpoint, is this run."""
        renamed = {_RENAMED.get(name, name): value for name, value in stored.items()}
        return _completed(renamed, _as_json(self._defaults)) == _as_json(self)


def _completed(stored: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The stored settings, with the defaults of those that are missing, also in nested options."""
    completed = {**defaults, **stored}
    for name, default in defaults.items():
        if isinstance(default, dict) and isinstance(completed[name], dict):
            completed[name] = _completed(completed[name], default)
    return completed


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(json.dumps(settings))
    return values
