"""Names segments: `name_segments` gives each segment the word that its positions attend to, an extension in DiffSeg's
paper. The network sees the photograph once more, at the same noise level, with sentences that contain the candidate
words.

Shape letters: S segments, C names, (h, w) height and width of a map, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..attention.see_photos import capture_clean, encode_images, join_maps
from ..errors import UserError
from ..files.label_maps import resize_nearest
from ..masks.arithmetic import TINY, resize
from ..prompts.tokens import split_prompts
from ..view import View

if TYPE_CHECKING:
    from ..models.registry import Model

LEVELS = (1, 2, 4)
"""The levels whose cross-attention is averaged, as divisors of L. On the embedded model's tuning scenes, all three
together name 77 % of the objects correctly, and single levels 65, 67 and 69 %."""
GRID = 4
"""Segments and attention are compared on a grid whose sides are this multiple of the latent's sides."""


class SegmentName(NamedTuple):
    """A segment's name and its score."""

    name: str | None
    """None if no word fits."""
    score: float
    """The best word's score in [0, 1], also if it is below the threshold."""


def name_maps(maps: AttentionMaps, names: Sequence[str]) -> torch.Tensor:
    """How much each position attends to each name, (C, h, w) in [0, 1), at the finest captured level of LEVELS.

    The value is r / (1 + r). Here r is the position's attention divided by the name's mean attention over the image,
    averaged over levels. So ½ is average attention, and a name that the picture does not show is near ½ everywhere.

    maps: cross-attention of sentences with the names. names: C names. Raises UserError if none of LEVELS was
    captured."""
    levels = [level for level in LEVELS if maps.grid(level) in maps.cross_attention]
    if not levels:
        wanted = ", ".join(f"L/{level}" for level in LEVELS)
        raise UserError(f"naming needs cross-attention at one of {wanted}; the model has none there")
    relative = []
    for level in levels:
        of_level = torch.stack([maps.cross_at(level, name) for name in names])
        of_level = of_level / of_level.mean((1, 2), keepdim=True).clamp_min(TINY)
        relative.append(resize(of_level, maps.grid(levels[0])))
    mean = torch.stack(relative).mean(0)
    return mean / (1 + mean)


def name_segments(
    label_map: np.ndarray, maps: torch.Tensor, names: Sequence[str], threshold: float
) -> list[SegmentName]:
    """The name of each segment 0 … S − 1: the name whose map has the highest mean in the segment. This mean is the
    score. A segment gets no name if its score is below `threshold`, or if it has no pixels.

    label_map: (H, W) int32; −1 is no segment. maps: (C, h, w) from `name_maps`. names: the maps' names."""
    count = int(label_map.max(initial=-1)) + 1
    inside = label_map >= 0
    ids = label_map[inside]
    sizes = np.bincount(ids, minlength=count)
    heights = resize(maps, label_map.shape).cpu().double().numpy()[:, inside]  # (C, pixels in segments)
    means = np.stack([np.bincount(ids, of_name, minlength=count) for of_name in heights], 1)  # (S, C)
    means /= np.maximum(sizes, 1)[:, None]
    named = []
    for scores, pixels in zip(means, sizes, strict=True):
        best = float(scores.max())
        name = str(names[scores.argmax()])
        named.append(SegmentName(name if pixels and best >= threshold else None, best))
    return named


def name_photo(
    model: Model, view: View, label_map: np.ndarray, words: Sequence[str], *, timestep: int, threshold: float
) -> list[SegmentName]:
    """The name of each segment of a photograph.

    model, view: how the model sees the photograph. label_map: (H, W) int32, its segments. words: at least one.
    timestep: the noise level that the network is shown. threshold: as for `name_segments`."""
    latents = encode_images(model, [view.seen])
    captured = []
    for text, group in split_prompts(model.readers, words):
        captured += capture_clean(model, latents, [(text, group)], timestep=timestep, kind="cross")
    maps = join_maps(captured)
    height, width = maps.lattice
    scale = min(GRID, label_map.shape[0] / height, label_map.shape[1] / width)
    seen = resize_nearest(label_map[view.window.slices], round(scale * height), round(scale * width))
    names = name_segments(seen, name_maps(maps, words), words, threshold)
    lost = int(label_map.max(initial=-1)) + 1 - len(names)  # the last segments were too small for the grid
    return names + [SegmentName(None, 0.0)] * lost
