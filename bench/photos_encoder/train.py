"""Teach pictures and texts to meet.

    python train.py DATA OUT [--without-products] [--seed 1] [--steps 440] [--size 160]

Photos of closet's test senders are left out. Writes OUT.safetensors. 180 seconds of one H200.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from distil import corpus
from packed import decode, unpack
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from triptych.benchmarks.datasets import closet
from triptych.encoders.networks.efficientnet import EfficientNetLite0
from triptych.encoders.networks.photo_encoder import PhotoEncoder, PhotoShape

SENDERS = json.loads((Path(closet.__file__).parent / "senders.json").read_text())
GROUPS = ("kind", "colour", "gender", "pattern", "sleeve")
# Classes of ImageNet that some training photo may show.
CLOTHES = set(
    """jean, miniskirt, suit, sandal, running shoe, Loafer, clog, cowboy boot, sock, sunglasses, sunglass, wallet,
backpack, purse, bow tie, Windsor tie, bolo tie, cardigan, sweatshirt, jersey, trench coat, fur coat, lab coat,
kimono, gown, hoopskirt, overskirt, sarong, poncho, cloak, abaya, academic gown, apron, bathing cap, bikini,
brassiere, maillot, stole, mitten, sombrero, cowboy hat, bonnet, swimming trunks, pajama, digital watch,
stopwatch, analog clock, necklace, lipstick, lotion, perfume, umbrella, hair spray, buckle, velvet, wool,
mailbag, plastic bag, sunscreen, face powder, vestment, bib, Christmas stocking, pill bottle, basketball, soccer
ball, water bottle, feather boa, handkerchief, knot, bath towel, shoe shop, swab, quilt, diaper, hair slide,
chain, safety pin, military uniform, ski mask, wig, beer bottle, whistle, cuirass, breastplate, bulletproof
vest, sleeping bag, pillow, dishrag, prayer rug, doormat, window shade, shower curtain, book jacket, envelope,
rule, magnetic compass, barometer, wall clock, parallel bars, punching bag, ping-pong ball, rugby ball, football
helmet""".replace("\n", " ").split(", ")
)


@dataclass(frozen=True)
class Settings:
    """What a run is given."""

    steps: int
    seed: int
    products: bool
    batch: int = 1024
    dim: int = 256
    paste: float = 0.5
    compose: float = 0.5
    words: float = 0.05
    distil: float = 2.0
    titles: float = 0.3
    pseudo: float = 0.5
    """After this share of the steps home photos get the colours and patterns that are seen in them."""
    rate: float = 1e-3
    tuned_rate: float = 3e-4
    text_rate: float = 1.5e-4


class Photos:
    """Every training picture on the device, and what is known of it."""

    def __init__(self, data: Path, settings_size: int, device: str) -> None:
        self.size, self.device = settings_size, device
        known = json.loads((data / "known.json").read_text())
        self.values = known["values"]
        files = {name: np.load(data / f"{name}.npz") for name in ("products", "homes", "drawn")}
        with ThreadPoolExecutor(16) as pool:
            pixels = {
                name: np.stack(list(pool.map(lambda jpeg: decode(jpeg, settings_size), unpack(file))))
                for name, file in files.items()
            }
            large = np.load(data / "products_large.npz")
            self.large = torch.from_numpy(
                np.stack(list(pool.map(lambda jpeg: decode(jpeg, settings_size), unpack(large))))
            ).to(device)
        self.count = {name: len(array) for name, array in pixels.items()}
        self.pixels = torch.from_numpy(np.concatenate(list(pixels.values()))).to(device)
        self.truth = torch.from_numpy(np.concatenate([files[n]["truth"] for n in pixels])).to(device)
        self.source = np.concatenate([np.full(count, number) for number, count in enumerate(self.count.values())])
        products = self.count["products"]
        lines = np.concatenate([files["products"]["line"], -2 - np.arange(len(self.pixels) - products)])
        self.line = torch.from_numpy(lines).to(device)
        self.sender = files["homes"]["sender"]
        large_rows = large["row"]
        self.large_of = torch.full((len(self.pixels),), -1, dtype=torch.long, device=device)
        kept = large_rows < products
        self.large_of[torch.from_numpy(large_rows[kept]).to(device)] = torch.arange(len(large_rows), device=device)[
            torch.from_numpy(kept).to(device)
        ]
        # Masks of 60x80 in the middle of a square of 80.
        bits = np.unpackbits(files["products"]["masks"], axis=1)[:, : 60 * 80].reshape(-1, 80, 60)
        square = np.zeros((len(bits), 80, 80), np.uint8)
        square[:, :, 10:70] = bits
        share = bits.mean(axis=(1, 2))
        self.mask = torch.from_numpy(square).to(device)
        self.masked = torch.zeros(len(self.pixels), dtype=torch.bool, device=device)
        self.masked[:products] = torch.from_numpy((share > 0.08) & (share < 0.97)).to(device)


class Texts:
    """Ids of every text, and which texts say which set of facts."""

    def __init__(self, data: Path, photos: Photos, device: str) -> None:
        told = np.load(data / "texts.npz")
        ids = corpus(data)  # general, wishes, titles, anchors
        self.ids = ids.to(device)
        self.lengths = (ids != 0).sum(dim=1).numpy()
        counts = [len(told[name]) for name in ("general", "wishes", "titles", "anchors")]
        self.wishes, self.titles, self.anchors = np.cumsum(counts)[:3]
        self.ends = told["ends"]
        self.sets = told["sets"].astype(np.int64)
        self.number = {tuple(int(f) for f in row if f >= 0): place for place, row in enumerate(self.sets)}
        self.groups = [value.split("=")[0] for value in photos.values]
        self.of_picture = [self.sets_of(row) for row in photos.truth.cpu().numpy()]

    def sets_of(self, truth: np.ndarray) -> list[list[int]]:
        """The numbers of the sets of facts that a picture shows, by size."""
        shown = np.flatnonzero(truth == 1).tolist()
        return [
            [
                self.number[f]
                for f in combinations(shown, size)
                if len({self.groups[x] for x in f}) == size and f in self.number
            ]
            for size in (1, 2, 3)
        ]

    def wish(self, number: int, random: np.random.Generator) -> int:
        """The row of a text that says the facts of a set."""
        start = self.ends[number - 1] if number else 0
        return int(self.wishes + random.integers(start, self.ends[number]))

    def block(self, rows: np.ndarray) -> Tensor:
        """The ids of texts, no wider than they need to be."""
        width = max(8, -(-int(self.lengths[rows].max()) // 8) * 8)
        return self.ids[torch.from_numpy(rows).to(self.ids.device)][:, :width].long()


def affine(count: int, device: str, zoom: tuple[float, float], turn: float, shift: float) -> Tensor:
    """Random mirror, turn, zoom, stretch and shift, as `affine_grid` takes them."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, device=device) * (high - low) + low

    angle, scale, stretch = uniform(-turn, turn), 1 / uniform(*zoom), uniform(0.92, 1.08)
    mirror = uniform(0, 1).round() * 2 - 1
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0], matrix[:, 0, 1] = scale * stretch * angle.cos() * mirror, -scale * angle.sin() * mirror
    matrix[:, 1, 0], matrix[:, 1, 1] = scale * angle.sin(), scale / stretch * angle.cos()
    matrix[:, 0, 2], matrix[:, 1, 2] = uniform(-shift, shift), uniform(-shift, shift)
    return matrix


