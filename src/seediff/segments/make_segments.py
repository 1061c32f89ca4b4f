"""Divides photographs into segments, in memory. For each photograph these steps follow each other:

capture_inputs  the model sees it once: self-attention, or the encoder's features
propose         the method's proposals: for each segment, how much every position belongs to it
label_view      the segment with the highest value at each pixel, then moved to the photograph's edges
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..attention.maps import AttentionMaps
from ..attention.see_photos import batches_by_shape, capture_clean, encode_images, run_clean
from ..config.methods import SegmentConfig
from ..drawing.colours import shown_ids
from ..drawing.overlays import draw_named, magnify
from ..drawing.shown import as_html
from ..files.label_maps import resize_nearest
from ..files.messages import plural
from ..masks.results import as_detections
from ..models.layers import Grid
from ..models.registry import Model
from ..view import View
from .aggregate import aggregate, level_weights
from .diffcut import capture_features, cut_features
from .diffseg import anchor_positions, diffseg
from .kmeans import check_k, kmeans
from .labelling import follow_edges, label

if TYPE_CHECKING:
    from supervision import Detections

MethodInput = AttentionMaps | torch.Tensor
"""What a method divides: self-attention whose rows sum to 1, or the encoder's features as a tensor (C, h, w)."""


@dataclass(frozen=True, repr=False, eq=False)
class Segments:
    """Segments of one photograph. Notebooks show them as a picture."""

    label_map: np.ndarray
    """(H, W) int32: the id of each pixel's segment, 0 … n − 1; −1 outside a centre crop, where there are no
    segments."""
    scores: tuple[float, ...]
    """For each segment, how clearly its pixels belong to it, on average, in [0, 1]. DiffSeg: the winning proposal's
    value divided by the sum of all proposals. K-Means: always 1. DiffCut: the value of `cut_features`."""
    pixels: np.ndarray | None = None
    """The photograph (H, W, 3) uint8, if it is known."""
    flags: tuple[str, ...] = ()
    """`blank` for a black picture; otherwise empty."""

    def __repr__(self) -> str:
        count = plural(len(self.scores), "segment")
        return f"<Segments: {self.label_map.shape}, {count}>"

    def overlay(self) -> Image.Image:
        """The picture with the segments laid over it, with outlines and ids; black instead of an unknown picture. A
        small picture is enlarged."""
        numbers = magnify(self.label_map + 1, Image.Resampling.NEAREST)
        names = {number + 1: str(number) for number in range(len(self.scores))}
        ids = shown_ids(np.zeros(numbers.shape, np.uint8), numbers, 0, alone=True)
        pixels = None if self.pixels is None else magnify(self.pixels, Image.Resampling.LANCZOS)
        return Image.fromarray(draw_named(pixels, ids, names, numbers))

    def detections(self) -> Detections:
        """The mask and box of each segment, as `supervision.Detections`. Its `class_id` is the segment's id, its
        `confidence` the segment's score. Raises UserError if supervision is not installed."""
        return as_detections(self.label_map, 0, [*map(str, range(len(self.scores)))], self.scores)

    def _repr_html_(self) -> str:
        return as_html(plural(len(self.scores), "segment"), self.pixels, self.overlay())


def make_segments(
    model: Model, views: Sequence[View], config: SegmentConfig, *, seed: int = 0, batch_size: int = 8
) -> list[Segments]:
    """The segments of each photograph, in order.

    model: sees the photographs. views: from `view_photo`. config: the method and its constants. seed: for K-Means.
    batch_size: photographs of one shape per network call. Raises UserError as `propose` does.
    """
    divided: dict[int, Segments] = {}
    for batch in batches_by_shape([view.shape for view in views], batch_size):
        inputs = capture_inputs(model, [views[i].seen for i in batch], config)
        for i, method_input in zip(batch, inputs, strict=True):
            divided[i] = label_view(views[i], propose(method_input, config, config.known_k(), seed), config)
    return [divided[i] for i in range(len(views))]


def capture_inputs(model: Model, images: Sequence[np.ndarray], config: SegmentConfig) -> Sequence[MethodInput]:
    """The method's input for each image, from one network call on noise-free latents. images: (H, W, 3) uint8, all of
    one size. config: the timestep that the network is shown, and whether the method divides features."""
    latents = encode_images(model, images)
    if config.divides_features:
        with capture_features(model.network, latents.shape[-2:]) as features:
            run_clean(model, latents, [""] * len(latents), timestep=config.timestep_shown)
        return list(features[0])
    return capture_clean(model, latents, timestep=config.timestep_shown, kind="self")


def propose(method_input: MethodInput, config: SegmentConfig, k: int | None, seed: int) -> torch.Tensor:
    """The proposals (P, h, w) of one image. Each is high where its segment is. method_input: from `capture_inputs`.
    config: the method and its constants. k, seed: for K-Means. Raises UserError for constants that do not suit the
    number of positions."""
    if isinstance(method_input, torch.Tensor):
        return cut_features(method_input, config)
    size = method_input.lattice
    rows = aggregate(method_input.self_attention, size, config.weights)
    if config.method == "kmeans":
        assert k is not None
        return F.one_hot(kmeans(rows, k, seed=seed)[0], k).T.unflatten(1, size).float()  # (N,) → (N, k) → (k, h, w)
    return diffseg(rows, size, num_points=config.num_points, kl_thresholds=config.thresholds, refine=config.refine)


def label_view(view: View, proposals: torch.Tensor, config: SegmentConfig) -> Segments:
    """The segments of a picture. proposals: (P, h, w) of the part that the model saw or drew."""
    label_map = follow_edges(view.part, label(proposals, view.window.shape), config)
    scores = _scores(label_map, proposals.double(), config)
    if view.inside != view.window:  # a segment may lie outside of the picture
        ids, numbers = np.unique(label_map[view.kept.slices], return_inverse=True)
        label_map = numbers.reshape(view.kept.shape).astype(np.int32)
        scores = tuple(scores[number] for number in ids)
    return Segments(view.paste(label_map, -1), scores, view.pixels)


def _scores(label_map: np.ndarray, proposals: torch.Tensor, config: SegmentConfig) -> tuple[float, ...]:
    """The score of each segment (`Segments.scores`), a mean over the proposals' positions. A segment that is too small
    to cover any position gets the mean over all positions."""
    clarity = proposals.amax(0)
    clarity = clarity.clamp(0, 1) if config.divides_features else clarity / proposals.sum(0)
    ids = resize_nearest(label_map, *clarity.shape).ravel()
    count = int(label_map.max()) + 1
    sums = np.bincount(ids, clarity.flatten().cpu().numpy(), minlength=count)
    counts = np.bincount(ids, minlength=count)
    mean = float(sums.sum() / counts.sum())
    # Segments without a position keep the mean.
    return tuple(np.divide(sums, counts, out=np.full(count, mean), where=counts > 0).tolist())


def check_positions(config: SegmentConfig, levels: Sequence[int], lattice: Grid) -> None:
    """Raise UserError for weights of levels that the model lacks, and for more segments or anchors than there are
    positions. levels: of the model's self-attention, as divisors of L. lattice: (h, w) of L."""
    if config.divides_features:
        return
    level_weights([(lattice[0] // level, lattice[1] // level) for level in levels], lattice, config.weights)
    if config.method == "diffseg":
        anchor_positions(lattice, config.num_points)
    if isinstance(config.k, int):
        check_k(config.k, lattice[0] * lattice[1])
