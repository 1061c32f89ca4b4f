"""Divides photographs into segments, in memory: the model looks at each once, and a method makes one label map of segment ids of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..attention.features import capture_features
from ..attention.fit import Window, batches_by_shape, cut, paste, seen_shape, windows
from ..attention.generate import check_shape
from ..attention.maps import AttentionMaps
from ..attention.photograph import capture_clean, encode_images, run_clean
from ..config.constants import SegmentConfig
from ..config.levels import check_divides
from ..config.photographs import Fit
from ..config.sizes import Size, pixels
from ..errors import UserError
from ..files.label_maps import resize_nearest
from ..models.registry import Model
from .aggregate import aggregate, level_weights
from .diffcut import diffcut_scores, refine_segments
from .diffseg import anchor_positions, diffseg
from .kmeans import kmeans_proposals
from .suppression import label
from .tiles import merge_labels, merge_proposals

Seen = AttentionMaps | torch.Tensor

TIMESTEPS = {"diffseg": 300, "kmeans": 300, "diffcut": 50}
"""The noise level that each method's authors tell the UNet."""


@dataclass(frozen=True)
class Segments:
    """Segments of one photograph.

    label_map: (H, W) int32, ids 0 … n − 1; −1 = in no segment, which is only outside a centre crop.
    scores: of each segment in [0, 1]: how clearly its pixels belong to it, a mean over them. DiffSeg: of the winning proposal's share in
        the sum of all. DiffCut: of the likeness (cosine) of their features to the segment's. K-Means only says yes or no: 1.
    """

    label_map: np.ndarray
    scores: tuple[float, ...]


def make_segments(
    model: Model,
    photos: Sequence[np.ndarray],
    config: SegmentConfig,
    *,
    fit: Fit = "keep",
    size: Size | None = None,
    counts: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 8,
) -> list[Segments]:
    """Segments of photographs (H, W, 3) uint8 of any size, in order.

    fit, size: how the model sees a photograph, and at which size, as `fit.seen_shape` has it. counts: with `k="truth"`, the number of
    segments of each photograph. seed: of K-Means. batch_size: pictures of one shape that go through the model together.
    """
    if config.k == "truth" and counts is None:
        raise UserError("k = truth needs the number of segments of each photograph")
    areas = [windows(photo.shape[0], photo.shape[1], fit) for photo in photos]
    shapes = [seen_shape(model, photo.shape, fit, size) for photo in photos]
    todo = [(number, window) for number, photo_windows in enumerate(areas) for window in photo_windows]
    found: list[torch.Tensor] = [torch.empty(0)] * len(todo)
    for together in batches_by_shape([shapes[number] for number, _ in todo], batch_size):
        seen = look(model, [cut(photos[todo[i][0]], todo[i][1], shapes[todo[i][0]]) for i in together], config)
        for i, one in zip(together, seen, strict=True):
            k = config.k if config.k != "truth" else counts[todo[i][0]]  # type: ignore[index]  # checked above
            found[i] = propose(one, config, k, seed)
    results = []
    for photo, photo_windows in zip(photos, areas, strict=True):
        window_labels, found = found[: len(photo_windows)], found[len(photo_windows) :]
        results.append(_whole(photo, photo_windows, window_labels, config))
    return results


def _whole(photo: np.ndarray, photo_windows: Sequence[Window], found: Sequence[torch.Tensor], config: SegmentConfig) -> Segments:
    """The proposals (P, h, w) of a photograph's windows as segments of all of it."""
    shape = (photo.shape[0], photo.shape[1])
    if len(photo_windows) == 1:
        label_map = label(found[0], (photo_windows[0].height, photo_windows[0].width)).numpy()
        if config.method == "diffcut" and config.refine:
            label_map = refine_segments(photo[photo_windows[0].slices], label_map)
        whole = paste(label_map, photo_windows[0], shape)
    elif config.method == "diffseg":
        whole = merge_proposals(photo_windows, found, shape, kl_threshold=config.thresholds[-1])
    else:
        whole = merge_labels(photo_windows, [maps.argmax(0) for maps in found], shape)
    return Segments(whole, _scores(whole, photo_windows, found, config.method))


def _scores(label_map: np.ndarray, photo_windows: Sequence[Window], found: Sequence[torch.Tensor], method: str) -> tuple[float, ...]:
    """The `scores` of Segments, read at each window's positions, as the proposals are; one too small to meet any has the mean of all."""
    sums, counts = np.zeros(int(label_map.max()) + 1), np.zeros(int(label_map.max()) + 1)
    for window, maps in zip(photo_windows, found, strict=True):
        clear = maps.double().amax(0).clamp(0, 1) if method == "diffcut" else maps.double().amax(0) / maps.double().sum(0)
        ids = resize_nearest(label_map[window.slices], *maps.shape[1:]).ravel()
        sums += np.bincount(ids, clear.flatten().cpu().numpy(), minlength=len(sums))
        counts += np.bincount(ids, minlength=len(sums))
    mean = float(sums.sum() / counts.sum())
    return tuple(float(s / c) if c else mean for s, c in zip(sums, counts, strict=True))


def check_fits(model: Model, config: SegmentConfig, size: Size | None) -> None:
    """Raise UserError where dividing photographs could not succeed with this model at this size; needs no computation."""
    height, width = check_shape(model, pixels(model.image_side if size is None else size), "size")
    latent_size = height // model.pixels, width // model.pixels
    check_divides(model.family, config.method, model.name)
    if config.method == "diffcut":
        return
    levels = model.family.levels(model.network.config)
    level_weights([(latent_size[0] // level, latent_size[1] // level) for level in levels], latent_size, config.weights)
    if config.method == "diffseg":
        anchor_positions(latent_size, config.num_points)
    elif isinstance(config.k, int) and config.k > (positions := latent_size[0] * latent_size[1]):
        raise UserError(f"k = {config.k} must be from 1 to {positions}, the number of positions")


def look(model: Model, squares: Sequence[np.ndarray], config: SegmentConfig) -> Sequence[Seen]:
    """What a method needs to know of images (H, W, 3) uint8 of one size, from one UNet call on their noise-free latents: self-attention
    whose rows sum to 1, or for DiffCut the encoder's features. It depends on `timestep_of(config)` and on which of the two only."""
    latents = encode_images(model, squares)
    timestep = timestep_of(config)
    if config.method == "diffcut":
        with capture_features(model.network) as recorder:
            run_clean(model, latents, timestep=timestep)
        return list(recorder.features())
    return capture_clean(model, latents, timestep=timestep, kind="self")


def timestep_of(config: SegmentConfig) -> int:
    return TIMESTEPS[config.method] if config.timestep is None else config.timestep


def propose(seen: Seen, config: SegmentConfig, k: int | None, seed: int) -> torch.Tensor:
    """Proposals (P, h, w) of one image: each a map that is high where its segment is. k, seed: of K-Means."""
    if isinstance(seen, torch.Tensor):
        return diffcut_scores(seen, tau=config.cut_threshold, alpha=config.cut_power)
    rows = aggregate(seen.self_attention, seen.latent_size, config.weights)
    if config.method == "kmeans":
        assert k is not None
        return kmeans_proposals(rows, k, seen.latent_size, seed=seed)
    return diffseg(rows, seen.latent_size, num_points=config.num_points, kl_thresholds=config.thresholds, refine=config.refine)
