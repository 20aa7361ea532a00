"""Batch mode: files of requests for a batch service, and files of its results.

The lines are OpenAI's (platform.openai.com, "Batch API": custom_id, method, url, body), which vLLM's `run-batch` reads,
too. A call's key is its custom_id, so results may come in any order, in part, and twice. A reference needs two rounds,
reasoning and judging, or more if a reply needs repair. Each round is --batch-in and --batch-out in one command.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from triptych.chat.answers import completion, server_message
from triptych.chat.client import replay
from triptych.chat.endpoint import FIXABLE_STATUSES, TRANSIENT_STATUSES
from triptych.chat.ledger import Ledger, Reply
from triptych.chat.request import Call, request
from triptych.chat.settings import ChatSettings
from triptych.core.errors import DataError, PictureError, UsageError
from triptych.core.files import atomic
from triptych.core.progress import progress
from triptych.core.text import truncate
from triptych.mining.chat.session import ChatSession

_MOST_REQUESTS, _MOST_BYTES = 50_000, 190_000_000  # of one file; OpenAI takes 50,000 and 200 MB


def batch_round(session: ChatSession, ledger: Ledger) -> dict[str, Any]:
    """Read results, settle the references that are complete, and write a file of the next requests.

    Returns:
        Counts of results, requests and files.
    """
    files = session.settings.batch
    if files.out:
        _refuse_to_overwrite(files.out)
    facts: dict[str, Any] = {}
    if files.results:
        facts["results"] = dict(read_results(files.results, ledger, session.settings))
    calls = list(_advance(session, ledger))
    if files.out:
        facts |= _write(session, ledger, calls, files.out)
    return facts


def _refuse_to_overwrite(file: Path) -> None:
    if file.exists():
        raise UsageError(f"{file}: exists already; what it asks would be paid for twice")


def read_results(path: Path, ledger: Ledger, settings: ChatSettings) -> Counter[str]:
    """Enter the results of a file into the ledger.

    Returns:
        Counts of results: new, known (there was a reply already), failed, and unknown (no call of this run).

    Raises:
        DataError: a line is no result; the message names it.
    """
    counted: Counter[str] = Counter()
    try:
        with path.open("rb") as lines, ledger.transaction():
            for number, line in enumerate(lines, 1):
                if line.strip():
                    counted[_enter(line, f"{path}:{number}", ledger, settings)] += 1
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    return counted


def _enter(line: bytes, where: str, ledger: Ledger, settings: ChatSettings) -> str:
    try:
        result = json.loads(line)
        key = result["custom_id"]
        response = result.get("response") or {}
        code, body = response.get("status_code"), response.get("body")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{where}: not a line of batch results; it needs custom_id and response") from None
    if not isinstance(key, str) or not (state := ledger.state(key)):
        return "unknown"
    if state in ("answered", "refused"):
        return "known"
    if code == 200 and (reply := completion(json.dumps(body))) is not None:
        cost = settings.cost(ledger.step(key), reply.tokens_in, reply.tokens_out)
        ledger.record_reply(key, replace(reply, cost=cost))
        return "new"
    message = server_message(code if isinstance(code, int) else 0, json.dumps(result.get("error") or body))
    said = truncate(str(message), 300)
    if isinstance(code, int) and 400 <= code < 500 and code not in TRANSIENT_STATUSES | FIXABLE_STATUSES:
        ledger.record_reply(key, Reply("", problem=said))
        return "new"
    ledger.record_failure(key, f"batch: {said}")
    return "failed"


def _advance(session: ChatSession, ledger: Ledger) -> Iterator[tuple[str, Call]]:
    """Settle every reference with all replies; yield the calls that the others wait for."""
    waiting = ledger.pending()
    for group in progress(session.groups(waiting), "mine", total=len(waiting), unit="reference"):
        outcome, missing = replay(session.agent.dialogue(group), lambda call: ledger.reply(call.key))
        if outcome is not None:
            session.settle(ledger, group.reference, outcome)
        for call in missing:
            yield group.reference, call


def _write(session: ChatSession, ledger: Ledger, calls: list[tuple[str, Call]], path: Path) -> dict[str, Any]:
    unique = {call.key: (reference, call) for reference, call in calls}
    if not session.settings.batch.resend:
        unique = {key: asked for key, asked in unique.items() if ledger.state(key) != "batched"}
    waiting = list(unique.values())
    files: list[str] = []
    while waiting:
        file = path if not files else path.with_stem(f"{path.stem}-{len(files) + 1}")
        _refuse_to_overwrite(file)
        waiting = waiting[_write_file(session, ledger, waiting, file) :]
        files.append(str(file))
    return {"requests": len(unique), "files": ", ".join(files) or "none: there is nothing to ask"}


def _write_file(session: ChatSession, ledger: Ledger, waiting: list[tuple[str, Call]], file: Path) -> int:
    """Write as many requests as one file may hold, and enter them. Returns how many
    calls were handled, unreadable ones included."""
    done = size = 0
    entered: list[tuple[str, Call]] = []
    with atomic(file) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for reference, call in waiting:
            try:
                line = _line(call, session)
            except PictureError as error:
                done += 1
                ledger.settle(reference, "rejected", f"unreadable: {error}", [])
                continue
            size += len(line)
            if entered and (size > _MOST_BYTES or len(entered) == _MOST_REQUESTS):
                break
            lines.write(line)
            done += 1
            entered.append((reference, call))
        # Before the file is there, since results of calls that are not entered would be paid for in vain.
        with ledger.transaction():
            for reference, call in entered:
                ledger.record_attempt(call, reference, state="batched")
    return done


def _line(call: Call, session: ChatSession) -> str:
    body = request(call, session.urls, session.settings.request)
    asked = {"custom_id": call.key, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(asked) + "\n"
