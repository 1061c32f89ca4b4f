"""`FlowMatching`: what families that were trained by flow matching have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .family import Family, Tensor


@dataclass(frozen=True)
class FlowMatching(Family):
    """Families trained by flow matching: at noise level t of 1000, the share of noise is t / 1000."""

    LEVELS: ClassVar[int] = 1000
    """The number of noise levels."""

    half: str = "bfloat16"
    gives_sigmas: bool = True
    side: int = 1024
    text_columns: int = 512
    """How many tokens most pipelines read by default. Templates around the prompt, and padding, count."""

    def noise_levels(self, pipe: Any) -> int | None:
        return self.LEVELS if hasattr(pipe.scheduler, "sigmas") else None

    def mix(self, pipe: Any, timestep: int) -> tuple[float, float]:
        return 1 - timestep / self.LEVELS, timestep / self.LEVELS

    def target(self, pipe: Any, timestep: int, latents: Tensor, noise: Tensor) -> Tensor:
        return noise - latents
