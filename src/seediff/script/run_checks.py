"""Checks of a run: whether its maps will fit into memory, and whether only the network calls that draw the picture had
the prompt. A pipeline may call its network more often, for example once for each tile of a panorama."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..attention.maps import Grid
from ..attention.networks import OVERLAPPING
from ..attention.recorder import AttentionRecorder
from ..errors import Notice, UserError
from ..files.messages import show_bytes
from ..models.saving_memory import memory_bytes


def check_memory(
    pipe: Any, recorders: Iterable[AttentionRecorder], size: Grid, images: int, device: torch.device, earlier: int
) -> None:
    """Raise UserError if the maps do not fit into the free memory of the GPU that computes, or, together with the maps
    of earlier pictures, into the computer's memory.

    pipe: the pipeline that draws; None for a network alone. recorders: record the maps. size: (height, width) of the
    network's lattice, in positions, for example 64 × 64 for 512 × 512 pixels. images: the number of pictures, or of
    latent frames. device: where the network computes. earlier: bytes of the maps of earlier pictures.
    """
    # 1. What the maps need: means over steps and layers, and with `apart` the maps of each step or layer
    per_image, whole = 0, memory_bytes()
    for recorder in recorders:
        expected, every = recorder.plan.expected(size, type(pipe).__name__), recorder.plan.capture.steps
        per_image += expected.map_bytes
        if recorder.apart == "step":  # every step is recorded, or every k-th
            calls = len(getattr(getattr(pipe, "scheduler", None), "timesteps", ())) or 1
            per_image += expected.map_bytes * (calls if isinstance(every, str) else math.ceil(calls / every))
        elif recorder.apart == "layer":
            per_image += expected.bytes_by_layer
    needed = images * per_image

    # 2. What is free: on a GPU, also the memory that torch holds without using it
    free = [max(whole - earlier, 0)] if whole else []
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free.append(torch.cuda.mem_get_info(device)[0] + cached)
    if free and needed > min(free):
        others = f" (earlier images hold {show_bytes(earlier)}, which seen.clear() frees)" if earlier else ""
        raise UserError(
            f"the attention maps of {images} images of {size[1]} × {size[0]} positions take {show_bytes(needed)}, and"
            f" {show_bytes(min(free))} of memory are there{others}; draw fewer or smaller images at once, or capture"
            " less (keep, such as keep='ca')"
        )


def check_timesteps(scheduler: Any, with_prompt: torch.Tensor) -> None:
    """Raise UserError if more network calls had the prompt than drawing the picture needs: more than the scheduler has
    timesteps, or more at one timestep than the scheduler itself ever runs.

    scheduler: the pipeline's; None if it has no scheduler. with_prompt: (calls,) the timestep of each call with the
    prompt.
    """
    expected = _expected(scheduler, with_prompt)
    if _repeats(with_prompt) > _repeats(expected) or len(with_prompt) > len(expected):
        counts = f"{len(with_prompt)} times, {_repeats(with_prompt)} times at one step"
        problem = f"the network was given the prompt {counts}: {OVERLAPPING}"
        raise UserError("picture", problem, "draw without the other calls")


def warn_of_other_texts(with_prompt: Sequence[float], without: Sequence[float]) -> None:
    """Warn if the prompt was left out at some timesteps. with_prompt, without: the timestep of each network call that
    had the prompt, and of each call that did not."""
    own, others = set(with_prompt), set(without)
    if others - own:
        count = f"at {len(own)} of {len(others | own)} timesteps (a callback that changes it?)"
        warnings.warn(Notice(f"the network was given the prompt {count}: maps are the means of these"), stacklevel=2)


def _expected(scheduler: Any, timesteps: torch.Tensor) -> torch.Tensor:
    """The timesteps at which the network should be called: the scheduler's, on the scale on which the network was given
    them. If the network was given other timesteps, as in a loop with timesteps of its own: each of these once.
    timesteps: what the network was given."""
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
