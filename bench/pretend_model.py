"""A pretend multimodal chat model of chosen accuracy, which knows the true attributes of the wardrobe's pictures.

The model `accuracy-90` perceives each attribute of a picture correctly with probability 0.9, else as a random other
word of the same attribute. `accuracy-90-b` is another model of that accuracy, which makes other mistakes. Attributes
that a garment does not have are always perceived correctly. With probability `consistency` a model perceives an
attribute as in every other call, else as drawn for this call alone. A consistent mistake is one that the model cannot
find when it judges itself. Pictures are recognised by their pixels, among those of a catalog.

As reasoner it follows the prompt: it chooses pictures that differ in up to three attributes and equal no other of the
group, those with the fewest differences first. As judge it knows only what it reads. It picks the picture that shows
all new words and differs least from the reference otherwise; pictures that differ as little fit, too.
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
from pretend_wording import read_wording, word_changes
from triptych.benchmarks.datasets.wardrobe.garments import vocabulary
from triptych.benchmarks.task import Truth
from triptych.catalog.catalog import Catalog
from triptych.chat.cost import picture_tokens
from triptych.chat.settings import JUDGEMENT
from triptych.triplets.file import Change

Attributes = Mapping[str, str]
"""A picture as a model perceives it: attribute to word; the word is empty if the garment has no such attribute."""

_MODEL = re.compile(r"accuracy-(\d{1,3})(?:-[a-z])?")
_MOST_TARGETS = re.compile(r"at most (\d+) of the reachable")
_WORDINGS = re.compile(r"one a line:\n\n(.*?)\n\n", re.DOTALL)
_SIDE = 12  # pixels of a thumbnail
_CLEAR = 0.5  # of the distance to the second nearest thumbnail, within which the nearest must be
_MOST_CHANGES = 3
_CHARACTERS = 4  # a token, as `mine --dry-run` counts


class PretendModel:
    """Answers chat completions about the pictures of one catalog."""

    def __init__(self, catalog: Catalog, truth: Truth, *, consistency: float, seed: int = 0) -> None:
        self._names = catalog.names
        self._thumbnails = np.stack([_thumbnail(Image.open(catalog.path(name))) for name in catalog.names])
        self._truth = truth
        self._words = vocabulary()
        self._consistency = consistency
        self._seed = seed
        self._recognised: dict[bytes, tuple[str, int]] = {}

    def answer(self, body: Mapping[str, Any]) -> Any:
        """The completion, or a status of 400 and what is wrong with the request."""
        model, text = body["model"], body["messages"][0]["content"]
        urls = [part["image_url"]["url"] for part in body["messages"][1]["content"] if part["type"] == "image_url"]
        try:
            shown = [self.recognise(url) for url in urls]
            accuracy = _accuracy(model)
        except ValueError as error:
            return 400, {"error": {"message": str(error)}}
        call = hashlib.sha256(json.dumps([text, [name for name, _ in shown]]).encode()).hexdigest()
        perceived = [self.perceive(model, accuracy, name, call) for name, _ in shown]
        if body["response_format"]["json_schema"]["name"] == JUDGEMENT:
            content = judge(perceived, _wordings(text))
        else:
            most = int(_MOST_TARGETS.findall(text)[0])
            content = reason(perceived, most, Random(f"words {self._seed} {_seed_name(model)} {call}"))
        reply = json.dumps(content)
        tokens = {
            "prompt_tokens": len(text) // _CHARACTERS + sum(tokens for _, tokens in shown),
            "completion_tokens": len(reply) // _CHARACTERS,
        }
        return completion(reply) | {"usage": tokens}

    def recognise(self, url: str) -> tuple[str, int]:
        """The name of the catalog's picture that a data URL shows, and how many tokens it takes.

        Raises:
            ValueError: the picture is not clearly one of the catalog.
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

    def perceive(self, model: str, accuracy: float, picture: str, call: str) -> Attributes:
        """The attributes of a picture as the model perceives them in a call."""
        key = f"{self._seed} {_seed_name(model)} {picture}"
        return {
            group: self._perceived(f"{key} {group}", accuracy, group, right, call) if right else ""
            for group, right in self._truth[picture].items()
        }

    def _perceived(self, key: str, accuracy: float, group: str, right: str, call: str) -> str:
        of_this_call = Random(f"{key} {call}")
        random = Random(key) if of_this_call.random() < self._consistency else of_this_call
        if random.random() < accuracy:
            return right
        return random.choice([word for word in self._words[group] if word != right])


def reason(perceived: Sequence[Attributes], most: int, random: Random) -> dict[str, Any]:
    """The reasoner's answer about a reference and its group."""
    reference, *others = perceived
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
        # An attribute that one of the garments does not have, such as a skirt's sleeves, is not named.
        pairs = [(group, reference[group], others[place][group]) for group in differing[place]]
        changes = [Change(*pair) for pair in pairs if all(pair)]
        named = [{"group": one.attribute, "old": one.old, "new": one.new} for one in changes]
        targets.append({"picture": place + 1, "changes": named, **word_changes(changes, random)})
    same = [word for group, word in reference.items() if word and all(other[group] == word for other in others)]
    return {
        "shared": f"all are garments{', ' if same else ''}{', '.join(same)}",
        "candidates": [
            {"picture": number, "differs": ", ".join(groups) or "nothing", "reachable": reachable[number - 1]}
            for number, groups in enumerate(differing, 1)
        ],
        "targets": targets,
    }


def judge(perceived: Sequence[Attributes], wordings: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The judge's answer about a reference, its group in another order, and the
    new words that each wording asks for."""
    reference, *others = perceived
    picks: list[int] = []
    fitting: set[int] = set()
    differences: list[int] = []
    for asked in wordings:
        wanted = {**reference, **asked}
        difference_of = {
            number: sum(1 for group in wanted if wanted[group] and other[group] and wanted[group] != other[group])
            for number, other in enumerate(others, 1)
            if asked and all(other[group] == word for group, word in asked.items())
        }
        least = min(difference_of.values(), default=0)
        best = [number for number, difference in difference_of.items() if difference == least]
        picks.append(best[0] if best else 0)
        fitting.update(best[1:])
        differences.append(least)
    return {
        "picks": picks,
        "already_true": all(reference[group] == word for asked in wordings for group, word in asked.items()),
        "also_fit": sorted(fitting - set(picks)),
        "certainty": round(1 - max(differences) / len(reference), 2),
    }


def _accuracy(model: str) -> float:
    found = _MODEL.fullmatch(model)
    if not found:
        raise ValueError(f"there is no model {model!r}; there are accuracy-0 to accuracy-100")
    return int(found[1]) / 100


def _seed_name(model: str) -> str:
    """The model's name in random seeds: an earlier one, so that the published figures can be made again."""
    return model.replace("accuracy-", "sight-")


def _wordings(text: str) -> list[Mapping[str, str]]:
    return [read_wording(line.partition(". ")[2]) for line in _WORDINGS.findall(text)[0].splitlines()]


def _thumbnail(picture: Image.Image) -> NDArray[np.float32]:
    small = picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel()