def warp(pixels: Tensor, matrix: Tensor) -> Tensor:
    grid = F.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="zeros", align_corners=False)


def views(photos: Photos, rows: Tensor, paste: float, homes: Tensor) -> Tensor:
    """Augmented pixels: moved, lit otherwise, blurred, and product photos often cut out and laid on a home's floor."""
    device, count = photos.device, len(rows)
    pixels = photos.pixels[rows]
    large = photos.large_of[rows]
    use = (large >= 0) & (torch.rand(count, device=device) < 0.5)
    pixels = torch.where(use[:, None, None, None], photos.large[large.clamp(min=0)], pixels).float() / 255
    cut = photos.masked[rows] & (torch.rand(count, device=device) < paste)
    mask = torch.zeros(count, 1, *pixels.shape[-2:], device=device)
    if cut.any():
        mask[cut] = F.interpolate(photos.mask[rows[cut]][:, None].float(), size=pixels.shape[-2:], mode="bilinear")
    gentle, wild = affine(count, device, (0.9, 1.25), 0.12, 0.08), affine(count, device, (0.7, 1.2), 0.5, 0.2)
    matrix = torch.where(cut[:, None, None], wild, gentle)
    moved = warp(torch.cat([pixels - 1, mask], dim=1), matrix)  # zero is white
    image, mask = moved[:, :3] + 1, moved[:, 3:]
    if cut.any():
        places = homes[torch.randint(len(homes), (count,), device=device)]
        corner = affine(count, device, (2.2, 4.0), 0.5, 0.0)
        corner[:, :, 2] = (torch.randint(0, 2, (count, 2), device=device) * 2 - 1) * 0.5 + (
            torch.rand(count, 2, device=device) - 0.5
        ) * 0.3
        floor = warp(photos.pixels[places].float() / 255 - 1, corner) + 1
        flat = torch.rand(count, 3, 1, 1, device=device).expand_as(floor)
        floor = torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.2, flat, floor)
        image = torch.where(cut[:, None, None, None], image * mask + floor * (1 - mask), image)
    light = torch.rand(count, 1, 1, 1, device=device) * 0.4 + 0.8
    tint = torch.rand(count, 3, 1, 1, device=device) * 0.12 + 0.94
    image = image * light * tint + (torch.rand(count, 1, 1, 1, device=device) - 0.5) * 0.1
    blurred = F.interpolate(F.avg_pool2d(image, 2), size=image.shape[-2:], mode="bilinear")
    image = torch.where(torch.rand(count, 1, 1, 1, device=device) < 0.25, blurred, image)
    return (image.clamp(0, 1) * 2 - 1).contiguous(memory_format=torch.channels_last)


