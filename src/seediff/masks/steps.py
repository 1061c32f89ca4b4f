"""The names of a mask's steps, the map after each step, and a method's result for one class. On disk and in reports a
step is a text, such as `expansion L/2`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ..config.method_constants import level_name


@dataclass(frozen=True)
class MaskStep:
    """The name of a step of a mask method."""

    kind: str
    """The operation, such as `expansion`. report/explain.py explains the operations of the package's methods."""
    level: int | None = None
    """The level, as a divisor of the latent's side L, if the method repeats the operation at several levels."""
    number: int | None = None
    """1, 2, …, if the method repeats the operation at one level."""

    def __str__(self) -> str:
        parts = [self.kind]
        if self.number is not None:
            parts.append(str(self.number))
        if self.level is not None:
            parts.append(level_name(self.level))
        return " ".join(parts)

    @classmethod
    def parse(cls, text: str) -> MaskStep:
        """The step whose `str` is this text. Raises ValueError for a text without a name."""
        parts = re.fullmatch(r"(.+?)(?: ([1-9]\d{0,8}))?(?: (L)(?:/([1-9]\d{0,8}))?)?", text, re.DOTALL)
        if parts is None:
            raise ValueError("a step has no name")
        kind, number, at_level, divisor = parts.groups()
        level = int(divisor or 1) if at_level else None
        return cls(kind, level, int(number) if number else None)


BEFORE_PAMR = MaskStep("before PAMR")
"""The step for PAMR's input, at the image's size. It is the last step of a trace if PAMR runs."""


@dataclass(frozen=True)
class SoftMask:
    """A method's result for one class."""

    soft: torch.Tensor
    """(h, w) float32 in [0, 1]."""
    flags: tuple[str, ...] = ()
    trace: Mapping[MaskStep, torch.Tensor] = field(default_factory=dict)
    """The map after every step."""
    second: torch.Tensor | None = None
    """A soft map (h, w) of the class, made in another way. If the mask agrees with it, the mask is more often right."""


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

    def finish(self, soft: torch.Tensor, flags: Sequence[str] = (), second: torch.Tensor | None = None) -> SoftMask:
        """The method's result, with all recorded steps and flags. soft: the class's soft mask (h, w), which becomes the
        last step. flags: the last step's. second: as in `SoftMask`."""
        self.keep(MaskStep("soft mask"), soft, flags)
        return SoftMask(soft, tuple(self._flags), dict(self._maps), second)
