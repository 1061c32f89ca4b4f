"""The timesteps at which the network was called with the prompt, and without it: too many calls mean that some of them
drew something else than the picture."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import torch

from ..attention.networks import OVERLAPPING
from ..errors import Notice, UserError


class Timesteps:
    """The timesteps of a run's calls of the network. They are read when the run ends: a GPU would be waited for."""

    def __init__(self) -> None:
        self._with_prompt: list[torch.Tensor] = []
        self._without: list[torch.Tensor] = []

    def note(self, timestep: Any, *, has_prompt: bool) -> None:
        """Note a call of the network."""
        timesteps = self._with_prompt if has_prompt else self._without
        timesteps.append(torch.as_tensor(timestep).detach().flatten()[:1].clone())

    def check(self, scheduler: Any, *, is_negative_too: bool) -> None:
        """Raise UserError if the network was called more often with the prompt than the scheduler has timesteps, or at
        one timestep more often than the scheduler repeats any: then other calls drew something else. is_negative_too:
        whether calls with the negative prompt count, too, because it equals the prompt."""
        if not self._with_prompt:
            return
        timesteps = torch.cat(self._with_prompt).cpu()
        expected, times = _expected(scheduler, timesteps), 1 + is_negative_too  # how often each of them is allowed
        if _repeats(timesteps) > times * _repeats(expected) or len(timesteps) > times * len(expected):
            counts = f"{len(timesteps)} times, {_repeats(timesteps)} times at one step"
            problem = f"the network was given the prompt {counts}: {OVERLAPPING}"
            raise UserError("picture", problem, "draw without the other calls")

    def warn_of_other_texts(self) -> None:
        """Warn if some timesteps had no call with the prompt."""
        both = self._with_prompt, self._without
        own, others = ({timestep for one in each for timestep in one.tolist()} for each in both)
        if others - own:
            count = f"at {len(own)} of {len(others | own)} timesteps (a callback that changes it?)"
            warnings.warn(
                Notice(f"the network was given the prompt {count}: maps are the means of these"), stacklevel=2
            )


def _expected(scheduler: Any, timesteps: torch.Tensor) -> torch.Tensor:
    """The scheduler's timesteps, on the scale on which the network was given its own. If they are others than these, as
    in a loop with timesteps of its own: each of these once."""
    steps = getattr(scheduler, "timesteps", None)
    if torch.is_tensor(steps) and len(steps):
        steps = steps.to(timesteps)
        for scaled in (steps, steps / 1000, 1 - steps / 1000):
            near = torch.isclose(scaled.float(), timesteps[:, None].float(), rtol=4e-3, atol=1e-4)  # in bfloat16, too
            if near.any(1).all():
                return scaled
    return timesteps.unique()


def _repeats(timesteps: torch.Tensor) -> int:
    """How often the most frequent timestep occurs."""
    return max(Counter(timesteps.tolist()).values())
