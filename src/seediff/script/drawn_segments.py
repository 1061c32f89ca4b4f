"""Segments of a picture that a pipeline drew under capture."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..config.methods import SegmentConfig
from ..config.settings import check_table
from ..errors import Notice, UserError
from ..files.image_files import ImageInput
from .pictures import Drawn
from .word_masks import blank_flag

if TYPE_CHECKING:
    from ..segments.make_segments import Segments


def segment_constants(constants: Mapping[str, Any]) -> SegmentConfig:
    """The constants of segments that a script names, fields of SegmentConfig. Raises UserError for those that cannot be
    used with what was captured."""
    config = SegmentConfig(**check_table(SegmentConfig, constants, "segments"))
    if "timestep" in constants:
        raise UserError("timestep", "what was captured is of all steps", "leave it out")
    if config.divides_features:
        problem = f"{config.method}: cuts features, but what was captured is attention"
        raise UserError("method", problem, "use diffseg or kmeans")
    return config


def divide(drawn: Drawn, config: SegmentConfig, pixels: ImageInput | None, seed: int) -> Segments:
    """The segments of a picture. pixels, seed: as for `Captured.segments`. Raises UserError for a picture without maps
    of self-attention, for one whose levels do not fit onto each other, and if the segments follow the edges of a
    picture that is not known."""
    from ..segments.make_segments import label_view, propose  # imports scipy

    k = config.known_k()
    maps = drawn.attention.maps
    height, width = drawn.scale.size(maps.lattice)
    multiple = drawn.scale.multiple
    if height % multiple or width % multiple:
        problem = f"{width} × {height}: self-attention of its levels cannot be laid over each other"
        raise UserError("image", problem, f"draw one whose sides are multiples of {multiple}")
    view = drawn.view(pixels)
    if view.pixels is None and config.edge_rounds:
        fix = "give it, or edge_rounds=0"
        raise UserError("pixels", "segments follow its edges, but the pipeline gave none", fix)
    found = replace(label_view(view, propose(maps, config, k, seed), config), flags=blank_flag(view))
    if len(found.scores) <= 1 and config.method == "diffseg":
        lower = f"lower kl_threshold (here {config.kl_threshold}), or use method='kmeans', k=5"
        warnings.warn(f"the image is one segment: {lower}", Notice, stacklevel=3)  # the script's line
    return found
