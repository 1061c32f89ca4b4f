"""Every way of making a class's soft mask from attention. A method is a function of saved `AttentionMaps`: no model, no image."""

from __future__ import annotations

from collections.abc import Callable

from ..attention.maps import AttentionMaps
from ..config.constants import MaskConfig
from ..config.method_defaults import check_capture
from .baselines import CROSS_ATTENTION_FINISH, cross_attention, cross_times_self
from .finish import Finish
from .reference import REFERENCE_FINISH, reference
from .results import SoftMask
from .seediff import seediff

METHODS: dict[str, Callable[[AttentionMaps, str, MaskConfig], SoftMask]] = {
    "seediff": seediff,
    "ca": cross_attention,
    "ca_sa": cross_times_self,
    "reference": reference,
}

FINISHES: dict[str, Finish] = {
    "seediff": Finish(),
    "ca": CROSS_ATTENTION_FINISH,
    "ca_sa": Finish(),
    "reference": REFERENCE_FINISH,
}


def soft_mask(maps: AttentionMaps, class_name: str, config: MaskConfig) -> SoftMask:
    """The soft mask of one class by `config.method`. The maps are not modified.

    Raises UserError when the class is not in the prompt, a level that the method needs was not captured, or it needs plain means and
    the maps were divided by their maxima.
    """
    check_capture(config.method, maps.normalized)
    return METHODS[config.method](maps, class_name, config)
