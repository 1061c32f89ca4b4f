"""One sentence for every step of a mask that the report shows, with the paper's equations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..masks.steps import Kind, Step


class Explanation(NamedTuple):
    """What a step shows, and its equation in the paper."""

    text: str
    equation: str = ""


def explain_step(step: Step, *, before: Sequence[Step] = (), method: str = "seediff") -> Explanation:
    """Explain a step of a trace, or the input of PAMR. before: the earlier steps: seeds come from the expansion
    directly before them (eq. 8–9) or from cross-attention (eq. 6), and the final map is a product (eq. 11) only with a
    background."""
    if method == "reference" and step.kind != "cross_attention":  # whose steps of these names are others
        return GENERAL
    if step.kind == "seeds" and before and before[-1].kind == "expansion":
        return Explanation(
            "The last expansion, enlarged to this side and cut at α: the next expansion starts here.", "eq. 8, 9"
        )
    if step.kind == "final" and any(earlier.kind in ("background", "background seeds") for earlier in before):
        return Explanation("(1 − background) × the last expansion: what the background claims is taken away.", "eq. 11")
    return _PAPER.get(step.kind, GENERAL)


GENERAL = Explanation("A map that the method made on the way, from 0 (dark) to 1 (bright).")

_PAPER: dict[Kind, Explanation] = {
    "cross_attention": Explanation(
        "How much each position attends to the class's words, averaged over layers and denoising steps.", "eq. 3, 5"
    ),
    "self-attention product": Explanation(
        "One step of a random walk: each position takes the mean of the map so far over what it attends to."
    ),
    "entropy walk": Explanation(
        "One step of a random walk over self-attention whose weak values are cut off: each position takes a mean of"
        " where it attends most."
    ),
    "walk with restart": Explanation(
        "One step of a random walk with restart: mostly the mean of the map so far over what a position attends to, and"
        " partly its own cross-attention."
    ),
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
    "final": Explanation("The method's soft mask, before it is fitted to the image."),
    "before PAMR": Explanation("The soft mask enlarged to the image: right place, blurred outline."),
}

AFTER_PAMR = Explanation(
    "Every pixel averaged with neighbours of like colour, again and again (PAMR): outlines move to the image's edges."
)
WITHOUT_PAMR = Explanation("The soft mask at the image's size.")


def explain_mask(method: str = "seediff") -> Explanation:
    """Explain how a method's soft mask becomes pixels of a class."""
    competing = "in the class's colour; where classes compete, the highest wins."
    if method == "reference":
        return Explanation(f"Pixels of at least the method's own threshold, {competing}")
    return Explanation(f"Pixels of at least β, {competing}", "eq. 12" if method == "seediff" else "")
