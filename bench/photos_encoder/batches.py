"""Batches: pictures, a text for each, a change for each, and what is right for what."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from learner import Settings
from torch import Tensor
from training_data import SENDERS, Photos, Texts

GROUPS = ("kind", "colour", "gender", "pattern", "sleeve")


class Relations:
    """Between the pictures of a batch: for each group, whether two are known to differ, and what is known."""

    def __init__(self, truth: Tensor, columns: list[Tensor]) -> None:
        differ, known = [], []
        for group in columns:
            part = truth[:, group]
            shows, may = (part == 1).float(), (part != 0).float()
            known_here = (part == 1).any(dim=1)
            differ.append((shows @ may.T == 0) & known_here[:, None] & known_here[None, :])
            known.append(known_here)
        self.differ, self.known = torch.stack(differ), torch.stack(known)  # (g, n, n), (g, n)


@dataclass
class Batch:
    """Pictures `(n,)`, a text and a wished change for each, and which pictures answer them."""

    rows: Tensor
    truth: Tensor
    right: Tensor
    """Which texts are right for which pictures `(n, n)`."""
    unknown: Tensor
    """Of which texts nobody knows."""
    answer: Tensor
    """Which pictures show a picture's change `(n, n)`."""
    skip: Tensor
    """Of which pictures nobody knows."""
    text_rows: np.ndarray
    wish_rows: np.ndarray


