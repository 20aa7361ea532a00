"""A run of `mine_chat`: its groups, its model, and its output file."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from triptych.catalog.catalog import Catalog
from triptych.chat.ledger import Ledger
from triptych.chat.pictures import PictureUrls
from triptych.chat.prompts import load_prompts
from triptych.chat.settings import ChatSettings
from triptych.core.cluster import HERE, Workers
from triptych.core.errors import FailureError, UsageError
from triptych.core.files import hash_file
from triptych.core.vectors import Vectors
from triptych.mining.chat.dialogue import ChatAgent, Outcome
from triptych.mining.chat.groups import Group, groups
from triptych.mining.options import ChatMineOptions

_LEAST = 20  # usable pictures that a catalog must have


class ChatSession:
    """A run of `mine_chat`.

    `views` are vectors `(n, d)` of the catalog's pictures, the plain ones first, by which `workers` find groups.
    """

    def __init__(
        self,
        catalog: Catalog,
        out: Path,
        model: str,
        settings: ChatSettings,
        options: ChatMineOptions,
        *,
        references: Sequence[int],
        views: Sequence[Vectors],
        workers: Workers = HERE,
    ) -> None:
        if not model:
            raise UsageError("mine-chat needs the name of a model, such as qwen2.5-vl-7b-instruct")
        if len(catalog.names) < _LEAST:
            raise FailureError(f"{catalog.folder}: holds {len(catalog.names)} usable pictures; mining needs {_LEAST}")
        self.catalog = catalog
        self.out = out
        self.settings = settings
        self.options = options
        self.references = references
        self._views = views
        self._workers = workers
        self.model = model
        self.prompts = load_prompts(settings.request.prompts)
        digests = {entry.name: entry.sha256 for entry in catalog.entries}
        self.agent = ChatAgent(
            model,
            self.prompts,
            settings,
            digest_of=digests.__getitem__,
            targets=options.triplets,
            seed=options.seed,
        )
        self.urls = PictureUrls(
            catalog.read,
            size=settings.request.picture_size,
            quality=settings.request.picture_quality,
            limits_of=lambda: catalog.limits,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What decides which triplets are made. A run with other facts starts over, with the replies that exist.

        Ledgers hold these names and values. With other names, no run would go on where an earlier version stopped.
        """
        options, request = self.options, self.settings.request
        return {
            "limit": options.limit,
            "targets": options.triplets,
            "width": options.candidates,
            "group": options.group_size,
            "seed": options.seed,
            "vocabulary": hash_file(options.vocabulary) if options.vocabulary else None,
            "model": self.model,
            "judge": self.settings.judge.models,
            "prompts": self.prompts.version,
            "pictures": [request.picture_size, request.picture_quality, request.one_image],
            "sampling": [request.max_tokens, request.temperature],
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
        width, size = self.options.candidates, self.options.group_size
        return groups(self.catalog.names, self._views, rows, width=width, size=size, workers=self._workers)

    def settle(self, ledger: Ledger, reference: str, outcome: Outcome) -> None:
        """Enter the outcome of a reference."""
        ledger.settle(reference, outcome.state, outcome.reason, [asdict(triplet) for triplet in outcome.triplets])
