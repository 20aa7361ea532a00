"""A protocol as data: what published code does differently, as named settings with the common value as default."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from triptych.core.errors import UsageError

TARGET_RATIO = 1.25
"""What SEARLE pads to (Baldrati et al., ICCV 2023, after CLIP4Cir): the longer side over the shorter one."""

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
    """What every official benchmark lets one choose.

    `prompt` wraps the text of a query. `picture` is `encoder` for what the encoder itself does with a picture
    (CLIP resizes and crops the middle) or `padded` for SEARLE's padding to a ratio of 1.25 before that.
    """

    prompt: str = "{text}"
    picture: Literal["encoder", "padded"] = "encoder"

    @property
    def reference_answers(self) -> bool:
        """Whether a query's own reference is ranked, and may take a place."""
        return True

    @property
    def padding(self) -> float | None:
        """The ratio to pad to."""
        return TARGET_RATIO if self.picture == "padded" else None

    def wrap(self, text: str) -> str:
        """The text within the prompt."""
        return self.prompt.replace("{text}", text)

    def protocol(self) -> dict[str, str]:
        """The settings for a result row. Settings that were added later are
        included only if they are not the default."""
        return {name: value for name, value in asdict(self).items() if _LATER.get(name) != value}


@dataclass(frozen=True)
class ReferenceSettings(ProtocolSettings):
    """Settings of a benchmark on which published code disagrees, or could, about the `reference` as an answer."""

    reference: Reference = "kept"

    @property
    def reference_answers(self) -> bool:
        """Whether a query's own reference is ranked, and may take a place."""
        return self.reference == "kept"


def parse_settings(benchmark: str, kind: type[ProtocolSettings] | None, given: Sequence[str]) -> ProtocolSettings:
    """Settings of a benchmark from texts such as "gallery=union".

    Raises UsageError for an unknown name or value, listing the choices, for a name given twice, and for a prompt
    without the place for the text.
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
            raise UsageError(f"--setting {text}: {name} needs {{text}} where a query's text goes")
        chosen[name] = value
    return kind(**chosen)


def _show(setting: tuple[str, Sequence[str]]) -> str:
    name, choices = setting
    return f"{name}={'|'.join(choices) or ('…{text}…' if name == 'prompt' else 'FILE')}"
