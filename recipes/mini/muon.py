"""Muon for matrices and convolution kernels: momentum whose singular values are pushed towards one.

`torch.optim.Muon` takes matrices only; a UNet's weights are mostly kernels, which are treated here as (out, in·k·k)
matrices. The update is scaled as in "Muon is Scalable for LLM Training" (0.2·√max(rows, columns)), so that AdamW's
learning rates apply.
"""

from __future__ import annotations

import torch

from seediff.devices import has_bfloat16


def orthogonalize(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton–Schulz iteration (quintic) towards the nearest semi-orthogonal matrix. (n, m) → (n, m).

    Computed in bfloat16, for which it is designed, if the device has it.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16() if has_bfloat16(matrix.device) else matrix.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Muon on every given parameter of two or more dimensions."""

    def __init__(self, params, lr: float = 1e-3, momentum: float = 0.95, weight_decay: float = 0.01) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            directions = []
            for weight in weights:
                velocity = self.state[weight].setdefault("velocity", torch.zeros_like(weight))
                velocity.lerp_(weight.grad, 1 - group["momentum"])
                directions.append(weight.grad.lerp(velocity, group["momentum"]).flatten(1))
            for weight, step in zip(weights, map(orthogonalize, directions), strict=True):
                scale = group["lr"] * 0.2 * max(step.shape) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(step.view_as(weight), alpha=-scale)
