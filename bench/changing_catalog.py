"""Many clients search while pictures are added, changed and removed: errors, stale answers, and what a search takes.

    python bench/changing_catalog.py CATALOG [--clients 64] [--writers 4] [--seconds 60] [--seed 0] [--option=value …]

CATALOG is copied first, with links to its pictures; it needs a column of words, `--column` (colour). Each writer adds a
picture of noise, changes what is known of it, and removes it, over and over. Clients ask as fast as they are answered:
for what a writer has added, by a condition; for words, in which no removed picture may be found; for a picture itself;
and for what is like it, near-duplicates folded. An answer is stale where it contradicts a change that was acknowledged
before it was asked for and holds until it has come. Other options are passed to `triptych serve`.
"""

import argparse
import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from PIL import Image

from serving_helpers import Field, Service, form

WORDS = ("red", "a shirt", "with stripes", "blue trousers", "without sleeves")


@dataclass(frozen=True)
class State:
    """What is true of a writer's picture; `word` is what its column says, "" where there is no picture."""

    id: str = ""
    word: str = ""


@dataclass
class Shelf:
    """A writer's place: what is true of its picture, or None while a change is under way."""

    words: tuple[str, str]
    state: State | None = field(default_factory=State)


@dataclass
class Outcome:
    """What came of all requests."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of each kind of request."""
    checked: Counter[str] = field(default_factory=Counter)
    """Answers that could have been stale, by what they were checked for."""
    answered: int = 0
    stale: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The figures, as text."""
        shown = []
        for kind, taken in sorted(self.taken.items()):
            taken.sort()
            middle, late = taken[len(taken) // 2], taken[min(len(taken) - 1, int(len(taken) * 0.99))]
            times = (("p50", middle), ("p99", late), ("longest", taken[-1]))
            shown.append(f"{kind}: {len(taken)}, " + ", ".join(f"{name} {1000 * one:.0f} ms" for name, one in times))
        shown.append("checked: " + ", ".join(f"{count} {what}" for what, count in sorted(self.checked.items())))
        return [*shown, f"stale: {len(self.stale)}; errors: {len(self.errors)}", *self.stale[:5], *self.errors[:5]]


class Client:
    """A connection that is kept, and what its requests took."""

    def __init__(self, service: Service, outcome: Outcome, lock: Lock) -> None:
        self._connection = HTTPConnection(service.host, service.port, timeout=60)
        self._outcome = outcome
        self._lock = lock

    def ask(self, kind: str, method: str, path: str, body: bytes = b"", content_type: str = "") -> tuple[int, Any]:
        """The status and the content of an answer; 0 where there was none, which is noted as an error."""
        started = time.perf_counter()
        try:
            self._connection.request(method, path, body or None, {"Content-Type": content_type} if content_type else {})
            answer = self._connection.getresponse()
            status, content = answer.status, answer.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            self.note_error(f"{method} {path}: {type(error).__name__} {error}")
            return 0, None
        with self._lock:
            self._outcome.taken.setdefault(kind, []).append(time.perf_counter() - started)
            self._outcome.answered += 1
        if status >= 500 or status == 429:
            self.note_error(f"{method} {path}: {status} {content[:200]!r}")
        return status, json.loads(content) if content else None

    def search(self, *fields: Field) -> list[Any] | None:
        """The hits of a search, or None."""
        status, answer = self.ask("search", "POST", "/v1/search", *form(fields))
        if status == 200:
            return list(answer["hits"])
        if status:
            self.note_error(f"search {fields}: {status} {answer}")
        return None

    def note_error(self, what: str) -> None:
        """One more error."""
        with self._lock:
            self._outcome.errors.append(what)

    def check(self, what: str, right: bool, found: str) -> None:
        """One more answer that could have been stale."""
        with self._lock:
            self._outcome.checked[what] += 1
            if not right:
                self._outcome.stale.append(f"{what}: {found}")

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class ChangingCatalog:
    """A service, writers that change its catalog, and clients that search it meanwhile."""

    def __init__(self, service: Service, column: str, writers: int, seed: int) -> None:
        self.service = service
        self.column = column
        self.outcome = Outcome()
        self.shelves = [Shelf((f"word{one}a", f"word{one}b")) for one in range(writers)]
        self.removed: list[str] = []
        """Ids of pictures whose removal was acknowledged."""
        self._seed = seed
        self._long = 0
        self._lock = Lock()

    def run(self, clients: int, enough: Callable[[int], bool]) -> Outcome:
        """Search with so many clients, each until `enough` says so of the number of its requests."""
        self._long = 2 * clients
        over = Event()
        writers = [Thread(target=self._write, args=(shelf, number, over)) for number, shelf in enumerate(self.shelves)]
        readers = [Thread(target=self._read, args=(number, enough)) for number in range(clients)]
        for thread in (*writers, *readers):
            thread.start()
        for thread in readers:
            thread.join()
        over.set()
        for thread in writers:
            thread.join()
        return self.outcome

    def _client(self) -> Client:
        return Client(self.service, self.outcome, self._lock)

    def _hold(self, over: Event) -> None:
        """Let a state be for so many answers that some were asked for in it, too."""
        end = self.outcome.answered + self._long
        while self.outcome.answered < end and not over.wait(0.002):
            pass

    def _write(self, shelf: Shelf, number: int, over: Event) -> None:
        chance, client = random.Random(f"{self._seed} writer {number}"), self._client()
        first, second = shelf.words
        while not over.is_set():
            shelf.state = None
            fields: list[Field] = [("picture", noise(chance)), ("metadata", json.dumps({self.column: first}))]
            status, added = client.ask("add", "POST", "/v1/pictures", *form(fields))
            if status != 201:
                client.note_error(f"add: {status} {added}")
                return
            shelf.state = State(added["id"], first)
            self._hold(over)
            path, changes = f"/v1/pictures/{added['id']}", json.dumps({"metadata": {self.column: second}}).encode()
            shelf.state = None
            status, answer = client.ask("change", "PATCH", path, changes, "application/json")
            if status != 200:
                client.note_error(f"change: {status} {answer}")
                return
            shelf.state = State(added["id"], second)
            self._hold(over)
            shelf.state = None
            status, answer = client.ask("remove", "DELETE", path)
            if status != 204:
                client.note_error(f"remove: {status} {answer}")
                return
            shelf.state = State()
            self.removed.append(added["id"])
            self._hold(over)
        client.close()

    def _read(self, number: int, enough: Callable[[int], bool]) -> None:
        chance, client, asked = random.Random(f"{self._seed} client {number}"), self._client(), 0
        while not enough(asked):
            asked += 1
            shelf = chance.choice(self.shelves)
            kinds = (self._ask_by_word, self._ask_by_word, self._ask_for_words, self._ask_for_one, self._ask_like_it)
            chance.choice(kinds)(client, shelf, chance)
        client.close()

    def _ask_by_word(self, client: Client, shelf: Shelf, chance: random.Random) -> None:
        before, word = shelf.state, chance.choice(shelf.words)
        hits = client.search(("text", chance.choice(WORDS)), ("where", f"{self.column}={word}"), ("k", "5"))
        if hits is not None and before is not None and shelf.state is before:
            wanted = [before.id] if before.word == word else []
            found = [hit["id"] for hit in hits]
            client.check("by a condition", found == wanted, f"{found} for {wanted}")

    def _ask_for_words(self, client: Client, _: Shelf, chance: random.Random) -> None:
        gone = set(self.removed[:])
        hits = client.search(("text", chance.choice(WORDS)), ("k", "200"))
        if hits is not None:
            old = [hit["id"] for hit in hits if hit["id"] in gone]
            client.check("without what was removed", not old, f"{old} were removed")

    def _ask_like_it(self, client: Client, shelf: Shelf, _: random.Random) -> None:
        before = shelf.state
        if before is None or not before.id:
            return
        status, answer = client.ask("like", "POST", "/v1/search", *form([("like", before.id), ("unique", "true")]))
        if status and (status not in (200, 404) or shelf.state is before):
            client.check("like one picture", status == 200, f"{status} {answer}")

    def _ask_for_one(self, client: Client, shelf: Shelf, _: random.Random) -> None:
        before = shelf.state
        if before is None or not before.id:
            return
        status, answer = client.ask("picture", "GET", f"/v1/pictures/{before.id}")
        if status and shelf.state is before:
            found = answer["metadata"].get(self.column) if status == 200 else status
            client.check("of one picture", found == before.word, f"{found} for {before.word}")


def noise(chance: random.Random) -> bytes:
    """A picture that there was not before."""
    out = BytesIO()
    Image.frombytes("RGB", (8, 8), chance.randbytes(192)).resize((64, 64)).save(out, "PNG")
    return out.getvalue()


def copied(catalog: Path, folder: Path) -> Path:
    """A catalog of its own, whose pictures are links to the old one's, to be changed."""
    note = json.loads((catalog / "catalog.json").read_text(encoding="utf-8"))
    pictures = folder / "pictures"
    shutil.copytree(note["root"], pictures, copy_function=lambda old, new: Path(new).hardlink_to(old))
    shutil.copytree(catalog, folder / "catalog")
    (folder / "catalog" / "catalog.json").write_text(json.dumps(note | {"root": str(pictures)}), encoding="utf-8")
    return folder / "catalog"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--column", default="colour")
    parser.add_argument("--seed", type=int, default=0)
    given, options = parser.parse_known_args()
    with TemporaryDirectory(dir=given.catalog.parent) as folder:
        own = copied(given.catalog, Path(folder).resolve())
        with Service(own, *options) as service:
            changing = ChangingCatalog(service, given.column, given.writers, given.seed)
            end = time.monotonic() + given.seconds
            outcome = changing.run(given.clients, lambda _: time.monotonic() >= end)
            print(f"{given.clients} clients, {given.writers} writers, {given.seconds:g} s, seed {given.seed}")
            print("\n".join(outcome.lines()))
            status = service.end()
        print(f"ended with {status}")
    if outcome.stale or outcome.errors or status:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
