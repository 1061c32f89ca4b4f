"""Checks of a run: whether its maps will fit into memory, and whether only the network calls that draw the picture had
the prompt. A pipeline may call its network more often, for example once for each tile of a panorama."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch

from ..attention.maps import Grid
from ..attention.networks import OVERLAPPING
from ..attention.recorder import AttentionRecorder
from ..errors import Notice, UserError
from ..files.messages import show_bytes
from ..models.saving_memory import memory_bytes


def check_memory(
    pipe: Any,
    recorders: Iterable[tuple[AttentionRecorder, Grid]],
    size: Grid,
    images: int,
    device: torch.device,
    earlier: int,
) -> None:
    """Raise UserError if the maps do not fit into the free memory of the GPU that computes, or, together with the maps
    of earlier pictures, into the computer's memory.

    pipe: the pipeline that draws; None for a network alone. recorders: record the maps, each of a picture of this
    (height, width) in positions, for example 64 × 64 for 512 × 512 pixels. size: the drawn picture's (height, width).
    images: the number of pictures, or of latent frames. device: where the network computes. earlier: bytes of the maps
    of earlier pictures.
    """
    # 1. What the maps need: means over steps and layers, and with `apart` the maps of each step or layer
    per_image, whole = 0, memory_bytes()
    for recorder, lattice in recorders:
        expected, every = recorder.plan.expected(lattice, type(pipe).__name__), recorder.plan.capture.steps
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


def check_timesteps(scheduler: Any, with_prompt: torch.Tensor, *, is_each: bool = False) -> None:
    """Raise UserError if more network calls had the prompt than drawing the picture needs: more than the scheduler has
    timesteps, more at one timestep than the scheduler itself ever runs, or some at timesteps that it lacks.

    scheduler: the pipeline's; None if it has no scheduler. with_prompt: (calls,) the timestep of each call with the
    prompt. is_each: whether each timestep must have had the prompt.
    """
    expected = _expected(scheduler, with_prompt)
    if is_each and len(with_prompt) < len(expected):
        problem = "equals a prompt, so which calls draw the picture is unknown"
        raise UserError("negative_prompt", problem, "give another one")
    if _repeats(with_prompt) > _repeats(expected) or len(with_prompt) > len(expected):
        counts = f"{len(with_prompt)} times, {_repeats(with_prompt)} times at one step"
        why = OVERLAPPING if len(expected) else "some of them at timesteps that the scheduler lacks"
        problem = f"the network was given the prompt {counts}: {why}"
        raise UserError("picture", problem, "draw without the other calls")


def warn_of_other_texts(scheduler: Any, with_prompt: torch.Tensor, without: torch.Tensor) -> None:
    """Warn if the prompt was left out at some timesteps, or was given at one of them less often than the scheduler runs
    it. scheduler: as in `check_timesteps`. with_prompt, without: (calls,) the timestep of each network call that had
    the prompt, and of each call that did not."""
    steps, hits = _steps(scheduler, with_prompt)
    own, missing = Counter(with_prompt.tolist()), 0
    for timestep in {*without.tolist()} - {float(with_prompt[0])}:  # img2img may begin between two calls of a timestep
        nearest = (steps - timestep).abs()
        needed = int((nearest == nearest.min()).sum()) if hits == len(with_prompt) else 1
        missing += max(needed - own[timestep], 0)
    if missing:
        count = f"in {len(with_prompt)} of {len(with_prompt) + missing} steps (a callback that changes it?)"
        warnings.warn(Notice(f"the network was given the prompt {count}: maps are the means of these"), stacklevel=2)


def warn_of_further_calls(with_prompt: torch.Tensor) -> None:
    """Warn if a loop of one's own, whose scheduler is unknown, gave the network the prompt in further calls than one
    picture needs. A picture's timesteps all fall, or all rise. Each but the first may come twice in a row, as with
    Heun. with_prompt: (calls,) the timestep of each call with the prompt."""
    timesteps = with_prompt.double()
    changes = timesteps.diff()
    signs = changes.sign().where(changes.abs() > 1e-4 * timesteps[1:].abs(), 0).tolist()
    repeats = signs[:1] == [0] or any(one == other == 0 for one, other in pairwise(signs))
    if {1, -1} <= {*signs} or (repeats and with_prompt.itemsize > 2):  # half precision rounds neighbours to one value
        order = f"{len(timesteps)} times, not in the order of one picture's timesteps"
        text = "maps are the means of all these calls; use one `with` block for each picture, without other calls"
        warnings.warn(Notice(f"the network was given the prompt {order}: {text}"), stacklevel=2)


def _expected(scheduler: Any, timesteps: torch.Tensor) -> torch.Tensor:
    """The timesteps at which the network should be called: the scheduler's, on the scale on which the network was given
    them. If the network was given other timesteps, as in a loop with timesteps of its own: each of these once. If it
    was given the scheduler's and others, none is right. timesteps: what the network was given."""
    steps, hits = _steps(scheduler, timesteps)
    if hits == len(timesteps):
        return steps
    return timesteps[:0] if hits and hits >= min(2, len(steps)) else timesteps.unique()


def _steps(scheduler: Any, timesteps: torch.Tensor) -> tuple[torch.Tensor, int]:
    """(steps, hits): the scheduler's timesteps, on the scale that fits best, and how many of `timesteps` are among
    them."""
    steps = getattr(scheduler, "timesteps", None)
    if not torch.is_tensor(steps):
        return timesteps[:0], 0
    steps = steps.to(timesteps)
    scales = [scaled.float() for scaled in (steps, steps / 1000, 1 - steps / 1000)]
    near = [torch.isclose(scaled, timesteps[:, None].float(), rtol=4e-3, atol=1e-4).any(1) for scaled in scales]
    hits = [int(each.sum()) for each in near]  # in bfloat16, too
    return scales[hits.index(max(hits))], max(hits)


def _repeats(timesteps: torch.Tensor) -> int:
    """How often the most frequent timestep occurs."""
    return max(Counter(timesteps.tolist()).values(), default=0)
