"""Protocol settings: where published evaluation code differs, a named setting with the common value as default."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from triptych.core.errors import UsageError

TARGET_RATIO = 1.25
"""The ratio of the longer to the shorter side to which SEARLE pads (Baldrati et al., ICCV 2023, after CLIP4Cir)."""

Reference = Literal["kept", "removed"]
Subset = Literal[
    "all",
    "shortcut-free",
    "composition-required",
    "unresolved",
    "shortcut-solvable",
    "validated",
    "validated-solved",
    "validated-unsolved",
]
"""All queries, or those with a CIRCUS label (`benchmarks.circus`)."""

_LATER = {"subset": "all", "annotations": "original"}


@dataclass(frozen=True)
class ProtocolSettings:
    """The settings of every official benchmark.

    `prompt` wraps the text of a query. `picture` is `encoder` for the encoder's own preprocessing (CLIP resizes and
    center-crops), or `padded` for SEARLE's padding to a ratio of 1.25 before it.
    """

    prompt: str = "{text}"
    picture: Literal["encoder", "padded"] = "encoder"

    @property
    def reference_answers(self) -> bool:
        """Whether a query's own reference is ranked and may be an answer."""
        return True

    @property
    def padding(self) -> float | None:
        """The ratio of sides to which pictures are padded; None for no padding."""
        return TARGET_RATIO if self.picture == "padded" else None

    def wrap(self, text: str) -> str:
        """Insert the text into the prompt."""
        return self.prompt.replace("{text}", text)

    def protocol(self) -> dict[str, str]:
        """The settings for a result row. Newer settings are included only if they differ from the default, so that rows
        of older versions stay comparable."""
        return {name: value for name, value in asdict(self).items() if _LATER.get(name) != value}


@dataclass(frozen=True)
class ReferenceSettings(ProtocolSettings):
    """Settings of a benchmark for which the `reference` may or may not count as an answer."""

    reference: Reference = "kept"

    @property
    def reference_answers(self) -> bool:
        """Whether a query's own reference is ranked and may be an answer."""
        return self.reference == "kept"


def parse_settings(benchmark: str, kind: type[ProtocolSettings] | None, given: Sequence[str]) -> ProtocolSettings:
    """Parse settings of a benchmark such as "gallery=union".

    Raises:
        UsageError: a name or value is unknown, a name is given twice, or a prompt has no placeholder for the text.
    """
    if kind is None:
        if given:
            raise UsageError(f"{benchmark} has no settings; leave --setting {given[0]} out")
        return ProtocolSettings()
    hints = get_type_hints(kind)
    known = {field.name: get_args(hints[field.name]) for field in fields(kind)}
    chosen: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise UsageError(f"--setting {text}: {benchmark} has the settings {'; '.join(map(_show, known.items()))}")
        if name in chosen:
            raise UsageError(f"--setting {text}: {name} is given twice")
        if known[name] and value not in known[name]:
            raise UsageError(f"--setting {text}: {name} is one of {', '.join(known[name])}")
        if name == "prompt" and "{text}" not in value:
            raise UsageError(f"--setting {text}: {name} must contain {{text}}, which stands for a query's text")
        chosen[name] = value
    return kind(**chosen)


def _show(setting: tuple[str, Sequence[str]]) -> str:
    name, choices = setting
    return f"{name}={'|'.join(choices) or ('…{text}…' if name == 'prompt' else 'FILE')}"