def ahead(make, device: str):
    """What `make` makes, each made in another thread (and stream) while the one before is in use."""
    if device != "cuda":
        while True:
            yield make()
    stream = torch.cuda.Stream()

    def one() -> dict:
        with torch.cuda.stream(stream):
            made = make()
            stream.synchronize()
        return made

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(one)
        while True:
            made = future.result()
            for tensor in made.values():
                if isinstance(tensor, Tensor):
                    tensor.record_stream(torch.cuda.current_stream())
            future = pool.submit(one)
            yield made


def soft_loss(logits: Tensor, right: Tensor, unknown: Tensor) -> Tensor:
    """Cross-entropy where several answers may be right and some do not count, over the rows that have an answer."""
    logits = logits.masked_fill(unknown & ~right, -1e4)
    right = right.float()
    answers = right.sum(dim=1)
    losses = -(right * logits.log_softmax(dim=1)).sum(dim=1) / answers.clamp(min=1)
    return losses[answers > 0].mean() if (answers > 0).any() else logits.sum() * 0


class Relations:
    """Between the pictures of a batch: for each group, whether two are known to differ, and what is known."""

    def __init__(self, truth: Tensor, columns: list[Tensor]) -> None:
        differ, known = [], []
        for group in columns:
            part = truth[:, group]
            shows, may = (part == 1).float(), (part != 0).float()
            told = (part == 1).any(dim=1)
            differ.append((shows @ may.T == 0) & told[:, None] & told[None, :])
            known.append(told)
        self.differ, self.known = torch.stack(differ), torch.stack(known)  # (g, n, n), (g, n)


class Bank:
    """Made-up features of the trunk for each class of ImageNet: photos' features moved until the trunk's classifier
    says that class."""

    def __init__(self, features: Tensor, weight: Tensor, bias: Tensor, each: int) -> None:
        device = features.device
        mean = features.mean(dim=0)
        cov = torch.cov(features.T)
        cov = cov + torch.eye(len(cov), device=device) * cov.trace() / len(cov) * 0.3
        direction = (weight - weight.mean(dim=0)) @ cov
        gain = (direction * weight).sum(dim=1)
        self.features = torch.empty(len(weight), each, features.shape[1], dtype=torch.float16, device=device)
        sure = []
        for number in range(len(weight)):
            base = mean + 0.6 * (features[torch.randint(len(features), (each,), device=device)] - mean)
            margin = torch.rand(each, 1, device=device) * 4
            steps = torch.linspace(2, 40, 20, device=device)[:, None, None] / gain[number]
            moved = (base + steps * direction[number]).clamp(min=0, max=6)  # (20, each, f)
            logits = moved @ weight.T + bias
            own = logits[..., number].clone()
            logits[..., number] = -1e4
            enough = own - logits.amax(dim=-1) > margin[:, 0]
            first = torch.where(enough.any(dim=0), enough.float().argmax(dim=0), torch.tensor(19, device=device))
            self.features[number] = moved[first, torch.arange(each, device=device)].half()
            sure.append(enough.any(dim=0).float().mean())
        self.sure = torch.stack(sure).mean().item()


