"""What a run of `mine` with a chat model is about: which groups are asked about, by whom, into which file."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from triptych.catalog.catalog import Catalog
from triptych.chat.ledger import Ledger
from triptych.chat.pictures import Painter
from triptych.chat.prompts import load_prompts
from triptych.chat.settings import ChatSettings
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import hash_file
from triptych.core.vectors import Vectors
from triptych.mining.chat.dialogue import ChatAgent, Outcome
from triptych.mining.chat.groups import Group, groups

_LEAST = 20  # usable pictures
_WIDTH = 300  # nearest pictures that a group is chosen from; beyond them, a person would not call them alike


class ChatSession:
    """A run: which groups are asked about, by whom, into which file."""

    def __init__(
        self,
        catalog: Catalog,
        out: Path,
        model: str,
        settings: ChatSettings,
        *,
        references: Sequence[int],
        views: Sequence[Vectors],
        options: dict[str, Any],
    ) -> None:
        if not model:
            raise UsageError("--reasoner chat:MODEL needs the name of a model, such as chat:qwen2.5-vl-7b-instruct")
        if len(catalog.names) < _LEAST:
            raise FailureError(f"{catalog.folder}: holds {len(catalog.names)} usable pictures; mining needs {_LEAST}")
        self.catalog = catalog
        self.out = out
        self.settings = settings
        self.options = options
        self.references = references
        self._views = views
        self.model = model
        self.prompts = load_prompts(settings.prompts)
        digests = {entry.name: entry.sha256 for entry in catalog.entries}
        self.agent = ChatAgent(
            model,
            self.prompts,
            settings,
            digest_of=digests.__getitem__,
            targets=options["targets"],
            seed=options["seed"],
        )
        self.painter = Painter(catalog.path, side=settings.picture_side, quality=settings.picture_quality)

    @property
    def facts(self) -> dict[str, Any]:
        """What decides which triplets come out; a run with other facts begins anew, on the replies there are."""
        vocabulary = self.options["vocabulary"]
        decide = {name: self.options[name] for name in ("limit", "targets", "width", "group", "seed")}
        return decide | {
            "vocabulary": hash_file(Path(vocabulary)) if vocabulary else None,
            "model": self.model,
            "judge": self.settings.judge,
            "prompts": self.prompts.version,
            "pictures": [self.settings.picture_side, self.settings.picture_quality, self.settings.sheet],
            "sampling": [self.settings.max_tokens, self.settings.temperature],
            "catalog": self.catalog.digest,
            "encoder": self.catalog.fingerprint,
        }

    @property
    def judges(self) -> list[str]:
        """The models that judge."""
        return self.settings.judges(self.model)

    def groups(self, names: Sequence[str]) -> Iterator[Group]:
        """The groups of these references, in order."""
        rows = [self.catalog.row_of[name] for name in names]
        return groups(self.catalog.names, self._views, rows, width=self.options["width"], size=self.options["group"])

    def settle(self, ledger: Ledger, reference: str, outcome: Outcome) -> None:
        """Enter an outcome."""
        ledger.settle(reference, outcome.state, outcome.reason, [asdict(triplet) for triplet in outcome.triplets])
