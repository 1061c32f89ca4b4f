"""What is captured of a pipeline, and the constants of its masks: the script's options, then those of the model's
folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..attention.plan import CapturePlan, fit_mask, plan_capture, plan_segments
from ..config.methods import EVERYTHING, METHOD_FACTS, CaptureConfig, MaskConfig, SegmentConfig
from ..config.resolve import recommend
from ..config.runs import MaskPhotosConfig
from ..config.settings import check_table, table_values
from ..errors import UserError
from ..models.describe import describe
from ..models.families.family import Family
from ..models.layers import Layer
from ..models.locate import locate


def plan_pipeline(
    keep: str, pipe: Any, family: Family, all_layers: Mapping[str, Layer], options: Mapping[str, Any]
) -> CapturePlan:
    """The plan of what is captured of a pipeline: layers, levels and steps.

    keep: as in the function `capture`. family: the network's family. all_layers: name → layer of the network. options:
    those that the script gives, of CaptureConfig. Raises UserError for attention that the network does not have, and
    for options that cannot be used.
    """
    capture = CaptureConfig(**options)
    if capture.steps == "second-half":
        problem = "second-half: the number of steps is unknown before the pipeline runs"
        raise UserError("steps", problem, "use a number k for every k-th")
    if keep == "all":
        return plan_capture(family, all_layers, capture, reads=EVERYTHING)
    if keep == "segments":
        plain = replace(capture, normalize=False)
        return plan_segments(family, all_layers, SegmentConfig(), plain)
    if keep not in METHOD_FACTS:
        raise UserError("keep", f"{keep!r} must be all, segments or a method of masks ({', '.join(METHOD_FACTS)})")

    # What a method reads: the script's options come before constants of the model's folder, and these before the
    # method's own.
    mask, of_folder = pipeline_constants(pipe, keep)
    own = {**table_values(METHOD_FACTS[keep].defaults, "capture"), **of_folder, **options}
    return plan_capture(family, all_layers, CaptureConfig(**own), mask=mask)


def pipeline_constants(pipe: Any, method: str) -> tuple[MaskConfig, dict[str, Any]]:
    """(mask, capture) for a pipeline: a mask method's constants, and the fields of CaptureConfig with which they were
    tuned. If nothing was tuned for the pipeline's model, `mask` has the constants of the method's paper, and `capture`
    is empty.

    pipe: a diffusers pipeline. method: the mask method. Raises UserError.
    """
    paper = MaskConfig(method=method)
    folder = getattr(pipe, "name_or_path", None)  # None if the pipeline was built from its parts
    if folder and Path(folder, "seediff.json").exists():
        model = describe(locate(str(folder)))
        if model.settings.preset:
            values = {"classes": ("any",), "model": model.name, "method": method}
            tuned = recommend(MaskPhotosConfig, values, model)[0]
            return tuned.mask, {name: getattr(tuned.capture, name) for name in ("normalize", "layers", "mean")}
    return replace(paper, **table_values(paper.facts.defaults, "mask")), {}


def mask_constants(pipe: Any, plan: CapturePlan, method: str, constants: Mapping[str, Any]) -> MaskConfig:
    """The constants of masks of a captured pipeline: the script's, then those of `pipeline_constants`, with levels that
    the network has. plan: what was captured. constants: fields of MaskConfig. Raises UserError for a method or constant
    that cannot be used."""
    config = replace(pipeline_constants(pipe, method)[0], **check_table(MaskConfig, constants, "masks"))
    return fit_mask(plan.family, plan.all_layers, config, "all")[0]