class Learner(nn.Module):
    """Everything that is trained."""

    def __init__(self, settings: Settings, trunk: dict[str, Tensor], student: dict[str, Tensor], values: int) -> None:
        super().__init__()
        shape = PhotoShape(vocabulary=len(student["tokens.weight"]), dim=settings.dim)
        self.encoder = PhotoEncoder(shape)
        self.picture, self.text = self.encoder.picture, self.encoder.text
        self.picture.trunk.load_state_dict(trunk)
        for offset, layers in enumerate(self.picture.tuned):
            layers.load_state_dict(self.picture.trunk.stages[shape.tuned_from + offset].state_dict())
        self.text.sentence.load_state_dict(student)
        self.words = nn.Linear(settings.dim, values)
        self.log_scale_composed = nn.Parameter(torch.tensor(3.0))
        self.picture.trunk.requires_grad_(False)

    def meanings(self, pixels: Tensor) -> Tensor:
        """Unit vectors of pictures."""
        early, tuned, features = self.picture.maps(pixels)
        return self.picture.meaning(self.picture.pooled(early, tuned), self.picture.standardise(features))


@torch.inference_mode()
def trunk_features(trunk: nn.Module, pixels: Tensor) -> Tensor:
    return torch.cat([trunk(block.float() / 127.5 - 1).float() for block in pixels.split(512)])


@torch.no_grad()
def fit_statistics(tower: nn.Module, pixels: Tensor, features: Tensor, bank: Bank) -> None:
    """Means, scales and the projection of the item's part, from training photos and the made-up features."""
    tower.mean.copy_(features.mean(dim=0))
    variance = features.var(dim=0)
    tower.scale.copy_((variance + variance.mean()).sqrt())
    early = torch.cat([tower.maps(block.float() / 127.5 - 1)[0].float() for block in pixels.split(256)])
    tower.early_mean.copy_(early.mean(dim=(0, 2, 3)))
    tower.early_scale.copy_(early.std(dim=(0, 2, 3)))
    own = torch.cov(tower.standardise(features).T)
    general = torch.cov(tower.standardise(bank.features[:, 0].float()).T)
    _, directions = torch.linalg.eigh(own / own.trace() + 0.5 * general / general.trace())
    tower.item_directions.copy_(directions.flip(1)[:, : len(tower.item_directions)].T)


@torch.no_grad()
def look(learner: Learner, photos: Photos, rows: Tensor, truth: Tensor) -> Tensor:
    """The facts of pictures; where none is known, the colour, pattern and sleeve that the encoder is sure of."""
    odds = []
    for block in rows.split(256):
        pixels = photos.pixels[block].float() / 127.5 - 1
        mean = (learner.meanings(pixels) + learner.meanings(pixels.flip(-1))) / 2
        odds.append(learner.words(F.normalize(mean, dim=-1) * mean.shape[1] ** 0.5).float())
    chances = torch.cat(odds).sigmoid()
    seen = truth[rows].clone()
    for group, least in (("colour", 0.4), ("pattern", 0.7), ("sleeve", 0.8)):
        column = torch.tensor(
            [at for at, value in enumerate(photos.values) if value.startswith(f"{group}=")], device=rows.device
        )
        best, place = chances[:, column].max(dim=1)
        sure = (best > least) & (seen[:, column] == -1).all(dim=1)
        row = torch.where(chances[:, column] > 0.15, -1, 0).to(seen.dtype)  # what it may be is not held against it
        row.scatter_(1, place[:, None], 1)
        seen[:, column] = torch.where(sure[:, None], row, seen[:, column])
    return seen


