"""Gradients of a loss over a whole batch, with the memory of a part of the batch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from triptych.training.processes import Replicas, gathered, own_part, step_seed

Encode = Callable[[Tensor], Tensor]
"""Maps inputs `(n, …)` to vectors `(n, d)`, row by row: no row's vector depends on the others."""


def backward(
    encoded: Sequence[tuple[Encode, Tensor]],
    loss_of: Callable[..., Tensor],
    *,
    seed: int,
    chunk: int | None = None,
    replicas: Replicas | None = None,
) -> float:
    """Add the gradients of a loss over vectors to the parameters of their encoders.

    With `chunk`, the activations of that many inputs are held at a time (GradCache, Gao et al. 2021, section 3). First
    all vectors are computed without gradients. Then the loss and its gradients with respect to the vectors are
    computed. Last, the encoders' gradients are computed chunk by chunk, from vectors that are computed again. Each
    chunk has a seed for its random parts, the same both times. Each of several processes encodes some of the inputs,
    and the loss is over all of them.

    Args:
        encoded: the encoders with their inputs.
        loss_of: the loss of their vectors, `loss_of(vectors, vectors, …)`.
        seed: the seed of dropout.
        chunk: inputs held at a time; None for all at once, without computing anything twice.
        replicas: the weights of several processes, whose gradients are averaged; None for one process.

    Returns:
        The loss.
    """
    seed = step_seed(seed)
    chunks = [
        (place, encode, part)
        for place, (encode, inputs) in enumerate(encoded)
        for part in torch.split(inputs[own_part(len(inputs))], chunk or max(1, len(inputs)))
    ]

    def vectors_of(number: int) -> Tensor:
        torch.manual_seed(seed + 1 + number)
        _, encode, part = chunks[number]
        return encode(part)

    def loss_over(parts: Sequence[Tensor]) -> Tensor:
        torch.manual_seed(seed)
        joined = [
            torch.cat([part for part, (at, *_) in zip(parts, chunks, strict=True) if at == place])
            for place in range(len(encoded))
        ]
        return loss_of(*(gathered(part, len(inputs)) for part, (_, inputs) in zip(joined, encoded, strict=True)))

    if chunk is None:
        loss = _backward(lambda: loss_over([vectors_of(number) for number in range(len(chunks))]), replicas)
        return loss.item()
    with torch.no_grad():
        parts = [vectors_of(number) for number in range(len(chunks))]
    parts = [part.detach().requires_grad_() for part in parts]
    loss = _backward(lambda: loss_over(parts), None)
    for number, part in enumerate(parts):
        vectors = vectors_of(number)
        if vectors.requires_grad:  # False for a frozen tower
            vectors.backward(part.grad)  # type: ignore[no-untyped-call]
    if replicas:
        replicas.average()
    return loss.item()


def _backward(compute: Callable[[], Tensor], replicas: Replicas | None) -> Tensor:
    loss = replicas(compute) if replicas else compute()
    loss.backward()  # type: ignore[no-untyped-call]
    return loss
