"""`mine` with a chat model: the ledger holds every step, and the triplet file is written from the ledger."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from triptych.agent.dialogue import ChatAgent, Outcome
from triptych.agent.grouping import Group, groups
from triptych.catalog import Catalog
from triptych.chat.ledger import Ledger, ledger_of, opened, total
from triptych.chat.pictures import Painter
from triptych.chat.prompts import load_prompts
from triptych.chat.settings import JUDGE_KEYS, JUDGEMENT, REASONING, ChatSettings
from triptych.encoders import Vectors
from triptych.errors import FailureError, UsageError
from triptych.files import hash_file, locked, made_by
from triptych.progress import progress, say
from triptych.triplets import kind_of_reason, triplet_of, write_triplets

_LEAST = 20  # usable pictures
_WIDTH = 300  # nearest pictures that a group is chosen from; beyond them, a person would not call them alike


class ChatMining:
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
        self._model = model
        self._prompts = load_prompts(settings.prompts)
        digests = {entry.name: entry.sha256 for entry in catalog.entries}
        self.agent = ChatAgent(
            model,
            self._prompts,
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
            "model": self._model,
            "judge": self.settings.judge,
            "prompts": self._prompts.version,
            "pictures": [self.settings.picture_side, self.settings.picture_quality, self.settings.sheet],
            "sampling": [self.settings.max_tokens, self.settings.temperature],
            "catalog": self.catalog.digest,
            "encoder": self.catalog.fingerprint,
        }

    @property
    def judges(self) -> list[str]:
        """The models that judge."""
        return self.settings.judges(self._model)

    def groups(self, names: Sequence[str]) -> Iterator[Group]:
        """The groups of these references, in order."""
        rows = [self.catalog.row_of[name] for name in names]
        return groups(self.catalog.names, self._views, rows, width=self.options["width"], size=self.options["group"])

    def run(self) -> dict[str, Any]:
        """Do what the settings say, and write the triplets there are by then. See `triptych.mine`."""
        if self.settings.dry_run:
            from triptych.agent.forecast import forecast

            return forecast(self)
        path = ledger_of(self.out)
        with locked(path.parent), opened(path) as ledger:
            if ledger.begin(self.facts, [self.catalog.names[row] for row in self.references]):
                say(f"{path}: an earlier run had other settings or pictures; starting over, on the replies there are")
            added: dict[str, Any] = {}
            started = time.monotonic()
            try:
                if self.settings.batch_in or self.settings.batch_out:
                    from triptych.agent.batches import batch_round

                    ledger.live(0.0)
                    added = batch_round(self, ledger)
                else:
                    self._live(ledger)
            finally:
                ledger.worked(time.monotonic() - started)
                facts = self._write(ledger) | added
        if not facts["accepted"] and not facts["pending"]:
            raise FailureError(f"{self.out}: no triplet was accepted; `triptych mine --status --out FILE` tells why")
        return facts

    def settle(self, ledger: Ledger, reference: str, outcome: Outcome) -> None:
        """Enter an outcome."""
        ledger.settle(reference, outcome.state, outcome.reason, [asdict(triplet) for triplet in outcome.triplets])

    def _live(self, ledger: Ledger) -> None:
        from triptych.chat.desk import Desk, run
        from triptych.chat.endpoint import LOCAL, Endpoint
        from triptych.chat.line import Line

        settings = self.settings
        hosts = dict.fromkeys(urlsplit(url).hostname for url in (settings.base_url, settings.judge_base_url) if url)
        if far := [str(host) for host in hosts if host not in LOCAL]:
            say(f"mine: pictures leave this machine, for {' and '.join(far)}")
        if (asked := ledger.count("batched")) and not settings.batch_again:
            raise UsageError(
                f"{self.out}: a batch file asks {asked} calls already; take its results in with --batch-in, or give "
                "--batch-again to ask them here all the same"
            )
        ledger.live(time.time())
        waiting = ledger.pending()
        done = len(self.references) - len(waiting)
        bar = progress(self.groups(waiting), "mine", total=len(self.references), unit="reference", done=done)
        talks = ((group.reference, self.agent.talk(group)) for group in bar)

        async def work() -> str:
            async with AsyncExitStack() as stack:
                endpoint = await stack.enter_async_context(Endpoint(settings.base_url, settings))
                works = ledger.count("answered") > 0
                line = Line(endpoint, settings, works=works)
                lines = {REASONING: line, JUDGEMENT: line}
                if settings.judge_base_url:
                    other = await stack.enter_async_context(Endpoint(settings.judge_base_url, settings, JUDGE_KEYS))
                    lines[JUDGEMENT] = Line(other, settings, works=works)
                desk = Desk(ledger, self.painter, settings, lines)
                await desk.run(
                    talks,
                    lambda reference, outcome: self.settle(ledger, reference, outcome),
                    lambda reference, error: ledger.settle(reference, "rejected", f"unreadable: {error}", []),
                )
                return desk.why_stopped

        try:
            stopped = run(work)
        finally:
            talks.close()
        if stopped == "interrupted":
            raise KeyboardInterrupt
        if stopped:
            say(f"mine: stopped: {stopped}")

    def _write(self, ledger: Ledger) -> dict[str, Any]:
        """The triplet file, out of the ledger, and what there is to tell."""
        states, steps = ledger.states(), ledger.steps()
        # Twice through the ledger rather than all of it in memory.
        reasons = Counter("" if row["accepted"] else kind_of_reason(row["reason"]) for row in ledger.triplets())
        accepted = reasons.pop("", 0)
        facts: dict[str, Any] = {
            "accepted": accepted,
            "refused": sum(reasons.values()),
            "reasons": dict(reasons.most_common()),
            "references": len(self.references),
            "references_accepted": states["accepted"],
            "references_rejected": states["rejected"],
            "rejected_because": dict(ledger.reasons()),
            "pending": states["pending"],
            "calls": int(total(steps.values(), "attempts")),
            "tokens_in": int(total(steps.values(), "tokens_in")),
            "tokens_out": int(total(steps.values(), "tokens_out")),
            "cost": round(total(steps.values(), "cost"), 6),
        }
        if states["accepted"] + states["rejected"]:
            settings = self.options | {
                "model": self._model,
                "judge": self.settings.judge,
                "prompts": self._prompts.version,
                "base_url": self.settings.base_url,
                "judge_base_url": self.settings.judge_base_url,
            }
            spent = {"seconds": round(ledger.seconds(), 1)}
            note = made_by("mine", settings, encoder_fingerprint=self.catalog.fingerprint, **facts, **spent)
            write_triplets(self.out, map(triplet_of, ledger.triplets()), note)
        return facts


def mine_by_chat(
    catalog: Catalog,
    out: Path,
    model: str,
    settings: ChatSettings,
    *,
    vocabulary: Path | None,
    limit: int | None,
    targets: int,
    width: int,
    group: int,
    seed: int,
    threads: int | None,
) -> dict[str, Any]:
    """`triptych.mine` with a chat model. A vocabulary, if there is one, only widens what is proposed."""
    options = {"catalog": catalog.folder, "vocabulary": str(vocabulary) if vocabulary else None, "limit": limit}
    options |= {"targets": targets, "width": min(width, _WIDTH), "group": group, "seed": seed}
    order: list[int] = np.random.default_rng(seed).permutation(len(catalog.names)).tolist()
    views = [catalog.vectors]
    if vocabulary:
        views += _views_apart(catalog, vocabulary, threads)
    return ChatMining(catalog, out, model, settings, references=order[:limit], views=views, options=options).run()


def _views_apart(catalog: Catalog, vocabulary: Path, threads: int | None) -> list[Vectors]:
    """One view for each group of words: in it, pictures are alike that differ in that group alone."""
    from triptych.agent.proposing import apart_from
    from triptych.tagging import Tagger, load_vocabulary

    tags = Tagger(catalog.encoder(threads=threads), load_vocabulary(vocabulary))(catalog.vectors)
    return [apart_from((group,), catalog.vectors, tags) for group in tags]
