"""What the frozen trunk says: features of photos, their statistics, and features made up for classes of ImageNet."""

from pathlib import Path

import torch
from torch import Tensor, nn

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


def class_names() -> list[str]:
    """Of ImageNet, one for each of the trunk's classes."""
    return [line for line in (Path(__file__).parent / "imagenet_names.txt").read_text().splitlines() if line]


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
