"""A loss that teaches self-attention to group positions that belong together, without masks.

In a model of this size the convolutions do all the work at the top level and self-attention stays uniform, so region
expansion would return noise. Two signals that the model has anyway show which positions belong together: the clean
latents (colours) and the model's cross-attention to the class words. Each sampled query row is pulled towards T_ij ∝
exp(-Σ_w (m_wi - m_wj)²/σ_m² - |x_i - x_j|²/σ_x²), with m the min-max scaled maps of the class words (no gradient) and x
the latents.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

WORD_SIGMA2 = 0.06
COLOUR_SIGMA2 = 6.0


@dataclass
class AttentionTap:
    """Collects, during one forward pass, what the losses need: query rows of self-attention and word maps of
    cross-attention.
    """

    rows: int
    word_side: int  # side of the level whose cross-attention is trusted: the middle level
    token_weights: torch.Tensor | None = None  # (B, C, T): mean over the tokens of each class word
    sampled: list[tuple[torch.Tensor, torch.Tensor, int]] = field(
        default_factory=list
    )  # log-probabilities, row indices, side
    word_maps: list[torch.Tensor] = field(default_factory=list)  # (B, C, N) of the trusted layers, no gradient
    other_maps: list[tuple[torch.Tensor, int]] = field(default_factory=list)  # (B, C, N) of every other layer, side

    @property
    def present(self) -> torch.Tensor:
        """(B, C) bool: whether the caption has the class word."""
        return self.token_weights.sum(-1) > 0  # type: ignore[union-attr]

    def clear(self) -> None:
        """Discard what was collected."""
        for collected in (self.sampled, self.word_maps, self.other_maps):
            collected.clear()


class TappedProcessor:
    """Scaled-dot-product attention that records what a tap needs. Only for training; seediff.attention.network is the
    general way.
    """

    def __init__(self, tap: AttentionTap, up: bool) -> None:
        self.tap, self.up = tap, up

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        cross = encoder_hidden_states is not None
        context = encoder_hidden_states if cross else hidden_states
        query, key, value = (
            part.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # (B, H, N, D)
            for part in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        out = _attend(query, key, value)
        out = attn.to_out[1](attn.to_out[0](out.transpose(1, 2).flatten(2)))
        positions = query.shape[2]
        side = int(positions**0.5)
        if not cross:
            picks = torch.randperm(positions)[: self.tap.rows]
            scores = query[:, :, picks].float() @ key.float().transpose(-1, -2) * attn.scale
            self.tap.sampled.append((scores.softmax(-1).mean(1).clamp_min(1e-9).log(), picks, side))
        elif self.tap.token_weights is not None:
            trusted = self.up and side == self.tap.word_side
            # Without autocast: in bfloat16, distances between such maps would be noise.
            with (
                torch.set_grad_enabled(torch.is_grad_enabled() and not trusted),
                torch.autocast(query.device.type, enabled=False),
            ):
                probabilities = (query.float() @ key.float().transpose(-1, -2) * attn.scale).softmax(-1).mean(1)
                maps = torch.einsum("bnt,bct->bcn", probabilities, self.tap.token_weights)
            if trusted:
                self.tap.word_maps.append(maps)
            else:
                self.tap.other_maps.append((maps, side))
        return out


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """softmax(QKᵀ/√D)·V of (B, H, N, D), as `scaled_dot_product_attention` computes it.

    In bfloat16 a CPU's fused kernel takes 1.1 (1,024 rows) to 5 times (32 words) as long as the three plain operations,
    forward and backward together.
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(query, key, value)
    with torch.autocast("cpu", enabled=False):
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        return scores.softmax(-1) @ value


def attach(unet, tap: AttentionTap) -> None:
    """Set tapped processors on every attention layer of `unet`."""
    unet.set_attn_processor({name: TappedProcessor(tap, name.startswith("up")) for name in unet.attn_processors})


def trusted_maps(tap: AttentionTap) -> torch.Tensor:
    """(B, C, S, S) in [0, 1]: the class words' maps at the trusted level, min-max scaled; zero for words that a caption
    lacks.
    """
    maps = torch.stack(tap.word_maps).mean(0).unflatten(-1, (tap.word_side, tap.word_side))
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return torch.where(
        tap.present[..., None, None], (maps - low) / (high - low).clamp_min(1e-6), torch.zeros_like(maps)
    )


def agreement_loss(tap: AttentionTap, maps: torch.Tensor, signal: torch.Tensor, words: float) -> torch.Tensor:
    """KL(T ‖ A) of a word's trusted map T and its map A in another layer: sum over words, mean over layers and scenes.

    maps: (B, C, S, S) from `trusted_maps`. signal (the weight of a scene), words: as in `grouping_loss`. Both maps are
    normalised over positions, so each layer remains free in how much attention the word gets.
    """
    counts = tap.present * signal[:, None]
    losses = []
    for columns, side in tap.other_maps:
        target = F.interpolate(maps, (side, side), mode="bilinear", antialias=True).flatten(2).clamp_min(1e-4)
        target = target / target.sum(-1, keepdim=True)
        log_place = columns.clamp_min(1e-9).log().log_softmax(-1)
        divergence = F.kl_div(log_place, target, reduction="none").sum(-1)  # (B, C)
        losses.append((divergence * counts).sum() / len(signal))
    return words * torch.stack(losses).mean()


def grouping_loss(
    tap: AttentionTap, maps: torch.Tensor, latents: torch.Tensor, signal: torch.Tensor, words: float
) -> torch.Tensor:
    """KL(T ‖ A) averaged over the sampled rows of all layers, each scene weighted by `signal`.

    maps: (B, C, S, S) from `trusted_maps`. latents: (B, 4, L, L) clean. signal: (B,) in [0, 1], how much of each image
    remains under the noise. words: in [0, 1], the weight of the word maps, which grows during training.
    """
    losses = []
    for log_attention, picks, side in tap.sampled:
        word = F.interpolate(maps, (side, side), mode="bilinear").flatten(2).transpose(1, 2)  # (B, N, C)
        colour = F.adaptive_avg_pool2d(latents, side).flatten(2).transpose(1, 2)  # (B, N, 4)
        distance = words * torch.cdist(word[:, picks], word).square() / WORD_SIGMA2
        distance = distance + torch.cdist(colour[:, picks], colour).square() / COLOUR_SIGMA2
        target = (-distance).softmax(-1)
        divergence = F.kl_div(log_attention, target, reduction="none").sum(-1).mean(1)  # (B,)
        losses.append((divergence * signal).mean())
    return torch.stack(losses).mean()
