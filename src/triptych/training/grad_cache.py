"""Gradients of a loss over a whole batch, with the memory that a part of it takes."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Encode = Callable[[Tensor], Tensor]
"""Inputs `(n, …)` to vectors `(n, d)`, row by row: no row's vector depends on the others."""


def backward(
    encoded: Sequence[tuple[Encode, Tensor]], loss_of: Callable[..., Tensor], *, seed: int, chunk: int | None = None
) -> float:
    """Add the gradients of `loss_of(vectors, vectors, …)`, whose arguments are the `encoded` inputs; returns the loss.

    With `chunk` the activations of that many inputs are held at a time: vectors first, without gradients; then the
    loss, and its gradients with respect to the vectors; then chunk by chunk, computed again, the gradients of the
    encoders (GradCache, Gao et al. 2021, section 3). Each chunk has a seed of its own for what is random in it, both
    times. Without `chunk` there is one chunk, of all, and nothing is computed twice.
    """
    chunks = [
        (place, encode, part)
        for place, (encode, inputs) in enumerate(encoded)
        for part in torch.split(inputs, chunk or max(1, len(inputs)))
    ]

    def vectors_of(number: int) -> Tensor:
        torch.manual_seed(seed + 1 + number)
        _, encode, part = chunks[number]
        return encode(part)

    with torch.set_grad_enabled(chunk is None):
        parts = [vectors_of(number) for number in range(len(chunks))]
    if chunk is not None:
        parts = [part.detach().requires_grad_() for part in parts]
    torch.manual_seed(seed)
    places = range(len(encoded))
    joined = [
        torch.cat([part for part, (place, *_) in zip(parts, chunks, strict=True) if place == at]) for at in places
    ]
    loss = loss_of(*joined)
    loss.backward()  # type: ignore[no-untyped-call]
    if chunk is not None:
        for number, part in enumerate(parts):
            vectors = vectors_of(number)
            if vectors.requires_grad:  # a frozen tower has nothing to learn
                vectors.backward(part.grad)  # type: ignore[no-untyped-call]
    return loss.item()
