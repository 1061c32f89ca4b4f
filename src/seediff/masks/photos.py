"""Masks of named classes in photographs, in memory. `PhotoMasker` finds the classes that a photograph shows, captures
the attention to them, and makes masks at the photograph's size. The commands `mask` and `tune` and the function
`seediff.mask` share it.

One photograph has masks at three sizes:

    small    masks, soft masks    (h, w), the size at which the model saw the window
      │ moved to the photograph's edges
      ▼
    fine     soft masks           (h', w'), the window at up to `edge_megapixels`
      │ enlarged, then thresholded
      ▼
    full     masks                (H, W), the whole photograph
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..attention.plan import CapturePlan
from ..attention.see_photos import capture_classes, encode_images, encode_mirrored
from ..attention.windows import Window, batches_by_shape, cut, seen_shape, seen_window
from ..config.methods import MaskConfig
from ..config.runs import MaskPhotosConfig
from ..files.label_maps import IGNORE
from ..models.registry import Model
from ..prompts.tokens import split_prompts
from ..rows.values import OF_AREAS, area_flags, flag_kind
from .arithmetic import resize
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
    """The photograph's number in the run, which decides the noise that is added to it."""


@dataclass(frozen=True)
class FoundClasses:
    """The classes that a photograph shows, and the attention to them."""

    view: PhotoView
    scores: Mapping[str, float]
    """Class → presence score in (0, 1), for every class that was searched for."""
    maps: AttentionMaps | None
    """Attention to the found classes; None if no class was found."""


@dataclass(frozen=True)
class PhotoMasks:
    """The masks of a photograph."""

    view: PhotoView
    full: MaskResult
    """The masks at the photograph's size (H, W), 255 outside the window. Its `soft` is empty, because soft masks of a
    large photograph would take hundreds of megabytes; `PhotoMasks.soft` makes them one by one."""
    fine: torch.Tensor
    """The soft masks (C, h', w') along the photograph's edges; (0, 1, 1) if no class was found."""

    def soft(self) -> Iterator[np.ndarray]:
        """Yields the soft mask (H, W) float32 of each class, 0 outside the window."""
        window, size = self.view.window, self.view.pixels.shape[:2]
        for soft in self.fine:
            values = np.zeros(size, np.float32)
            values[window.slices] = resize(soft[None], (window.height, window.width))[0].numpy()
            yield values


@dataclass(frozen=True)
class PhotoMasker:
    """Makes masks of photographs with a loaded model. plan: the maps that the configuration captures with this
    model."""

    model: Model
    config: MaskPhotosConfig
    plan: CapturePlan

    @property
    def mask_config(self) -> MaskConfig:
        """The constants of the mask method, with levels of attention that the model has."""
        return self.plan.constants

    def view(self, pixels: np.ndarray, number: int = 0) -> PhotoView:
        """A photograph as the model sees it. pixels: (H, W, 3) uint8. number: as in `PhotoView`. Raises UserError for a
        photograph that is too long and narrow."""
        window = seen_window(pixels.shape[0], pixels.shape[1], self.config.fit)
        shape = seen_shape(self.model, pixels.shape, self.config.fit, self.config.size)
        return PhotoView(pixels, window, cut(pixels, window, shape), number)

    def find(self, views: Sequence[PhotoView], classes: Sequence[Sequence[str]]) -> list[FoundClasses]:
        """The classes that each photograph shows, with the attention to them. views: photographs of any shapes.
        classes: for each photograph, the classes to search for; may be empty."""
        found = {i: FoundClasses(view, {}, None) for i, view in enumerate(views)}
        for batch in batches_by_shape([view.seen.shape for view in views], self.config.batch_size):
            numbers = [i for i in batch if classes[i]]
            if numbers:
                results = self._find([views[i] for i in numbers], [classes[i] for i in numbers])
                found |= zip(numbers, results, strict=True)
        return [found[i] for i in range(len(views))]

    def _find(self, views: Sequence[PhotoView], classes: Sequence[Sequence[str]]) -> list[FoundClasses]:
        """As `find`, for photographs of one shape, with at least one class for each."""
        # 1. The presence of every class
        latents = self.encode(views)  # once, for both scores and maps
        sentences = [self.sentences(names) for names in classes]
        scores = find_classes(self.model, latents, sentences, template=self.config.prompts[0])
        shown = [[name for name, score in scored.items() if score >= self.config.presence] for scored in scores]

        # 2. The attention to the classes that a photograph shows
        rows = [row for row, names in enumerate(shown) if names]
        captured: list[AttentionMaps] = []
        if rows:
            captured = self.attention([views[row] for row in rows], [shown[row] for row in rows], latents[rows])
        maps = dict(zip(rows, captured, strict=True))
        return [FoundClasses(view, scores[row], maps.get(row)) for row, view in enumerate(views)]

    def encode(self, views: Sequence[PhotoView]) -> torch.Tensor:
        """Latents (B, C, h, w) of photographs that the model sees at one size (`encode_images`)."""
        return encode_images(self.model, [view.seen for view in views])

    def sentences(self, classes: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
        """(sentence, the classes in it) for as few sentences as the text encoders' limits allow, which name all
        `classes`."""
        return split_prompts(self.model.readers, classes, self.config.prompts[0])

    def attention(
        self, views: Sequence[PhotoView], classes: Sequence[Sequence[str]], latents: torch.Tensor
    ) -> list[AttentionMaps]:
        """The attention to the classes of each photograph (`capture_classes`). classes: at least one for each. latents:
        from `encode`."""
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
        """The masks of the found classes of a photograph. The label map is made at its own size (`enlarge_masks`).
        trace: also keep the map after every step."""
        view, small, fine = found.view, None, torch.zeros(0, 1, 1)
        if found.maps is not None:
            small = make_masks(view.seen, found.maps, list(found.maps.words), self.mask_config, trace=trace)
            fine = self.fine_masks(view, small)
        full = enlarge_masks(small, fine, view, self.mask_config)
        return PhotoMasks(view, full, fine)

    def fine_masks(self, view: PhotoView, small: MaskResult) -> torch.Tensor:
        """Soft masks (C, h', w') of the window, moved to the edges of the photograph. small: the masks at the model's
        size."""
        window_pixels = view.pixels[view.window.slices]
        refined = refine_photo(window_pixels, small.unrefined, self.mask_config, self.config.edge_megapixels)
        return small.soft if refined is None else refined


def enlarge_masks(small: MaskResult | None, fine: torch.Tensor, view: PhotoView, config: MaskConfig) -> MaskResult:
    """The masks at the photograph's size, 255 outside the window. The soft masks are enlarged and then thresholded. The
    flags OF_AREAS are decided anew, by the masks' shares of the whole photograph.

    small: the masks at the model's size; None if no class was found. fine: soft masks (C, h', w') of the window, from
    `fine_masks`. view: the photograph. config: the mask constants."""
    window, size = view.window, view.pixels.shape[:2]
    labels, soft = np.full(size, IGNORE, np.uint8), torch.zeros(0, *size)
    labels[window.slices] = label_pixels(fine, config, (window.height, window.width)).numpy()
    if small is None:
        return MaskResult(labels, soft, (), ("no_class",), pixels=view.pixels)
    flags = [flag for flag in small.flags if flag_kind(flag) not in OF_AREAS]
    flags += area_flags(class_shares(labels, small.classes), float((labels == 0).mean()))
    return replace(small, label_map=labels, soft=soft, flags=tuple(flags), pixels=view.pixels)
