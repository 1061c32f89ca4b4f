"""Turns a method's proposals into a label map of segments at the photograph's size: `label`, then `follow_edges`.

`label` gives each pixel to the proposal with the highest value (DiffSeg section 3.4). It resizes proposals itself, in
bands of rows. `F.interpolate` takes up to 1.6 times as long, and rounds its weights to float32, which would decide
between nearly equal proposals.

`follow_edges` moves segments to the edges of the picture: PAMR refines every segment's mask along the picture, and each
pixel goes to the segment with the highest mask. Neither DiffSeg's paper nor K-Means has this step. DiffCut's program
has it, with ten rounds, dilations of 4, 8, 16 and 32 pixels for a side of 512, and a 3 × 3 median of the segments'
numbers afterwards.

`name_segments` gives each segment the word that its positions attend to, an extension in DiffSeg's paper. The network
sees the photograph once more, at the same noise level, with sentences that contain the candidate words.

Shape letters: S segments, C names, (h, w) height and width of a map, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..attention.see_photos import capture_clean, encode_images, join_maps
from ..attention.windows import cut, seen_shape, seen_window
from ..config.methods import SegmentConfig
from ..errors import UserError
from ..files.label_maps import resize_nearest
from ..masks.arithmetic import TINY, highest, resize
from ..masks.pamr import affinity, largest_size, pamr, reduce_picture, scaled_dilations
from ..prompts.tokens import split_prompts

if TYPE_CHECKING:
    from ..config.fields import Size
    from ..config.runs import Fit
    from ..models.registry import Model

CHUNK, ROWS = 2**18, 2**22
"""CHUNK: maximum pixels in a band of rows, 1 MiB, few enough for the cache. ROWS: maximum elements of all proposals in
a band of rows."""


def label(proposals: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Label map (H, W) int32 on the CPU: each pixel has the id of the proposal with the highest value, the first of
    equals. Ids are 0 … n − 1 in the order of the proposals. A proposal that wins no pixel gets no id.

    proposals: (P, h, w), which are resized bilinearly (align_corners=False). size: (H, W).
    """
    maps = proposals.float()
    if maps.device.type == "mps":
        maps = maps.cpu()  # it has no float64

    # 1. Bands of rows
    height, width = size
    labels = np.empty((height, width), np.int32)
    used = np.zeros(len(maps), bool)  # whether a proposal wins a pixel
    rows = max(1, min(CHUNK // width, ROWS // (len(maps) * maps.shape[2])))
    for top in range(0, height, rows):
        band = labels[top : top + rows]
        _, numbers = highest(_transposed_bands(maps, size, top, len(band)))  # (W, rows)
        band[:] = numbers.cpu().T.numpy()
        used[band] = True

    # 2. Ids without gaps
    consecutive = (used.cumsum() - 1).astype(np.int32)
    for row in labels:
        row[:] = consecutive[row]
    return torch.from_numpy(labels)


def _transposed_bands(maps: torch.Tensor, size: Sequence[int], top: int, rows: int) -> Iterator[torch.Tensor]:
    """Yields the same band of each map, resized bilinearly (align_corners=False) and transposed: (W, rows). Transposed
    bands are faster to widen, because widening copies whole rows of memory.

    maps: (P, h, w). size: (H, W) of the whole resized maps. top, rows: the band's first row, and its number of rows."""
    above, below, down = _taps(maps.shape[1], size[0], top, rows, maps.device)
    left, right, across = _taps(maps.shape[2], size[1], 0, size[1], maps.device)
    bands = maps[:, above] * (1 - down[:, None]) + maps[:, below] * down[:, None]  # (P, rows, w)
    for band in bands.transpose(1, 2).contiguous():  # (w, rows)
        yield (band[left] * (1 - across[:, None])).add_(band[right].mul_(across[:, None]))


def _taps(
    positions: int, pixels: int, start: int, count: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(before, after, weight), (count,) each: what bilinear interpolation reads along one side for each pixel. before,
    after: the positions before and after the pixel. weight: the weight of the position after the pixel. For example, 2
    positions and 4 pixels give before = 0, 0, 0, 1 and weight = 0, ¼, ¾, 0.

    positions, pixels: the numbers of positions and of pixels on this side. start, count: the first pixel, and the
    number of pixels.
    """
    along = torch.arange(start, start + count, dtype=torch.float64, device=device)
    points = ((along + 0.5) * positions / pixels - 0.5).clamp(0, positions - 1)
    before = points.long()
    return before, (before + 1).clamp_max(positions - 1), (points - before).float()


def follow_edges(picture: np.ndarray, segments: np.ndarray, config: SegmentConfig) -> np.ndarray:
    """Segments (H, W) int32 moved to the edges of the picture. Ids keep their order. If a segment wins no pixel, the
    ids above its own become lower by one.

    picture: (H, W, 3) uint8. segments: (H, W) int32, before they are moved. config: PAMR takes `edge_rounds` rounds;
    without rounds, the segments are returned. A picture of more than `edge_megapixels` is reduced for PAMR, and the
    refined masks are enlarged.
    """
    count = int(segments.max()) + 1
    if not config.edge_rounds or count < 2:
        return segments

    # 1. The picture's weights, at the size that PAMR works at
    size = largest_size(segments.shape, config.edge_megapixels)
    picture = reduce_picture(picture, size)
    coarse = torch.from_numpy(resize_nearest(segments, *size))
    dilations = scaled_dilations(size, config.edge_dilations)
    weights = affinity(coarse.new_tensor(picture, dtype=torch.float32).permute(2, 0, 1) / 255, dilations)

    # 2. The highest mask at each pixel
    def refined_masks() -> Iterator[torch.Tensor]:
        for number in range(count):
            mask = pamr((coarse == number).float()[None], weights, config.edge_rounds, dilations)
            yield resize(mask, segments.shape)[0]

    _, numbers = highest(refined_masks())
    return np.unique(numbers.numpy(), return_inverse=True)[1].reshape(segments.shape).astype(np.int32)


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
    label_map: np.ndarray, maps: torch.Tensor, names: Sequence[str], threshold: float = 0.0
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
    model: Model,
    photo: np.ndarray,
    label_map: np.ndarray,
    words: Sequence[str],
    *,
    fit: Fit,
    size: Size | None,
    timestep: int,
    threshold: float,
) -> list[SegmentName]:
    """The name of each segment of a photograph.

    model: sees the photograph. photo: (H, W, 3) uint8. label_map: (H, W) int32, its segments. words: at least one.
    fit, size: how the model sees the photograph, and at which size. timestep: the noise level that the network is
    shown. threshold: as for `name_segments`."""
    window = seen_window(photo.shape[0], photo.shape[1], fit)
    latents = encode_images(model, [cut(photo, window, seen_shape(model, photo.shape, fit, size))])
    captured = []
    for text, group in split_prompts(model.readers, words):
        captured += capture_clean(model, latents, [text], [group], timestep=timestep, kind="cross")
    maps = join_maps(captured)
    height, width = maps.latent_size
    scale = min(GRID, label_map.shape[0] / height, label_map.shape[1] / width)
    seen = resize_nearest(label_map[window.slices], round(scale * height), round(scale * width))
    names = name_segments(seen, name_maps(maps, words), words, threshold)
    lost = int(label_map.max(initial=-1)) + 1 - len(names)  # the last segments were too small for the grid
    return names + [SegmentName(None, 0.0)] * lost
