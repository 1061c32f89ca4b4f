"""Every way of making a soft mask from attention: one table. A method is a function of saved `AttentionMaps`: no model, no image."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from ..config.methods import Method, check_capture
from .baselines import cross_attention, cross_times_self
from .finish import Finish
from .reference import reference
from .results import SoftMask
from .seediff import seediff


class MaskMethod(NamedTuple):
    """soft: the soft mask of one class by its name. finish: how soft masks become pixels."""

    soft: Callable[[AttentionMaps, str, MaskConfig], SoftMask]
    finish: Finish = Finish()


METHODS: dict[Method, MaskMethod] = {
    "seediff": MaskMethod(seediff),
    "ca": MaskMethod(cross_attention, Finish(stretch=True)),
    "ca_sa": MaskMethod(cross_times_self),
    # PAMR's iterations are described as "many"; 50 is this project's choice.
    "reference": MaskMethod(reference, Finish(resize="bicubic", cut=0.5, bandwidth=0.2, iterations=50, dilations=(1,), threshold=0.8)),
}


def soft_mask(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """The soft mask of one class by `config.method`. The maps are not modified.

    Raises UserError when the class is not in the prompt, a level that the method needs was not captured, or it needs plain means and
    the maps were divided by their maxima.
    """
    check_capture(config.method, maps.normalized)
    return METHODS[config.method].soft(maps, class_name, config)
