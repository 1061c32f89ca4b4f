"""Masks of named classes in photographs, in memory. `PhotoMasker` finds the classes that a photograph shows, captures
the attention to them, and makes masks at the photograph's size. The commands `mask` and `tune` and the function
`seediff.mask` share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..attention.maps import AttentionMaps
from ..attention.plan import CapturePlan
from ..attention.see_photos import batches_by_shape, capture_classes, encode_images, encode_mirrored
from ..config.runs import MaskPhotosConfig
from ..files.label_maps import IGNORE
from ..models.registry import Model
from ..prompts.tokens import split_prompts
from ..view import View, view_photo
from .make_masks import Edges, masks_of_view
from .presence import find_classes
from .results import NO_SOFTS, MaskResult


@dataclass(frozen=True)
class FoundClasses:
    """The classes that a photograph shows, and the attention to them."""

    view: View
    scores: Mapping[str, float]
    """Class → presence score in (0, 1), for every class that was searched for."""
    maps: AttentionMaps | None
    """Attention to the found classes; None if no class was found."""


@dataclass(frozen=True)
class PhotoMasker:
    """Makes masks of photographs with a loaded model. plan: the maps that the configuration captures with this
    model."""

    model: Model
    config: MaskPhotosConfig
    plan: CapturePlan

    def view(self, pixels: np.ndarray) -> View:
        """A photograph as the model sees it. pixels: (H, W, 3) uint8. Raises UserError for a photograph that is too
        long and narrow."""
        return view_photo(self.model.sizes, pixels, self.config.fit, self.config.size)

    def find(
        self, views: Sequence[View], classes: Sequence[Sequence[str]], indices: Sequence[int]
    ) -> list[FoundClasses]:
        """The classes that each photograph shows, with the attention to them. views: photographs of any shapes.
        classes: for each photograph, the classes to search for; may be empty. indices: the photographs' numbers in
        their run, which decide their noise."""
        found = {i: FoundClasses(view, {}, None) for i, view in enumerate(views)}
        for batch in batches_by_shape([view.shape for view in views], self.config.batch_size):
            some = [i for i in batch if classes[i]]
            if some:
                results = self._find([views[i] for i in some], [classes[i] for i in some], [indices[i] for i in some])
                found |= zip(some, results, strict=True)
        return [found[i] for i in range(len(views))]

    def _find(
        self, views: Sequence[View], classes: Sequence[Sequence[str]], indices: Sequence[int]
    ) -> list[FoundClasses]:
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
            captured = self.attention(
                [views[row] for row in rows],
                [shown[row] for row in rows],
                latents[rows],
                [indices[row] for row in rows],
            )
        maps = dict(zip(rows, captured, strict=True))
        return [FoundClasses(view, scores[row], maps.get(row)) for row, view in enumerate(views)]

    def encode(self, views: Sequence[View]) -> torch.Tensor:
        """Latents (B, C, h, w) of photographs that the model sees at one size (`encode_images`)."""
        return encode_images(self.model, [view.seen for view in views])

    def sentences(self, classes: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
        """(sentence, the classes in it) for as few sentences as the text encoders' limits allow, which name all
        `classes`."""
        return split_prompts(self.model.readers, classes, self.config.prompts[0])

    def attention(
        self, views: Sequence[View], classes: Sequence[Sequence[str]], latents: torch.Tensor, indices: Sequence[int]
    ) -> list[AttentionMaps]:
        """The attention to the classes of each photograph (`capture_classes`). classes: at least one for each. latents:
        from `encode`. indices: as for `find`."""
        return capture_classes(
            self.model,
            latents,
            [self.sentences(names) for names in classes],
            timesteps=self.config.timesteps,
            seed=self.config.seed,
            plan=self.plan,
            indices=indices,
            mirrored=encode_mirrored(self.model, [view.seen for view in views], self.config.capture),
        )

    def masks(self, found: FoundClasses, *, trace: bool = False) -> MaskResult:
        """The masks of the found classes, 255 outside of the window. The flag `no_class` says that there is none.
        trace: also keep the map after every step."""
        view = found.view
        if found.maps is None:
            nothing = view.paste(np.zeros(view.window.shape, np.uint8), IGNORE)
            return MaskResult(nothing, NO_SOFTS, (), ("no_class",), pixels=view.pixels)
        return self.label(view, found.maps, trace=trace)

    def label(self, view: View, maps: AttentionMaps, *, trace: bool = False) -> MaskResult:
        """The masks of all words of a photograph's maps. trace: as for `masks`."""
        constants = self.plan.mask  # with levels of attention that the model has
        assert constants is not None
        edges = Edges(self.config.edge_megapixels)
        return masks_of_view(view, maps, list(maps.words), constants, edges=edges, trace=trace)
