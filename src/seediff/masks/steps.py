"""The steps of a mask, the map after each step, and a method's result for one class. On disk and in reports a step is a
text, such as `expansion L/2`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ..config.methods import level_name


@dataclass(frozen=True)
class MaskStep:
    """A step of a mask method: its name, and what reports say about the map after it."""

    kind: str
    """The operation, such as `expansion`."""
    level: int | None = None
    """The level, as a divisor of the latent's side L, if the method repeats the operation at several levels."""
    number: int | None = None
    """1, 2, …, if the method repeats the operation at one level."""
    text: str = field(default="A map that the method made on the way, from 0 (dark) to 1 (bright).", compare=False)
    """A sentence about what the map shows."""
    equation: str = field(default="", compare=False)
    """The step's equation in the SeeDiff paper."""
    main: bool = field(default=True, compare=False)
    """Whether the step also stands in a short explanation (`main_steps`)."""

    @property
    def explained(self) -> str:
        """The sentence, and where the paper has the step."""
        return f"{self.text} (paper, {self.equation})" if self.equation else self.text

    def at(self, level: int, number: int | None = None) -> MaskStep:
        """The step at a level, and with a number."""
        return replace(self, level=level, number=number)

    def __str__(self) -> str:
        parts = [self.kind]
        if self.number is not None:
            parts.append(str(self.number))
        if self.level is not None:
            parts.append(level_name(self.level))
        return " ".join(parts)


MOST_MAIN = 3
"""Maximum number of steps in a short explanation; with the picture before and the mask after them, five maps."""


def main_steps(trace: Iterable[MaskStep]) -> list[MaskStep]:
    """The steps of a short explanation, in order: the main ones, of those that a method repeats only the last, at most
    MOST_MAIN. trace: all steps."""
    last = {step.kind: step for step in trace if step.main}
    return [*last.values()][:MOST_MAIN]


CROSS_ATTENTION = MaskStep(
    "cross_attention",
    text="How much each position attends to the class's words, averaged over layers and denoising steps.",
    equation="eq. 3, 5",
)
SELF_ATTENTION_PRODUCT = MaskStep(
    "self-attention product",
    text="One step of a random walk: each position takes the mean of the map so far over what it attends to.",
)
SOFT_MASK = MaskStep("soft mask", text="The method's soft mask, before it is fitted to the image.", main=False)
BEFORE_PAMR = MaskStep(
    "before PAMR", text="The soft mask enlarged to the image: right place, blurred outline.", main=False
)
"""PAMR's input, at the image's size."""
AFTER_PAMR = MaskStep(
    "after PAMR",
    text="Every pixel averaged with neighbours of like colour, again and again (PAMR): outlines move to the image's"
    " edges.",
    main=False,
)
AFTER_SAM = MaskStep("after SAM", text="Pieces whose outline SAM found, with this outline.", main=False)


@dataclass(frozen=True)
class SoftMask:
    """A method's result for one class."""

    soft: torch.Tensor
    """(h, w) float32 in [0, 1]."""
    flags: tuple[str, ...] = ()
    trace: Mapping[MaskStep, torch.Tensor] = field(default_factory=dict)
    """The map after every step."""
    word: torch.Tensor | None = None
    """The class's cross-attention (h', w') at the coarsest level that the method reads; None if it reads none."""


class Steps:
    """Collects the maps after a method's steps, in order, and its flags without repeats."""

    def __init__(self) -> None:
        self._maps: dict[MaskStep, torch.Tensor] = {}
        self._flags: dict[str, None] = {}

    def keep(self, step: MaskStep, values: torch.Tensor, flags: Sequence[str] = ()) -> torch.Tensor:
        """Record the map after a step, and flags, and return the map."""
        self._maps[step] = values
        self.flag(flags)
        return values

    def flag(self, flags: Sequence[str]) -> None:
        """Record flags without a map."""
        self._flags |= dict.fromkeys(flags)

    def result(self, soft: torch.Tensor, flags: Sequence[str] = (), step: MaskStep = SOFT_MASK) -> SoftMask:
        """The method's result, with all recorded steps and flags. soft: the class's soft mask (h, w), the map after
        the last step. flags: the last step's. step: the last step."""
        self.keep(step, soft, flags)
        return SoftMask(soft, tuple(self._flags), dict(self._maps))
