"""Teach a small sentence tower what a large one says of texts.

    python distil.py DATA [SECONDS]

Writes DATA/student.safetensors, and DATA/teacher.pt: the teacher's vectors of all texts. 45 seconds of one H200.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from triptych.encoders.networks.sentence import SentenceTower

BATCH = 1024
RATE = 6e-4
LAYERS = (0, 2, 4)  # of the teacher, with which the student begins


def student_of(teacher: SentenceTower, rank: int = 160) -> SentenceTower:
    """A smaller tower that begins with some of the teacher's layers and the best directions of its embeddings."""
    student = SentenceTower(teacher.tokens.num_embeddings, 64, 384, rank, len(LAYERS), 12)
    table = teacher.tokens.weight.detach().float()
    mean = table[4:].mean(dim=0)
    _, _, directions = torch.linalg.svd(table[4:] - mean, full_matrices=False)
    with torch.no_grad():
        student.tokens.weight.copy_((table - mean) @ directions[:rank].T)
        student.tokens.weight[0] = 0
        student.widen.weight.copy_(directions[:rank].T)
        student.widen.bias.copy_(mean)
        student.positions.copy_(teacher.positions)
        student.embedding_norm.load_state_dict(teacher.embedding_norm.state_dict())
        for ours, theirs in zip(student.layers, LAYERS, strict=True):
            ours.load_state_dict(teacher.layers[theirs].state_dict())
    return student


def text_ids(data: Path) -> torch.Tensor:
    """All texts' ids, one width."""
    texts = np.load(data / "texts.npz")
    parts = [texts[name] for name in ("general", "wishes", "titles", "anchors")]
    width = max(part.shape[1] for part in parts)
    return torch.from_numpy(np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts]))


@torch.inference_mode()
def vectors_of(teacher: SentenceTower, ids: torch.Tensor, device: str) -> torch.Tensor:
    """The teacher's unit vectors of texts, in half precision."""
    out = torch.empty(len(ids), 384, dtype=torch.float16, device=device)
    order = (ids != 0).sum(dim=1).argsort()
    for rows in order.split(2048):
        block = ids[rows].to(device).long()
        block = block[:, : int((block != 0).sum(dim=1).max())]
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            out[rows.to(device)] = F.normalize(teacher(block), dim=-1).half()
    return out


def main() -> None:
    data = Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 45
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    weights = {name: tensor.float() for name, tensor in load_file(data / "teacher.safetensors").items()}
    teacher = SentenceTower(len(weights["tokens.weight"]), 64, 384, 0, 6, 12).eval()
    teacher.load_state_dict(weights)
    teacher.to(device)
    ids = text_ids(data)
    targets = vectors_of(teacher, ids, device)
    torch.save(targets.cpu(), data / "teacher.pt")
    ids = ids.to(device)
    order = torch.randperm(len(ids), device=device)
    held, learnt = order[: len(order) // 50], order[len(order) // 50 :]
    student = student_of(teacher).to(device)
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98), fused=device == "cuda"
    )
    started, step, share = time.monotonic(), 0, 0.0
    while share < 1:
        share = (time.monotonic() - started) / seconds
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 100) * max(0.02, 1 - share)
        rows = learnt[torch.randint(len(learnt), (BATCH,), device=device)]
        block = ids[rows].long()
        block = block[:, : max(8, int((block != 0).sum(dim=1).max()))]
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            said = student(block)
        said, target = F.normalize(said.float(), dim=-1), targets[rows].float()
        loss = (1 - (said * target).sum(dim=-1)).mean() + 5 * ((said @ said.T - target @ target.T) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        step += 1
    student.eval()
    cosines = (vectors_of(student, ids[held].cpu(), device).float() * targets[held].float()).sum(dim=-1)
    print(f"{step} steps; cosine to the teacher, of held-out texts: {cosines.mean().item():.4f}")
    save_file(
        {key: tensor.half().cpu().contiguous() for key, tensor in student.state_dict().items()},
        data / "student.safetensors",
    )


if __name__ == "__main__":
    main()
