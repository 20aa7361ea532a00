"""A pretend multimodal model: it knows what the wardrobe's pictures show, and sees it as well as it is told to.

A model `sight-90` sees each attribute of a picture rightly with probability 0.9, else as a random other word of the
same attribute; `sight-90-b` is another of that sight with eyes of its own. What a garment has none of, none sees. With
probability `steady` a model sees an attribute as it always does, else as it happens to in this call alone: so that
share of its mistakes is beyond its own judging. Pictures are recognised by their pixels, among those of a catalog.

As reasoner it does what the prompt says: it reaches for pictures that differ in up to three attributes and are like no
other of the group, those with the fewest differences first. As judge it knows of a wish only what it reads, and picks
the picture that bears all new words and departs the least from the reference else; what departs as little fits, too.
"""

import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from io import BytesIO
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from loopback import completion
from triptych.benchmarks.datasets.wardrobe.garments import vocabulary
from triptych.benchmarks.task import Truth
from triptych.catalog.catalog import Catalog
from triptych.chat.cost import picture_tokens
from triptych.chat.settings import JUDGEMENT
from triptych.triplets.file import Change
from wishes import read, say

Look = Mapping[str, str]
"""What is seen of a picture: attribute to word; an empty one where the garment has none of it."""

_MODEL = re.compile(r"sight-(\d{1,3})(?:-[a-z])?")
_MOST_TARGETS = re.compile(r"at most (\d+) of the reachable")
_WISHES = re.compile(r"one a line:\n\n(.*?)\n\n", re.DOTALL)
_SIDE = 12  # pixels of a thumbnail
_CLEAR = 0.5  # of the distance to the second nearest thumbnail, within which the nearest must be
_MOST_CHANGES = 3
_CHARACTERS = 4  # a token, as `mine --dry-run` counts


class Seer:
    """Answers chat completions about the pictures of one catalog."""

    def __init__(self, catalog: Catalog, truth: Truth, *, steady: float, seed: int = 0) -> None:
        self._names = catalog.names
        self._thumbnails = np.stack([_thumbnail(Image.open(catalog.path(name))) for name in catalog.names])
        self._truth = truth
        self._words = vocabulary()
        self._steady = steady
        self._seed = seed
        self._recognised: dict[bytes, tuple[str, int]] = {}

    def answer(self, body: Mapping[str, Any]) -> Any:
        """The completion, or a status of 400 and the trouble with the request."""
        model, text = body["model"], body["messages"][0]["content"]
        urls = [part["image_url"]["url"] for part in body["messages"][1]["content"] if part["type"] == "image_url"]
        try:
            shown = [self.recognise(url) for url in urls]
            sight = _sight(model)
        except ValueError as error:
            return 400, {"error": {"message": str(error)}}
        moment = hashlib.sha256(json.dumps([text, [name for name, _ in shown]]).encode()).hexdigest()
        looks = [self.look(model, sight, name, moment) for name, _ in shown]
        if body["response_format"]["json_schema"]["name"] == JUDGEMENT:
            content = judged(looks, _wishes(text))
        else:
            most = int(_MOST_TARGETS.findall(text)[0])
            content = reasoned(looks, most, Random(f"words {self._seed} {model} {moment}"))
        reply = json.dumps(content)
        tokens = {
            "prompt_tokens": len(text) // _CHARACTERS + sum(tokens for _, tokens in shown),
            "completion_tokens": len(reply) // _CHARACTERS,
        }
        return completion(reply) | {"usage": tokens}

    def recognise(self, url: str) -> tuple[str, int]:
        """The name of the catalog's picture that a data URL shows, and how many tokens it is.

        Raises ValueError where it is not clearly one of them.
        """
        key = hashlib.sha256(url.encode()).digest()
        if key not in self._recognised:
            picture = Image.open(BytesIO(b64decode(url.partition(",")[2])))
            distances = np.linalg.norm(self._thumbnails - _thumbnail(picture), axis=1)
            nearest, second = np.argpartition(distances, 1)[:2]
            if distances[nearest] > _CLEAR * distances[second]:
                raise ValueError(f"might be {self._names[nearest]} or {self._names[second]}")
            self._recognised[key] = self._names[nearest], picture_tokens(*picture.size)
        return self._recognised[key]

    def look(self, model: str, sight: float, picture: str, moment: str) -> Look:
        """What the model sees of a picture in a call."""
        return {
            group: self._seen(f"{self._seed} {model} {picture} {group}", sight, group, right, moment) if right else ""
            for group, right in self._truth[picture].items()
        }

    def _seen(self, eye: str, sight: float, group: str, right: str, moment: str) -> str:
        passing = Random(f"{eye} {moment}")
        random = Random(eye) if passing.random() < self._steady else passing
        if random.random() < sight:
            return right
        return random.choice([word for word in self._words[group] if word != right])


def reasoned(looks: Sequence[Look], most: int, random: Random) -> dict[str, Any]:
    """What the reasoner answers of a reference and its group."""
    reference, *others = looks
    differing = [[group for group in reference if reference[group] != other[group]] for other in others]
    reachable = [
        1 <= len(groups) <= _MOST_CHANGES and others.count(other) == 1
        for groups, other in zip(differing, others, strict=True)
    ]
    places = sorted(
        (place for place in range(len(others)) if reachable[place]), key=lambda place: len(differing[place])
    )
    targets = []
    for place in places[:most]:
        # A skirt has no sleeves to speak of.
        pairs = [(group, reference[group], others[place][group]) for group in differing[place]]
        changes = [Change(*pair) for pair in pairs if all(pair)]
        named = [{"group": one.group, "old": one.old, "new": one.new} for one in changes]
        targets.append({"picture": place + 1, "changes": named, **say(changes, random)})
    same = [word for group, word in reference.items() if word and all(other[group] == word for other in others)]
    return {
        "shared": f"all are garments{', ' if same else ''}{', '.join(same)}",
        "candidates": [
            {"picture": number, "differs": ", ".join(groups) or "nothing", "reachable": reachable[number - 1]}
            for number, groups in enumerate(differing, 1)
        ],
        "targets": targets,
    }


def judged(looks: Sequence[Look], wishes: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What the judge answers of a reference, its group in another order, and what is asked for in each wording."""
    reference, *others = looks
    picks: list[int] = []
    fitting: set[int] = set()
    departures: list[int] = []
    for asked in wishes:
        wanted = {**reference, **asked}
        bearing = {
            number: sum(1 for group in wanted if wanted[group] and other[group] and wanted[group] != other[group])
            for number, other in enumerate(others, 1)
            if asked and all(other[group] == word for group, word in asked.items())
        }
        least = min(bearing.values(), default=0)
        best = [number for number, departure in bearing.items() if departure == least]
        picks.append(best[0] if best else 0)
        fitting.update(best[1:])
        departures.append(least)
    return {
        "picks": picks,
        "already_true": all(reference[group] == word for asked in wishes for group, word in asked.items()),
        "also_fit": sorted(fitting - set(picks)),
        "certainty": round(1 - max(departures) / len(reference), 2),
    }


def _sight(model: str) -> float:
    found = _MODEL.fullmatch(model)
    if not found:
        raise ValueError(f"there is no model {model!r}; there are sight-0 to sight-100")
    return int(found[1]) / 100


def _wishes(text: str) -> list[Mapping[str, str]]:
    return [read(line.partition(". ")[2]) for line in _WISHES.findall(text)[0].splitlines()]


def _thumbnail(picture: Image.Image) -> NDArray[np.float32]:
    small = picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel()
