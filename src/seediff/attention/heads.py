"""GoCA's head weights: how much each head contributes to the output of a cross-attention layer, at each position.

    w_n(p) = ⟨o_n, Σ_m o_m⟩ / Σ_k ⟨o_k, Σ_m o_m⟩,   o_n = A_n V_n W_n at p

W_n: the rows of the layer's last projection that read head n. No o_n is computed: with o = Σ_m o_m, ⟨o_n, o⟩ = ⟨A_n V_n, o W_nᵀ⟩, where
A_n V_n is the projection's input and o its output without the bias. So all heads together cost one more product of the projection's size.

Shape letters: B images, H heads, N positions, D channels per head, C output channels.
"""

from __future__ import annotations

import torch


def head_weights(given: torch.Tensor, output: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, heads: int) -> torch.Tensor:
    """H · w_n(p), (B, H, N) float32: 1 on average over heads, possibly negative. Where the layer's output is 0, all are 1.

    given: (B, N, H·D), the heads' outputs A_n V_n. output: (B, N, C), their projection. weight: (C, H·D). bias: (C,) or None.
    """
    output = output.float() if bias is None else output.float() - bias.float()
    agreed = ((output @ weight.float()) * given.float()).unflatten(2, (heads, -1)).sum(3).transpose(1, 2)
    total = agreed.sum(1, keepdim=True)
    return torch.where(total > 0, heads * agreed / total.clamp_min(torch.finfo(torch.float32).tiny), 1.0)
