"""Divides photographs into segments, in memory: the model sees each photograph once, and a method makes a label map of
segment ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..attention.draw import check_shape, image_shape
from ..attention.features import capture_features
from ..attention.maps import AttentionMaps, Grid
from ..attention.plan import plan_segments
from ..attention.see_photos import capture_clean, encode_images, run_clean
from ..attention.windows import Window, batches_by_shape, cut, paste, seen_shape, seen_window
from ..config.method_constants import SegmentConfig
from ..config.photos_config import Fit
from ..config.sizes import Size
from ..drawing.overlays import draw_named, shown_ids
from ..drawing.shown import as_html
from ..errors import UserError
from ..files.label_maps import resize_nearest
from ..files.messages import plural
from ..models.registry import Model
from .aggregate import aggregate, level_weights
from .diffcut import cut_features
from .diffseg import anchor_positions, diffseg
from .kmeans import check_k, kmeans
from .labelling import follow_edges, label

MethodInput = AttentionMaps | torch.Tensor
"""What a method divides: self-attention whose rows sum to 1, or the encoder's features (C, h, w)."""


@dataclass(frozen=True, repr=False)
class Segments:
    """Segments of one photograph. Notebooks show them as a picture."""

    label_map: np.ndarray
    """(H, W) int32: the segment of each pixel, 0 … n − 1; −1 outside a centre crop, where there are no segments."""
    scores: tuple[float, ...]
    """How clearly the pixels of each segment belong to it, on average, in [0, 1]. DiffSeg: the winning proposal's share
    of the sum of all. K-Means: always 1. DiffCut: the value of `cut_features`."""
    pixels: np.ndarray | None = None
    """The photograph (H, W, 3) uint8, if it is known."""
    flags: tuple[str, ...] = ()
    """`blank` for a black picture; otherwise empty."""

    def __repr__(self) -> str:
        count = plural(len(self.scores), "segment")
        return f"<Segments: {self.label_map.shape}, {count}>"

    def overlay(self) -> Image.Image:
        """The segments laid over the picture, or over black if it is not known, with outlines and ids."""
        numbers, names = self.label_map + 1, {number + 1: str(number) for number in range(len(self.scores))}
        ids = shown_ids(np.zeros(numbers.shape, np.uint8), numbers, 0, alone=True)
        return Image.fromarray(draw_named(self.pixels, ids, names, numbers))

    def _repr_html_(self) -> str:
        return as_html(plural(len(self.scores), "segment"), self.pixels, self.overlay())


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

    fit, size: how the model sees a photograph, and at which size (`windows.seen_shape`). counts: with `k="truth"`, the
    number of segments for each photograph. seed: for K-Means. batch_size: pictures of one shape per network call.
    """
    if config.k == "truth" and counts is None:
        raise UserError("segment.k", "truth: needs the number of segments of each photograph")

    # 1. What the model sees of each photograph, and at which shape
    areas = [seen_window(photo.shape[0], photo.shape[1], fit) for photo in photos]
    shapes = [seen_shape(model, photo.shape, fit, size) for photo in photos]

    # 2. Segments, from one call of the network for several photographs of one shape
    divided: dict[int, Segments] = {}
    for together in batches_by_shape(shapes, batch_size):
        seen = capture_inputs(model, [cut(photos[i], areas[i], shapes[i]) for i in together], config)
        for i, of_photo in zip(together, seen, strict=True):
            k = config.k
            if k == "truth":
                assert counts is not None
                k = counts[i]
            divided[i] = label_photo(photos[i], areas[i], propose(of_photo, config, k, seed), config)
    return [divided[i] for i in range(len(photos))]


def capture_inputs(model: Model, images: Sequence[np.ndarray], config: SegmentConfig) -> Sequence[MethodInput]:
    """A method's input for each image (H, W, 3) uint8 of one size, from one network call on their noise-free latents.
    config: only its `timestep_shown`, and whether its method divides features, matter here."""
    latents = encode_images(model, images)
    if config.divides_features:
        with capture_features(model.network, latents.shape[-2:]) as found:
            run_clean(model, latents, timestep=config.timestep_shown)
        return list(found[0])
    return capture_clean(model, latents, timestep=config.timestep_shown, kind="self")


def propose(seen: MethodInput, config: SegmentConfig, k: int | None, seed: int) -> torch.Tensor:
    """Proposals (P, h, w) of one image, each high where its segment is. k, seed: for K-Means. Raises UserError for
    constants that do not suit the number of positions."""
    if isinstance(seen, torch.Tensor):
        return cut_features(seen, config)
    rows, size = aggregate(seen.self_attention, seen.latent_size, config.weights), seen.latent_size
    if config.method == "kmeans":
        assert k is not None
        return F.one_hot(kmeans(rows, k, seed=seed)[0], k).T.unflatten(1, size).float()
    return diffseg(rows, size, num_points=config.num_points, kl_thresholds=config.thresholds, refine=config.refine)


def label_photo(photo: np.ndarray, window: Window, proposals: torch.Tensor, config: SegmentConfig) -> Segments:
    """Segments of a photograph (H, W, 3) uint8 from the proposals (P, h, w) of the part that the model sees."""
    label_map = label(proposals, (window.height, window.width)).numpy()
    label_map = follow_edges(photo[window.slices], label_map, config)
    scores = _scores(label_map, proposals.double(), config)
    return Segments(paste(label_map, window, (photo.shape[0], photo.shape[1])), scores, photo)


def _scores(label_map: np.ndarray, proposals: torch.Tensor, config: SegmentConfig) -> tuple[float, ...]:
    """The score of each segment (`Segments.scores`), computed at the proposals' positions. A segment that is too small
    to cover any position gets the mean of all."""
    clear = proposals.amax(0)
    clear = clear.clamp(0, 1) if config.divides_features else clear / proposals.sum(0)
    ids, count = resize_nearest(label_map, *clear.shape).ravel(), int(label_map.max()) + 1
    sums = np.bincount(ids, clear.flatten().cpu().numpy(), minlength=count)
    counts = np.bincount(ids, minlength=count)
    mean = float(sums.sum() / counts.sum())
    return tuple(np.divide(sums, counts, out=np.full(count, mean), where=counts > 0).tolist())


def check_fits(model: Model, config: SegmentConfig, size: Size | None) -> None:
    """Raise UserError if photographs cannot be divided with this model at this size. Computes nothing."""
    height, width = image_shape(model, size)
    check_shape(model, (height, width), "size")
    plan = plan_segments(model.family, model.layers, config, model.info.name)
    check_positions(config, plan.levels("self"), (height // model.sizes.position, width // model.sizes.position))


def check_photo(model: Model, shape: Sequence[int], config: SegmentConfig, fit: Fit, size: Size | None) -> int:
    """The number of positions at which a model sees a photograph of `shape` (H, W, …). Raises UserError for a
    photograph that is too long and narrow, or has fewer positions than `k` segments."""
    rows, columns = seen_shape(model, shape, fit, size)
    positions = (rows // model.sizes.position) * (columns // model.sizes.position)
    if isinstance(config.k, int):
        check_k(config.k, positions)
    return positions


def check_positions(config: SegmentConfig, levels: Sequence[int], latent_size: Grid) -> None:
    """Raise UserError for weights of levels that the model lacks, and for more segments or anchors than L has
    positions."""
    if config.divides_features:
        return
    level_weights([(latent_size[0] // level, latent_size[1] // level) for level in levels], latent_size, config.weights)
    if config.method == "diffseg":
        anchor_positions(latent_size, config.num_points)
    if isinstance(config.k, int):
        check_k(config.k, latent_size[0] * latent_size[1])