class Batches:
    """Draws batches of the photos that may be learnt from."""

    def __init__(self, settings: Settings, photos: Photos, texts: Texts, random: np.random.Generator) -> None:
        self.settings, self.photos, self.texts, self.random = settings, photos, texts, random
        self.device = photos.device
        self.rows_of = self._allowed()
        self.groups = [
            torch.tensor(
                [at for at, value in enumerate(photos.values) if value.startswith(f"{group}=")], device=self.device
            )
            for group in GROUPS
        ]
        named = [value.split("=")[0] for value in photos.values]
        self.group_of = np.array([GROUPS.index(name) if name in GROUPS else -1 for name in named])
        self.mates = self._products_of_one_line()
        self.mated = list(self.mates)
        share_of = np.array([len(rows) for rows in self.rows_of], float) ** 0.75
        self.share_of = share_of / share_of.sum()
        self.known_sets = torch.from_numpy(texts.sets).to(self.device)
        self.truth = photos.truth.clone()
        self.truth_host = self.truth.cpu().numpy()
        self.of_picture = list(texts.of_picture)

    def _allowed(self) -> list[np.ndarray]:
        """The rows of products, homes and drawings that may be learnt from."""
        photos = self.photos
        allowed = np.zeros(len(photos.pixels), bool)
        products, homes = photos.count["products"], photos.count["homes"]
        allowed[:products] = self.settings.products
        allowed[products : products + homes] = ~np.isin(photos.sender, SENDERS["test"])
        allowed[products + homes :] = True
        return [np.flatnonzero(allowed & (photos.source == number)) for number in range(3)]

    def _products_of_one_line(self) -> dict[int, list[int]]:
        """Products of one line in other colours, to take turns beside each other in a batch."""
        line = self.photos.line.cpu().numpy()
        mates: dict[int, list[int]] = {}
        for row in self.rows_of[0]:
            mates.setdefault(int(line[row]), []).append(int(row))
        return {number: members for number, members in mates.items() if 2 <= len(members) <= 10}

    def learn_of_homes(self, seen: Tensor) -> None:
        """Take over the facts that were seen in the home photos."""
        self.truth[torch.from_numpy(self.rows_of[1]).to(self.device)] = seen
        self.truth_host[self.rows_of[1]] = seen.cpu().numpy()
        for row in self.rows_of[1]:
            self.of_picture[row] = self.texts.sets_of(self.truth_host[row])

    def make(self) -> Batch:
        """One batch."""
        rows_host = self._pictures()
        rows = torch.from_numpy(rows_host).to(self.device)
        text_rows, sets, titled = self._texts(rows_host)
        truth = self.truth[rows]
        relations = Relations(truth, self.groups)
        same_line = self.photos.line[rows][:, None] == self.photos.line[rows][None, :]
        own = torch.eye(len(rows), dtype=torch.bool, device=self.device)
        right, unknown = self._answers_of_texts(rows, truth, relations, same_line, sets, titled)
        wish_rows, answer, skip = self._changes(rows_host, truth, relations, same_line, own)
        return Batch(rows, truth, right, unknown, answer, skip, text_rows, wish_rows)

    def _pictures(self) -> np.ndarray:
        """Rows of pictures, of each source its share, some products beside others of their line."""
        random = self.random
        counts = random.multinomial(self.settings.batch, self.share_of)
        chosen = [
            random.choice(rows, count, replace=count > len(rows))
            for rows, count in zip(self.rows_of, counts, strict=True)
            if len(rows)
        ]
        if self.settings.products and counts[0] >= 8 and self.mated:
            pairs = [
                random.choice(self.mates[self.mated[n]], 2, replace=False)
                for n in random.integers(0, len(self.mated), counts[0] // 8)
            ]
            chosen[0][: 2 * len(pairs)] = np.concatenate(pairs)
        return np.concatenate(chosen)

    def _texts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A text for each picture: its title, or a wish for some of its facts, with the number of the set of facts."""
        random, count = self.random, len(rows)
        text_rows, sets, titled = np.empty(count, np.int64), np.full(count, -1), np.zeros(count, bool)
        for place, row in enumerate(rows):
            if row < self.photos.count["products"] and random.random() < self.settings.titles:
                titled[place] = True
                text_rows[place] = self.texts.titles + row
                continue
            sizes = [size for size in self.of_picture[row] if size]
            size = sizes[min(len(sizes) - 1, random.choice(3, p=(0.35, 0.4, 0.25)))]
            sets[place] = size[random.integers(len(size))]
            text_rows[place] = self.texts.wish(sets[place], random)
        return text_rows, sets, titled

    def _shown(self, sets: np.ndarray, truth: Tensor) -> Tensor:
        """Whether pictures show the facts of sets `(sets, 3, pictures)`: 1, 0, or -1 where nobody knows."""
        required = self.known_sets[torch.from_numpy(sets).to(self.device)]
        shown = truth.T[required.clamp(min=0)]
        return torch.where((required < 0)[:, :, None], torch.ones_like(shown), shown)

    def _answers_of_texts(
        self,
        rows: Tensor,
        truth: Tensor,
        relations: Relations,
        same_line: Tensor,
        sets: np.ndarray,
        titled: np.ndarray,
    ) -> tuple[Tensor, Tensor]:
        """Which pictures each text is right for, and of which nobody knows `(texts, pictures)`."""
        shown = self._shown(np.maximum(sets, 0), truth)
        right, unknown = (shown == 1).all(dim=1), (shown != 0).all(dim=1)
        alike = ~relations.differ.any(dim=0)
        title = torch.from_numpy(titled).to(self.device)
        own = torch.eye(len(rows), dtype=torch.bool, device=self.device)
        is_product = rows < self.photos.count["products"]
        right_title = own | (same_line & alike)
        unknown_title = right_title | (alike & ~is_product[None, :])
        right = torch.where(title[:, None], right_title, right)
        return right, torch.where(title[:, None], unknown_title, unknown) & ~right

    def _changes(
        self, rows: np.ndarray, truth: Tensor, relations: Relations, same_line: Tensor, own: Tensor
    ) -> tuple[np.ndarray, Tensor, Tensor]:
        """For each picture a wish for another one's facts of one or two groups, the pictures that show the result, and
        those of which nobody knows.
        """
        count = len(rows)
        differences = relations.differ.sum(dim=0)
        wanted = (differences >= 1) & (differences <= 2) & ~own
        odds = wanted.float() * torch.where(same_line & wanted, 6.0, 1.0)
        odds[:, :] += 1e-9
        other = torch.multinomial(odds, 1)[:, 0]
        reference = torch.arange(count, device=self.device)
        changed = relations.differ[:, reference, other].T  # (n, g)
        wish_rows, wish_sets, usable = self._wishes(
            rows, other.cpu().numpy(), changed.cpu().numpy(), wanted[reference, other].cpu().numpy()
        )
        shown = self._shown(wish_sets, truth)
        fixed = ~changed.T[:, :, None]  # (g, n, 1)
        against = (fixed & relations.differ).any(dim=0) | (shown == 0).any(dim=1)
        one_known = relations.known[:, :, None] & ~relations.known[:, None, :]
        unsure = (fixed & one_known).any(dim=0) | (shown == -1).any(dim=1)
        answer = ~against & ~unsure & ~own & torch.from_numpy(usable).to(self.device)[:, None]
        nearest = answer & same_line
        colour_only = changed[:, 1] & (changed.sum(dim=1) == 1)
        use_line = nearest.any(dim=1) & colour_only & (torch.rand(count, device=self.device) < 0.6)
        skip = own | (~against & ~answer) | (use_line[:, None] & answer & ~nearest)
        return wish_rows, torch.where(use_line[:, None], nearest, answer), skip

    def _wishes(
        self, rows: np.ndarray, other: np.ndarray, changed: np.ndarray, wanted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The text of each change, its set of facts, and whether there is one."""
        count = len(rows)
        wish_rows = np.full(count, self.texts.wishes)
        wish_sets, usable = np.zeros(count, np.int64), np.zeros(count, bool)
        for place in np.flatnonzero(wanted):
            shows = np.flatnonzero(self.truth_host[rows[other[place]]] == 1)
            here = self.truth_host[rows[place]]
            facts = []
            for group in np.flatnonzero(changed[place]):
                options = [value for value in shows if self.group_of[value] == group and here[value] == 0]
                if options:
                    facts.append(int(options[self.random.integers(len(options))]))
            number = self.texts.number.get(tuple(sorted(facts)))
            if number is not None and len(facts) == changed[place].sum():
                usable[place], wish_sets[place] = True, number
                wish_rows[place] = self.texts.wish(number, self.random)
        return wish_rows, wish_sets, usable


def ahead(make: Callable[[], Batch], device: str) -> Iterator[Batch]:
    """What `make` makes, each made in another thread (and stream) while the one before is in use."""
    if device != "cuda":
        while True:
            yield make()
    stream = torch.cuda.Stream()

    def one() -> Batch:
        with torch.cuda.stream(stream):
            made = make()
            stream.synchronize()
        return made

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(one)
        while True:
            made = future.result()
            for tensor in vars(made).values():
                if isinstance(tensor, Tensor):
                    tensor.record_stream(torch.cuda.current_stream())
            future = pool.submit(one)
            yield made
