"""Whether the maps of a drawing will fit into memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ..attention.maps import Grid
from ..attention.recorder import AttentionRecorder
from ..errors import UserError
from ..files.messages import show_bytes
from ..models.saving_memory import memory_bytes


def check_memory(
    pipe: Any, recorders: Sequence[AttentionRecorder], size: Grid, images: int, device: torch.device, earlier: int
) -> None:
    """Raise UserError if the maps of all recorders do not fit into the free memory of the GPU that computes, or into
    the computer's memory in addition to earlier pictures. pipe: the pipeline that draws; None: a network alone. size:
    (height, width) of L. images: the number of pictures, or latent frames. device: where the network computes. earlier:
    bytes of the maps of earlier pictures."""
    needed, whole = 0, memory_bytes()
    for recorder in recorders:
        expected, every = recorder.plan.expected(size, type(pipe).__name__), recorder.plan.capture.steps
        needed += images * expected.map_bytes
        if recorder.apart == "step":
            calls = len(getattr(getattr(pipe, "scheduler", None), "timesteps", ())) or 1
            needed += images * expected.map_bytes * (calls if isinstance(every, str) else math.ceil(calls / every))
        elif recorder.apart == "layer":
            needed += images * expected.bytes_by_layer
    rooms = [max(whole - earlier, 0)] if whole else []
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        rooms.append(torch.cuda.mem_get_info(device)[0] + cached)
    if rooms and needed > min(rooms):
        others = f" (earlier images hold {show_bytes(earlier)}, which seen.clear() frees)" if earlier else ""
        raise UserError(
            f"the attention maps of {images} images of {size[1]} × {size[0]} positions take {show_bytes(needed)}, and"
            f" {show_bytes(min(rooms))} of memory are there{others}; draw fewer or smaller images at once, or capture"
            " less (keep, such as keep='ca')"
        )
