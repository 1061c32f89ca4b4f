"""Saves every step of a mask, so that the preview of a resumed run equals that of an uninterrupted run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from ..files.outputs import write_tensors
from ..files.tensors import read_header
from ..masks.steps import BEFORE_PAMR, Step
from .pictures import to_levels

if TYPE_CHECKING:
    import torch

    from ..masks.make import MaskResult


StepMap = tuple[Step, np.ndarray]
"""A step and its map: (h, w) float in [0, 1], or bool for a set of seeds."""


@dataclass(frozen=True)
class TracedSample:
    """How the mask of one class in one image came about. name: of the sample. image: (H, W, 3) uint8. before_pamr,
    after_pamr: (H, W) float in [0, 1]; after_pamr is None if PAMR was off. label_map: (H, W) uint8 with the dataset's
    class ids."""

    name: str
    class_name: str
    prompt: str
    image: np.ndarray
    steps: Sequence[StepMap]
    before_pamr: np.ndarray
    after_pamr: np.ndarray | None
    label_map: np.ndarray


def traced_sample(
    name: str,
    image: np.ndarray,
    result: MaskResult,
    class_name: str,
    label_map: np.ndarray,
    *,
    prompt: str,
    pamr: bool,
) -> TracedSample:
    """The `TracedSample` of one class of a `MaskResult`. label_map: with the dataset's ids. pamr: False leaves
    `after_pamr` out.
    """
    trace = {step: _as_map(values) for step, values in result.trace.get(class_name, {}).items()}
    after = _as_map(result.soft[result.classes.index(class_name)])
    before = trace.pop(BEFORE_PAMR, after)
    steps = tuple(trace.items())
    return TracedSample(name, class_name, prompt, image, steps, before, after if pamr else None, label_map)


def save_trace(path: Path | str, traced: TracedSample) -> None:
    """Write one safetensors file, atomically, of uint8 tensors: image, label_map, before_pamr, after_pamr, step.00, …;
    their names are in the metadata. Soft maps are rounded to 256 levels, which is all that a picture shows."""
    tensors = {"image": traced.image, "label_map": traced.label_map, "before_pamr": to_levels(traced.before_pamr)}
    if traced.after_pamr is not None:
        tensors["after_pamr"] = to_levels(traced.after_pamr)
    tensors |= {f"step.{i:02d}": to_levels(step[1]) for i, step in enumerate(traced.steps)}
    about = {
        "name": traced.name,
        "class_name": traced.class_name,
        "prompt": traced.prompt,
        "steps": [{"name": str(step), "bool": values.dtype == bool} for step, values in traced.steps],
    }
    write_tensors(Path(path), {k: np.ascontiguousarray(v) for k, v in tensors.items()}, {"seediff": json.dumps(about)})


def load_trace(path: Path | str) -> TracedSample:
    """Read a file that `save_trace` wrote. Raises UserError naming the file if it is anything else."""
    header = read_header(path)
    about = header.about("seediff", dict[str, Any], "the steps of a mask")
    tensors = header.load("np")
    try:
        steps = [
            (Step.parse(step["name"]), values > 0 if step["bool"] else _soft(values))
            for step, values in ((step, tensors[f"step.{i:02d}"]) for i, step in enumerate(about.pop("steps")))
        ]
        after = _soft(tensors["after_pamr"]) if "after_pamr" in tensors else None
        soft = {"before_pamr": _soft(tensors["before_pamr"]), "after_pamr": after}
        return TracedSample(**about, **soft, image=tensors["image"], steps=steps, label_map=tensors["label_map"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a trace of a mask ({error}); delete it and run again") from error


def _soft(levels: np.ndarray) -> np.ndarray:
    return levels.astype(np.float32) / 255


def _as_map(values: torch.Tensor) -> np.ndarray:
    """A tensor as an array: bool stays bool, the rest becomes float32."""
    array = values.numpy()
    return array if array.dtype == bool else array.astype(np.float32)
