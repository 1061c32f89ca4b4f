"""Predicts label maps of images with a trained segmenter (`Segmenter`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ..config.class_names import mirrored_ids
from ..config.train import LARGEST_SIDE
from ..dataset.split import positions_of
from ..devices import check_device, default_device
from ..errors import UserError
from ..files.image_files import is_rgb
from ..masks.arithmetic import highest
from .data import PAD
from .models import NETWORKS, Network, class_scores, load_network
from .record import check_segmenter, read_about

STRIDE = 32
"""A picture's sides are padded with grey to multiples of 32 pixels, the side of a network's coarsest feature."""
LARGEST_SCALE = 16
LARGEST_AREA = 16
"""The network sees at most 16 · side² pixels of a picture. A picture more than 16 times as long as it is wide is shrunk
further."""


@dataclass(frozen=True)
class Segmenter:
    """A trained network with its classes, on a device. `load_segmenter` makes it."""

    network: Network
    classes: tuple[str, ...]
    side: int
    device: str
    dtype: str | None

    def label_maps(
        self,
        images: Sequence[np.ndarray],
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        side: int | None = None,
    ) -> list[np.ndarray]:
        """The label map (H, W) uint8 of each image: 0 is the background, i + 1 is `classes[i]`.

        images: (H, W, 3) uint8 each, of any size; images of one size go through the network together. scales: the
        network sees an image once for each scale, with a shorter side of scale · side pixels, and the scores are
        averaged. flip: it also sees each of these mirrored. side: in pixels; None: the network's own. Raises UserError
        for a faulty image, scale or side.
        """
        if not scales or not all(0 < scale <= LARGEST_SCALE for scale in scales):
            raise UserError("scales", f"{tuple(scales)}: must be one or more numbers above 0, up to {LARGEST_SCALE}")
        if side is not None and not STRIDE <= side <= LARGEST_SIDE:
            raise UserError("side", f"{side}: must be a whole number of pixels from {STRIDE} to {LARGEST_SIDE}")
        for number, image in enumerate(images):
            if not is_rgb(image):
                raise UserError(f"image {number}", f"must be (height, width, 3) uint8, not {image.shape} {image.dtype}")
        label_maps: dict[int, np.ndarray] = {}
        for numbers in positions_of(image.shape for image in images):
            together = torch.from_numpy(np.stack([images[n] for n in numbers])).to(self.device)
            label_maps |= zip(numbers, self._segment(together, scales, flip, side or self.side), strict=True)
        return [label_maps[number] for number in range(len(images))]

    @torch.inference_mode()
    def _segment(self, images: torch.Tensor, scales: Sequence[float], flip: bool, side: int) -> np.ndarray:
        """The label maps (B, H, W) of images (B, H, W, 3)."""
        height, width = images.shape[1:3]
        views = self._views(images, scales, flip, side)
        maps = [likeliest([view[number] for view in views], height, width) for number in range(len(images))]
        return torch.stack(maps).cpu().numpy()

    @torch.inference_mode()
    def shares(self, image: np.ndarray, flip: bool = True) -> np.ndarray:
        """(C + 1, h, w) float32 in [0, 1]: the share of the background and of each class at each pixel, at the size in
        which the network sees the image. The shares of a pixel sum to 1. image: (H, W, 3) uint8. flip: the network also
        sees it mirrored."""
        views = self._views(torch.from_numpy(image.copy())[None].to(self.device), (1.0,), flip, self.side)
        scores = torch.stack(views).sum(0)[0]
        return (scores / scores.sum(0).clamp_min(1e-6)).float().cpu().numpy()

    def _views(self, images: torch.Tensor, scales: Sequence[float], flip: bool, side: int) -> list[torch.Tensor]:
        """The class scores (B, C, h, w) of images (B, H, W, 3) at each scale, and of each mirrored."""
        views: list[torch.Tensor] = []
        mirrored = mirrored_ids(self.classes, len(self.classes) + 1)
        for scale in scales:
            resized = _resized(images, side * scale)
            h, w = resized.shape[1:3]
            views.append(self._scores(resized)[..., :h, :w])
            if flip:
                views.append(self._scores(resized.flip(2))[..., :h, :w].flip(3)[:, mirrored])
        return views

    def _scores(self, view: torch.Tensor) -> torch.Tensor:
        """The class scores (B, C, h, w) of images (B, h, w, 3), padded to sides that the network takes."""
        h, w = view.shape[1:3]
        padded = F.pad(view, (0, 0, 0, -w % STRIDE, 0, -h % STRIDE), value=PAD)
        return class_scores(self.network, padded, self.dtype)


def likeliest(views: Sequence[torch.Tensor], height: int, width: int) -> torch.Tensor:
    """(height, width) uint8: the class with the highest score at each pixel. views: the scores of an image, (C, h, w)
    each, of any sizes; they are resized bilinearly, then averaged."""

    def scores() -> Iterator[torch.Tensor]:
        for number in range(len(views[0])):
            total = views[0].new_zeros(height, width)
            for view in views:
                total += F.interpolate(view[None, number : number + 1], (height, width), mode="bilinear")[0, 0]
            yield total

    return highest(scores())[1].to(torch.uint8)


def _resized(images: torch.Tensor, shorter: float) -> torch.Tensor:
    """The images with a shorter side of `shorter` pixels. Very long images become smaller, with at most LARGEST_AREA ·
    shorter² pixels. images: (B, H, W, 3) uint8."""
    height, width = images.shape[1:3]
    factor = shorter / max(min(height, width), math.sqrt(height * width / LARGEST_AREA))
    h, w = max(1, round(height * factor)), max(1, round(width * factor))
    if (h, w) == (height, width):
        return images

    def resized(image: torch.Tensor) -> torch.Tensor:
        pixels = F.interpolate(image.permute(2, 0, 1)[None].float(), (h, w), mode="bilinear", antialias=True)[0]
        return pixels.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)

    return torch.stack([resized(image) for image in images])  # one at a time: a float32 image takes 12 bytes per pixel


def load_segmenter(folder: Path | str, device: str | None = None, dtype: str | None = None) -> Segmenter:
    """The segmenter in a folder of `seediff train`. device: where it runs; None: the fastest device. dtype: "bfloat16":
    mixed precision; "float32" or None: full precision. Raises UserError."""
    if dtype not in (None, "float32", "bfloat16"):
        raise UserError("dtype", f"{dtype!r} must be float32 or bfloat16")
    device = check_device(device or default_device())
    folder = check_segmenter(Path(folder))
    about, names = read_about(folder)
    network = load_network(NETWORKS[about.model_type], str(folder)).to(device).eval()
    return Segmenter(network, names, about.test_side or 512, device, dtype)