def run(
    settings: Settings,
    photos: Photos,
    texts: Texts,
    taught: Tensor,
    learner: Learner,
    bank: Bank,
    features: Tensor,
    names: list[str],
) -> None:
    device = photos.device
    torch.manual_seed(settings.seed)
    random = np.random.default_rng(settings.seed)
    allowed = np.zeros(len(photos.pixels), bool)
    products, homes = photos.count["products"], photos.count["homes"]
    allowed[:products] = settings.products
    allowed[products : products + homes] = ~np.isin(photos.sender, SENDERS["test"])
    allowed[products + homes :] = True
    rows_of = [np.flatnonzero(allowed & (photos.source == number)) for number in range(3)]
    floors = torch.from_numpy(rows_of[1]).to(device)
    rows_all = torch.from_numpy(np.flatnonzero(allowed)).to(device)
    some = rows_all[torch.randperm(len(rows_all), device=device)[:2048]]
    fit_statistics(learner.picture, photos.pixels[some], features[rows_all], bank)
    columns = [
        torch.tensor([at for at, value in enumerate(photos.values) if value.startswith(f"{group}=")], device=device)
        for group in GROUPS
    ]
    group_of = np.array(
        [GROUPS.index(value.split("=")[0]) if value.split("=")[0] in GROUPS else -1 for value in photos.values]
    )
    unclear = torch.tensor([name in CLOTHES for name in names], device=device)
    # Products of one line in other colours, to take turns beside each other in a batch.
    line = photos.line.cpu().numpy()
    mates: dict[int, list[int]] = {}
    for row in rows_of[0]:
        mates.setdefault(int(line[row]), []).append(int(row))
    mates = {number: members for number, members in mates.items() if 2 <= len(members) <= 10}
    mated = list(mates)

    def rate_of(name: str) -> float:
        if ".text.sentence" in name or name.startswith("text.sentence"):
            return settings.text_rate
        return settings.tuned_rate if ".tuned." in name else settings.rate

    weights = [(name, weight) for name, weight in learner.named_parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [w], "lr": rate_of(n), "peak": rate_of(n), "weight_decay": 0.05 if w.ndim > 1 else 0.0}
            for n, w in weights
        ],
        betas=(0.9, 0.98),
    )
    share_of = np.array([len(rows) for rows in rows_of], float) ** 0.75
    share_of /= share_of.sum()
    known_sets = torch.from_numpy(texts.sets).to(device)
    truth_all = photos.truth.clone()
    truth_host = truth_all.cpu().numpy()
    of_picture = list(texts.of_picture)
    taught_rows = texts.wishes  # general texts come first

    def make() -> dict:
        """One batch: pictures, texts, and what is right for what."""
        counts = random.multinomial(settings.batch, share_of)
        chosen = [
            random.choice(rows, count, replace=count > len(rows))
            for rows, count in zip(rows_of, counts, strict=True)
            if len(rows)
        ]
        if settings.products and counts[0] >= 8 and mated:
            pairs = [
                random.choice(mates[mated[n]], 2, replace=False) for n in random.integers(0, len(mated), counts[0] // 8)
            ]
            chosen[0][: 2 * len(pairs)] = np.concatenate(pairs)
        rows_host = np.concatenate(chosen)
        rows = torch.from_numpy(rows_host).to(device)
        count = len(rows)
        # A text for each picture: its title, or a wish for some of its facts.
        text_rows, set_rows, titled = np.empty(count, np.int64), np.full(count, -1), np.zeros(count, bool)
        for place, row in enumerate(rows_host):
            if row < products and random.random() < settings.titles:
                titled[place] = True
                text_rows[place] = texts.titles + row
                continue
            sizes = [size for size in of_picture[row] if size]
            size = sizes[min(len(sizes) - 1, random.choice(3, p=(0.35, 0.4, 0.25)))]
            set_rows[place] = size[random.integers(len(size))]
            text_rows[place] = texts.wish(set_rows[place], random)
        truth = truth_all[rows]
        relations = Relations(truth, columns)
        alike = ~relations.differ.any(dim=0)
        # Which pictures each text is right for (1), wrong for, or nobody knows: (texts, pictures).
        required = known_sets[torch.from_numpy(np.maximum(set_rows, 0)).to(device)]
        shown = truth.T[required.clamp(min=0)]  # (texts, 3, pictures)
        shown = torch.where((required < 0)[:, :, None], torch.ones_like(shown), shown)
        right, unknown = (shown == 1).all(dim=1), (shown != 0).all(dim=1)
        title = torch.from_numpy(titled).to(device)
        same_line = photos.line[rows][:, None] == photos.line[rows][None, :]
        is_product = rows < products
        own = torch.eye(count, dtype=torch.bool, device=device)
        right_title = own | (same_line & alike)
        unknown_title = right_title | (alike & ~is_product[None, :])
        right = torch.where(title[:, None], right_title, right)
        unknown = torch.where(title[:, None], unknown_title, unknown) & ~right
        # Changes: a reference, another picture's facts of one or two groups, and the pictures that show the result.
        differences = relations.differ.sum(dim=0)
        wanted = (differences >= 1) & (differences <= 2) & ~own
        odds = wanted.float() * torch.where(same_line & wanted, 6.0, 1.0)
        odds[:, :] += 1e-9
        other = torch.multinomial(odds, 1)[:, 0]
        reference = torch.arange(count, device=device)
        changed = relations.differ[:, reference, other].T  # (n, g)
        other_host, changed_host, wanted_host = (
            other.cpu().numpy(),
            changed.cpu().numpy(),
            wanted[reference, other].cpu().numpy(),
        )
        wish_rows, wish_sets, usable = np.full(count, texts.wishes), np.zeros(count, np.int64), np.zeros(count, bool)
        for place in np.flatnonzero(wanted_host):
            shows = np.flatnonzero(truth_host[rows_host[other_host[place]]] == 1)
            here = truth_host[rows_host[place]]
            facts = []
            for group in np.flatnonzero(changed_host[place]):
                options = [value for value in shows if group_of[value] == group and here[value] == 0]
                if options:
                    facts.append(int(options[random.integers(len(options))]))
            number = texts.number.get(tuple(sorted(facts)))
            if number is not None and len(facts) == changed_host[place].sum():
                usable[place], wish_sets[place], wish_rows[place] = True, number, texts.wish(number, random)
        required = known_sets[torch.from_numpy(wish_sets).to(device)]
        shown = truth.T[required.clamp(min=0)]
        shown = torch.where((required < 0)[:, :, None], torch.ones_like(shown), shown)
        fixed = ~changed.T[:, :, None]  # (g, n, 1)
        against = (fixed & relations.differ).any(dim=0) | (shown == 0).any(dim=1)
        unsure = (fixed & relations.known[:, :, None] & ~relations.known[:, None, :]).any(dim=0) | (shown == -1).any(
            dim=1
        )
        answer = ~against & ~unsure & ~own & torch.from_numpy(usable).to(device)[:, None]
        nearest = answer & same_line
        colour_only = changed[:, 1] & (changed.sum(dim=1) == 1)
        use_line = nearest.any(dim=1) & colour_only & (torch.rand(count, device=device) < 0.6)
        skip = own | (~against & ~answer) | (use_line[:, None] & answer & ~nearest)
        answer = torch.where(use_line[:, None], nearest, answer)

        return {
            "rows": rows,
            "truth": truth,
            "right": right,
            "unknown": unknown,
            "answer": answer,
            "skip": skip,
            "text_rows": text_rows,
            "wish_rows": wish_rows,
        }

    batches = ahead(make, device)
    for step in range(settings.steps):
        pace = min(1, (step + 1) / 50) * (0.5 * (1 + np.cos(np.pi * step / settings.steps)) * 0.98 + 0.02)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * pace
        if step == int(settings.pseudo * settings.steps):
            seen = look(learner, photos, torch.from_numpy(rows_of[1]).to(device), truth_all)
            truth_all[torch.from_numpy(rows_of[1]).to(device)] = seen
            truth_host[rows_of[1]] = seen.cpu().numpy()
            for row in rows_of[1]:
                of_picture[row] = texts.sets_of(truth_host[row])
        made = next(batches)
        count = len(made["rows"])
        rows, truth, right, unknown, answer, skip = (
            made[name] for name in ("rows", "truth", "right", "unknown", "answer", "skip")
        )
        text_rows, wish_rows = made["text_rows"], made["wish_rows"]
        classes = torch.randint(len(names), (count // 2,), device=device)
        anchor_rows = (texts.anchors + classes.cpu().numpy() * 12 + random.integers(0, 12, len(classes))).astype(
            np.int64
        )
        general_rows = random.integers(0, taught_rows, count // 2)
        pixels = views(photos, rows, settings.paste, floors)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            early, tuned, features_now = learner.picture.maps(pixels)
            places = learner.picture.pooled(early, tuned)
            block = texts.block(np.concatenate([text_rows, wish_rows, anchor_rows, general_rows]))
            sentence = learner.text.sentence(block)
        features_now = features_now.float()
        places = places.float()
        standard = learner.picture.standardise(features_now)
        dropped = (torch.rand(count, 1, device=device) > 0.2).float()
        meaning = learner.picture.meaning(places * dropped, standard)
        item = learner.picture.item(standard)
        made_up = bank.features[classes, torch.randint(bank.features.shape[1], (len(classes),), device=device)].float()
        strange = places.detach()[torch.randint(count, (len(classes),), device=device)]
        anchors = learner.picture.meaning(strange, learner.picture.standardise(made_up))
        said = learner.text.meaning(sentence[: 2 * count + len(classes)])
        of_pictures, of_changes, of_anchors = said.split([count, count, len(classes)])
        scale = learner.encoder.log_scale.exp().clamp(max=100)

        everything = torch.cat([meaning, anchors])
        all_texts = torch.cat([of_pictures, of_anchors])
        logits = scale * all_texts @ everything.T
        same_class = classes[:, None] == classes[None, :]
        corner = unclear[classes]
        right_all = torch.block_diag(right.float(), same_class.float()).bool()
        unknown_all = torch.zeros_like(right_all)
        unknown_all[:count, :count] = unknown
        unknown_all[count:, :count] = corner[:, None]
        unknown_all[:count, count:] = corner[None, :]
        loss = (soft_loss(logits, right_all, unknown_all) + soft_loss(logits.T, right_all.T, unknown_all.T)) / 2
        full = torch.cat([meaning, item], dim=1) * 0.5**0.5
        query = F.normalize(F.pad(of_changes, (0, item.shape[1])) + full, dim=-1)
        composed = learner.log_scale_composed.exp().clamp(max=100) * query @ full.T
        loss = loss + settings.compose * soft_loss(composed, answer, skip)
        known = truth != -1
        odds = learner.words(meaning * settings.dim**0.5)
        per_value = F.binary_cross_entropy_with_logits(odds, (truth == 1).float(), reduction="none")
        loss = loss + settings.words * (per_value * known).sum() / count
        all_rows = torch.from_numpy(np.concatenate([text_rows, wish_rows, anchor_rows, general_rows])).to(device)
        cosine = (F.normalize(sentence.float(), dim=-1) * taught[all_rows].float()).sum(dim=-1)
        loss = loss + settings.distil * (1 - cosine).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step + 1 == settings.steps:
            print(f"step {step} loss {loss.item():.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without-products", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=440)
    parser.add_argument("--size", type=int, default=160)
    given = parser.parse_args()
    settings = Settings(given.steps, given.seed, not given.without_products)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    photos = Photos(given.data, given.size, device)
    texts = Texts(given.data, photos, device)
    taught = torch.load(given.data / "told.pt").to(device)
    trunk = {name: tensor.float() for name, tensor in load_file(given.data / "trunk.safetensors").items()}
    weight, bias = trunk.pop("classes.weight").to(device), trunk.pop("classes.bias").to(device)
    student = {name: tensor.float() for name, tensor in load_file(given.data / "student.safetensors").items()}
    frozen = EfficientNetLite0().to(device).eval()
    frozen.load_state_dict(trunk)
    features = trunk_features(frozen, photos.pixels)
    torch.manual_seed(0)
    bank = Bank(features, weight, bias, 16)
    names = [line for line in (Path(__file__).parent / "imagenet_names.txt").read_text().splitlines() if line]
    torch.manual_seed(settings.seed)
    learner = Learner(settings, trunk, student, len(photos.values)).to(device, memory_format=torch.channels_last)
    run(settings, photos, texts, taught, learner, bank, features, names)
    weights = {name: tensor.float().cpu().contiguous() for name, tensor in learner.encoder.state_dict().items()}
    weights |= {f"words.{name}": tensor.float().cpu() for name, tensor in learner.words.state_dict().items()}
    save_file(weights, given.out.with_suffix(".safetensors"), metadata={"values": json.dumps(photos.values)})


if __name__ == "__main__":
    main()
