"""GoCA (CVPR 2026, arXiv 2603.06178): the cross-attention of each layer, weighted by how well the layer's self-attention agrees with the
network's features, as a share of the prompt's words, blurred and spread by self-attention.

    CA_l = Σ_n w_n A_n                              heads     (`attention/heads.py`)
    w_l = Σ_ij SA_l(i, j) · R(i, j)                 layers    (`attention/agreement.py`)
    C_t = max(0, Σ_l w_l CA_{l,t} / Σ_l w_l)
    C   = mean_{t in class} C_t / Σ_{t in content} C_t   rescale
    M   = N(SA² N(blur(C)))                         blur, product; SA⁵ in PixArt

Written from the equations (the authors' program, Darkbblue/goca at 475892f, has no licence). Left out is the background as a competing
word appended to the prompt: here, positions below β are background. Heads are weighted during capture, and `AttentionMaps.heads` records
it. Choices that the equations leave open:

- If the class is the prompt's only content word, there is no rescaling, because every position would be 1.
- The layers of the product: in a UNet the last on the way down and the last two on the way up, at the finest side; in a transformer blocks
  12 and 18 of FLUX's 57, or the blocks at the same depths.
- A cross-attention layer whose block has no captured self-attention has weight 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from ..errors import UserError
from .arithmetic import min_max, resize
from .baselines import random_walk
from .steps import SoftMask, Step, Steps

SIGMA, RADIUS = 1.1, 2
"""Standard deviation and radius of the blur, in positions at the finest side."""
ROUNDS, PIXART_ROUNDS = 2, 5
"""Products with self-attention."""
DEPTHS = (12 / 57, 18 / 57)
"""Depths of the blocks of a transformer whose self-attention is used, as shares of all blocks."""
TINY = torch.finfo(torch.float32).tiny


def goca(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """M at the finest side, by the steps that `config.parts` names. Flag: `constant_map`."""
    steps = Steps()
    columns = maps.columns(class_name)
    if "heads" in config.parts and maps.heads == "mean":
        raise UserError("part heads of goca needs maps with weighted heads: use --capture-heads weighted, or leave it out of --parts")

    # 1. Every layer's cross-attention at the finest side, (content, h, w), weighted.
    content = sorted({*maps.content, *(column for of_word in maps.words.values() for column in of_word)})
    tokens = weighted_tokens(maps, content, weighted="layers" in config.parts)
    soft = tokens[[content.index(column) for column in columns]].mean(0)
    steps.keep(Step("cross_attention"), *min_max(soft))

    # 2. The class's share of all content words.
    if "rescale" in config.parts and len(content) > len(columns):
        soft = soft / tokens.sum(0).clamp_min(TINY)
        steps.keep(Step("share of words"), *min_max(soft))

    # 3. Blur.
    if "blur" in config.parts:
        soft = blur(soft)
        steps.keep(Step("blur"), *min_max(soft))
    soft, flags = min_max(soft)
    steps.flag(flags)

    # 4. Spread by the mean of a few layers' self-attention.
    if "product" in config.parts:
        grid = max(maps.self_layers)
        layers = maps.self_layers[grid]
        walk = torch.stack([layers[name] for name in product_layers(list(layers))]).mean(0)
        soft = resize(soft, grid)
        for number in range(1, rounds(list(layers)) + 1):
            soft = random_walk(walk, soft)
            steps.keep(Step("self-attention product", maps.level(grid), number), *min_max(soft))
        soft = min_max(soft)[0]
    return steps.finish(soft)


def weighted_tokens(maps: AttentionMaps, columns: Sequence[int], *, weighted: bool) -> torch.Tensor:
    """The columns' cross-attention (columns, h, w) at the finest side: the mean over layers, by their weights if `weighted`."""
    weights = {name.rpartition(".")[0]: value for name, value in maps.agreement.items()}
    layers = [(grid, name.rpartition(".")[0], tensor) for grid, of_grid in maps.cross_layers.items() for name, tensor in of_grid.items()]
    shares = [weights.get(block, 0.0) if weighted else 1.0 for _, block, _ in layers]
    if not sum(shares):
        raise UserError("method goca weighs layers by their self-attention, and none was captured; leave layers out of parts")
    finest = max(maps.cross_layers)
    total = torch.zeros(len(columns), *finest, device=layers[0][2].device)
    for share, (grid, _, tensor) in zip(shares, layers, strict=True):
        if share:
            total += share / sum(shares) * resize(tensor[:, list(columns)].T.unflatten(1, grid), finest)
    return total.clamp_min(0)


def product_layers(names: Sequence[str]) -> list[str]:
    """The layers whose mean spreads the map. names: all self-attention layers at one side, in the network's order."""
    up = [name for name in names if name.startswith("up_blocks.")]
    if up:
        return [*[name for name in names if name.startswith("down_blocks.")][-1:], *up[-2:]]
    return list(dict.fromkeys(names[round(len(names) * depth)] for depth in DEPTHS))


def rounds(names: Sequence[str]) -> int:
    """The number of products. names: as in `product_layers`. Of the transformers, only PixArt has self-attention apart from the text's, in
    `attn1`."""
    return PIXART_ROUNDS if all(re.fullmatch(r"transformer_blocks\.\d+\.attn1", name) for name in names) else ROUNDS


def blur(values: torch.Tensor) -> torch.Tensor:
    """A map (h, w) blurred by a Gaussian of 5 × 5 positions; border values are repeated outside."""
    line = torch.exp(-((torch.arange(-RADIUS, RADIUS + 1, device=values.device) / SIGMA) ** 2) / 2)
    line = line / line.sum()
    padded = F.pad(values[None, None], (RADIUS,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1))[0, 0]
