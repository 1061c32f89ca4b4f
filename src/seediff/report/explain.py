"""Explains the steps of making a mask: each step as a small map with a sentence (`show_steps`), or all steps side by
side in one picture (`draw_strip`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from ..drawing.overlays import compress_image, contact_sheet, draw_mask, heat_colours, shrink, to_levels
from ..masks.steps import BEFORE_PAMR, MaskStep

if TYPE_CHECKING:
    import torch

    from ..masks.make_masks import MaskResult

STRIP_SIDE = 120
"""The longer side, in pixels, of the pictures in a strip."""
SHOWN_SIDE = 256
"""The longest side, in pixels, of a map that is shown."""


class Explanation(NamedTuple):
    """A sentence about what a step's map shows, and the step's equation in the SeeDiff paper."""

    text: str
    equation: str = ""


@dataclass(frozen=True)
class ShownStep:
    """A step of making one class's mask."""

    name: str
    levels: np.ndarray
    """(h, w) uint8: the map after this step; 255 stands for 1."""
    why: Explanation


def show_steps(result: MaskResult, class_name: str, method: str) -> list[ShownStep]:
    """Every step of a class's mask, in order. If the mask was refined by PAMR, PAMR's input and result come last.
    result: the masks of an image, with their trace. class_name: the class. method: the mask method's name."""
    shown: list[ShownStep] = []
    trace = result.trace[class_name]
    for number, (step, values) in enumerate(trace.items()):
        why = explain_step(step, before=list(trace)[:number], method=method)
        shown.append(ShownStep(str(step).replace("_", "-"), _levels(values), why))
    if BEFORE_PAMR in trace:
        shown.append(ShownStep("after PAMR", _levels(result.soft[result.classes.index(class_name)]), AFTER_PAMR))
    return shown


def _levels(values: torch.Tensor) -> np.ndarray:
    return shrink(to_levels(values.cpu().numpy()), SHOWN_SIDE, Image.Resampling.BOX)


def explain_step(step: MaskStep, *, before: Sequence[MaskStep] = (), method: str = "seediff") -> Explanation:
    """The explanation of a step in a trace.

    before: the earlier steps. Two explanations depend on them: seeds come from the expansion directly before them (eq.
    8–9) or from cross-attention (eq. 6), and the soft mask may be a product with the background (eq. 11). method: the
    mask method's name; steps of other methods than `seediff` get general explanations.
    """
    if method != "seediff":  # another method may give these names to other steps
        return _EVERY_METHOD.get(step.kind, GENERAL)
    if step.kind == "seeds" and before and before[-1].kind == "expansion":
        return Explanation(
            "The last expansion, enlarged to this side and cut at α: the next expansion starts here.", "eq. 8, 9"
        )
    if step.kind == "soft mask" and any(earlier.kind in ("background", "background seeds") for earlier in before):
        return Explanation("(1 − background) × the last expansion: what the background claims is taken away.", "eq. 11")
    return _SEEDIFF.get(step.kind, GENERAL)


GENERAL = Explanation("A map that the method made on the way, from 0 (dark) to 1 (bright).")

_EVERY_METHOD: dict[str, Explanation] = {
    "cross_attention": Explanation(
        "How much each position attends to the class's words, averaged over layers and denoising steps.", "eq. 3, 5"
    ),
    "self-attention product": Explanation(
        "One step of a random walk: each position takes the mean of the map so far over what it attends to."
    ),
    "soft mask": Explanation("The method's soft mask, before it is fitted to the image."),
    "before PAMR": Explanation("The soft mask enlarged to the image: right place, blurred outline."),
}

_SEEDIFF: dict[str, Explanation] = {
    **_EVERY_METHOD,
    "seeds": Explanation(
        "Positions whose cross-attention is at least α: sure parts of the object, from which it grows.", "eq. 6"
    ),
    "expansion": Explanation(
        "Self-attention averaged over the seeds' rows: whatever looks like the seeds lights up.", "eq. 7"
    ),
    "expansion mean": Explanation("The expansions of all levels at one side, averaged."),
    "background seeds": Explanation(
        "Positions that the expansion left dark, 1 − M′ ≥ α: seeds of the background.", "eq. 10, 9"
    ),
    "background": Explanation(
        "Where the background's seeds attend, on average: the background grown from its seeds.", "eq. 7"
    ),
}

AFTER_PAMR = Explanation(
    "Every pixel averaged with neighbours of like colour, again and again (PAMR): outlines move to the image's edges."
)


def draw_strip(image: np.ndarray, label_map: np.ndarray, steps: Sequence[ShownStep]) -> bytes:
    """The bytes of a PNG with pictures side by side: the image, the map after each step of a class's mask, and the mask
    over the image. image: (H, W, 3) uint8. label_map: (H, W) uint8. steps: from `show_steps`."""
    small = shrink(image, STRIP_SIDE, Image.Resampling.LANCZOS)
    size = small.shape[1], small.shape[0]
    # A box filter shows each position as a square where it enlarges.
    maps = [np.asarray(Image.fromarray(step.levels).resize(size, Image.Resampling.BOX)) for step in steps]
    tiles = [small, *(heat_colours()[levels] for levels in maps), draw_mask(image, label_map, STRIP_SIDE)]
    labels = ["image", *(step.name for step in steps), "mask"]
    return compress_image(contact_sheet(tiles, len(tiles), labels), "PNG", optimize=True)
