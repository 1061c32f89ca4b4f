"""Masks of named classes in photographs, in memory: which classes are there, the attention to them, and masks at the
photograph's size. `mask`, `tune`, `evaluate masks` and `seediff.mask` share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..attention.plan import CapturePlan
from ..attention.see_photos import capture_classes, encode_images, encode_mirrored
from ..attention.windows import Window, batches_by_shape, cut, seen_shape, seen_window
from ..config.method_constants import MaskConfig
from ..config.photos_config import MaskPhotosConfig
from ..files.label_maps import IGNORE
from ..models.registry import Model
from ..prompts.tokens import split_prompts
from .arithmetic import resize
from .flags import degenerate, flag_kind
from .make_masks import MaskResult, class_shares, label_pixels, make_masks, refine_photo
from .presence import find_classes


@dataclass(frozen=True)
class PhotoView:
    """A photograph as a model sees it."""

    pixels: np.ndarray
    """The photograph (H, W, 3) uint8."""
    window: Window
    """The part that the model sees."""
    seen: np.ndarray
    """The window's pixels at the model's size, (h, w, 3) uint8."""
    number: int
    """The photograph's number, which decides the noise."""


@dataclass(frozen=True)
class FoundClasses:
    """The classes in a photograph."""

    view: PhotoView
    scores: Mapping[str, float]
    """Requested class → presence score, in (0, 1)."""
    maps: AttentionMaps | None
    """Attention to the classes that were found; None if no class was."""


@dataclass(frozen=True)
class PhotoMasks:
    """The masks of a photograph."""

    view: PhotoView
    small: MaskResult | None
    """The masks at the model's size (h, w); None without any class."""
    full: MaskResult
    """The masks at the photograph's size (H, W), 255 outside the window; without soft masks, which would take hundreds
    of megabytes for a large photograph."""
    fine: torch.Tensor
    """The soft masks (C, h', w') that follow the photograph's edges; `full` is made of them."""

    def soft(self) -> Iterator[np.ndarray]:
        """The soft mask (H, W) float32 of each class, one after the other."""
        window, size = self.view.window, self.view.pixels.shape[:2]
        for part in self.fine:
            values = np.zeros(size, np.float32)
            values[window.slices] = resize(part[None], (window.height, window.width))[0].numpy()
            yield values


@dataclass(frozen=True)
class PhotoMasker:
    """Makes masks of photographs with a loaded model. plan: what the configuration captures with this model."""

    model: Model
    config: MaskPhotosConfig
    plan: CapturePlan

    @property
    def mask_config(self) -> MaskConfig:
        """The constants of masks, with levels of attention that the model has."""
        return self.plan.mask or self.config.mask

    def view(self, pixels: np.ndarray, number: int = 0) -> PhotoView:
        """What the model sees of a photograph (H, W, 3) uint8. Raises UserError for a photograph that is too long and
        narrow."""
        window = seen_window(pixels.shape[0], pixels.shape[1], self.config.fit)
        shape = seen_shape(self.model, pixels.shape, self.config.fit, self.config.size)
        return PhotoView(pixels, window, cut(pixels, window, shape), number)

    def find(self, views: Sequence[PhotoView], classes: Sequence[Sequence[str]]) -> list[FoundClasses]:
        """The classes in photographs of any shapes. classes: for each photograph, the classes to search for, if any."""
        found = {i: FoundClasses(view, {}, None) for i, view in enumerate(views)}
        for together in batches_by_shape([view.seen.shape for view in views], self.config.batch_size):
            asked = [i for i in together if classes[i]]
            if asked:
                answers = self._find([views[i] for i in asked], [classes[i] for i in asked])
                found |= zip(asked, answers, strict=True)
        return [found[i] for i in range(len(views))]

    def _find(self, views: Sequence[PhotoView], classes: Sequence[Sequence[str]]) -> list[FoundClasses]:
        """What `find` returns, for photographs of one shape with at least one class each."""
        # 1. Presence of every class
        latents = self.encode(views)  # once, for both scores and maps
        sentences = [self.sentences(names) for names in classes]
        scores = find_classes(self.model, latents, sentences, template=self.config.prompts[0])
        there = [[name for name, score in of.items() if score >= self.config.presence] for of in scores]

        # 2. Attention to those that are there
        rows = [row for row, names in enumerate(there) if names]
        captured: list[AttentionMaps] = []
        if rows:
            captured = self.attention([views[row] for row in rows], [there[row] for row in rows], latents[rows])
        maps = dict(zip(rows, captured, strict=True))
        return [FoundClasses(view, scores[row], maps.get(row)) for row, view in enumerate(views)]

    def encode(self, views: Sequence[PhotoView]) -> torch.Tensor:
        """Latents (B, C, h', w') of photographs that the model sees at one size."""
        return encode_images(self.model, [view.seen for view in views])

    def sentences(self, classes: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
        """The sentences that name the classes, as few as the text encoders' limits allow, and the classes in each."""
        return split_prompts(self.model.readers, classes, self.config.prompts[0])

    def attention(
        self, views: Sequence[PhotoView], classes: Sequence[Sequence[str]], latents: torch.Tensor
    ) -> list[AttentionMaps]:
        """Attention to the classes of each photograph, which must have at least one. latents: from `encode`."""
        return capture_classes(
            self.model,
            latents,
            [self.sentences(names) for names in classes],
            timesteps=self.config.timesteps,
            seed=self.config.seed,
            plan=self.plan,
            indices=[view.number for view in views],
            mirrored=encode_mirrored(self.model, [view.seen for view in views], self.config.capture),
        )

    def masks(self, found: FoundClasses, *, trace: bool = False) -> PhotoMasks:
        """The masks of the classes in a photograph. trace: keep every step's map, too."""
        view, small, fine = found.view, None, torch.zeros(0, 1, 1)
        if found.maps is not None:
            small = make_masks(view.seen, found.maps, list(found.maps.words), self.mask_config, trace=trace)
            fine = self.fine_masks(view, small)
        full = enlarge_masks(small, fine, view.window, view.pixels.shape[:2], self.mask_config)
        return PhotoMasks(view, small, full, fine)

    def fine_masks(self, view: PhotoView, small: MaskResult) -> torch.Tensor:
        """The soft masks (C, h', w') of what the model saw, refined along the edges of the photograph."""
        part, most = view.pixels[view.window.slices], self.config.edge_megapixels
        refined = refine_photo(part, small.unrefined, self.mask_config, most)
        return small.soft if refined is None else refined


def enlarge_masks(
    small: MaskResult | None, fine: torch.Tensor, window: Window, size: tuple[int, int], config: MaskConfig
) -> MaskResult:
    """The masks of a window of a photograph, at the photograph's size (H, W): the soft masks `fine`, enlarged, then
    thresholded. The flag `degenerate` is set by a mask's share of the whole photograph."""
    labels = np.full(size, IGNORE, np.uint8)
    if small is None:
        labels[window.slices] = 0
        return MaskResult(labels, torch.zeros(0, *size), (), ("no_class",))
    labels[window.slices] = label_pixels(fine, config, (window.height, window.width)).numpy()
    flags = [flag for flag in small.flags if flag_kind(flag) != "degenerate"]
    flags += degenerate(class_shares(labels, small.classes))
    return MaskResult(labels, torch.zeros(0, *size), small.classes, tuple(flags), agreement=small.agreement)
