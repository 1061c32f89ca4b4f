"""Makes one sample's masks with other constants, quickly: it caches soft masks and PAMR's weights.

The steps are those of `masks.make_masks`. So the page shows the masks that `generate` and `mask` would write with these
constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import msgspec
import numpy as np
import torch

from ..config.method_constants import MaskConfig
from ..config.methods import METHOD_FACTS
from ..dataset.native import dataset_labels
from ..errors import UserError
from ..files.label_maps import IGNORE
from ..masks.arithmetic import resize
from ..masks.make_masks import enlarge, label_pixels, make_masks, picture_to_follow, refine, soft_mask
from ..masks.pamr import pamr_weights
from ..report.explain import show_steps
from .events import Cache
from .sample_attention import SampleAttention, show_levels

CACHED = 3
"""Number of entries in each of a sample's caches."""


class Constants(msgspec.Struct, frozen=True, kw_only=True):
    """The constants that the page can change."""

    method: str
    alpha: Annotated[float, msgspec.Meta(gt=0, le=1)]
    beta: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    pamr: bool

    def __post_init__(self) -> None:
        if self.method not in METHOD_FACTS:  # for example, a user's method whose file is not named this time
            raise ValueError(f"method {self.method!r} is not known here")

    def change(self, config: MaskConfig) -> MaskConfig:
        """The configuration with these constants. A new method also brings the other constants that its authors chose,
        and any change turns `ignore_band` off."""
        if self.values() == constants_of(config).values():
            return config
        brought = {}
        if self.method != config.method:
            brought = METHOD_FACTS[self.method].defaults.get("mask", {})
        return replace(config, **{**brought, **self.values(), "ignore_band": None})

    def values(self) -> dict[str, Any]:
        """The constants alone; a subclass has more fields."""
        return {name: getattr(self, name) for name in Constants.__struct_fields__}


def constants_of(config: MaskConfig) -> Constants:
    """A configuration's constants. β is the usual 0.3 if each image has a threshold of its own ("otsu")."""
    beta = 0.3 if config.beta == "otsu" else config.beta
    return Constants(method=config.method, alpha=config.alpha, beta=beta, pamr=config.pamr)


class Tuner:
    """Makes masks of one sample."""

    def __init__(self, attention: SampleAttention) -> None:
        self.attention = attention
        self.size = sum(tensor.nbytes for *_, tensor in attention.maps.tensors())  # bytes
        self._soft = Cache[torch.Tensor](CACHED)
        self._weights = Cache[torch.Tensor](CACHED)

    def labels(self, config: MaskConfig, ids: Mapping[str, int]) -> np.ndarray:
        """(H, W) uint8: the label map. ids: the set's classes → their ids. Raises UserError, for example for a level
        that was not captured."""
        of, classes = self.attention, self.attention.classes
        for name in classes:
            if name not in ids:
                raise UserError(f"class '{name}' is not a class of the set")
        # Soft masks are made before their threshold, but SAM sees it.
        key = config if config.sam else replace(config, beta=MaskConfig.beta, ignore_band=None)
        soft = self._soft.get_or_make(key, partial(self._soft_masks, config))
        class_ids = [ids[name] for name in classes]
        labels = np.full(of.size, IGNORE, np.uint8)
        labels[of.part.slices] = label_pixels(soft, config, (of.part.height, of.part.width)).numpy()
        return dataset_labels(labels, class_ids)

    def _soft_masks(self, config: MaskConfig) -> torch.Tensor:
        """(C, h, w) float32: the soft masks, before their threshold."""
        of = self.attention
        seen = of.image.shape[:2]
        soft = enlarge(torch.stack([soft_mask(of.maps, name, config).soft for name in of.classes]), seen, config)
        picture = picture_to_follow(of.part_pixels, seen, config, of.edge_megapixels)
        if picture is None:
            picture = of.image
        return refine(picture, resize(soft, picture.shape[:2]), config, seen, self._weigh)

    def _weigh(self, picture: np.ndarray, *constants: Any) -> torch.Tensor:
        """`pamr_weights`, for the one picture that masks of this sample follow."""
        return self._weights.get_or_make(constants, partial(pamr_weights, picture, *constants))

    def steps(self, constants: Constants, name: str) -> list[dict[str, Any]]:
        """Every step of the mask of class `name`, in order: `show_levels`, with a text and an equation."""
        of = self.attention
        config = constants.change(of.config)
        if name not in of.classes:
            raise UserError(f"there is no class '{name}' here")
        result = make_masks(of.image, of.maps, of.classes, config)
        return [
            {**show_levels(step.name, step.levels), "text": step.why.text, "equation": step.why.equation}
            for step in show_steps(result, name, config.method)
        ]
