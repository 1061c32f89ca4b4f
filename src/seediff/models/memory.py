"""How a model needs less of a GPU's memory: parts that take turns in it, and an autoencoder that works in tiles. diffusers' own."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal, get_args

from ..errors import UserError

Offload = Literal["none", "model", "sequential"]
"""What waits in the computer's memory while it does not work: nothing; whole parts (text encoders, network, autoencoder); single layers."""

NOTHING_TO_SAVE = {"cpu": "here it runs on the cpu", "mps": "mps shares the computer's memory"}
"""Devices without a memory of their own, in words that end a sentence."""


def check_offload(offload: str, device: str) -> None:
    """Raise UserError for another word than those of `Offload`, for a device that saves nothing by it, and where accelerate is missing."""
    if offload not in get_args(Offload):
        raise UserError(f"offload {offload!r} must be one of {', '.join(get_args(Offload))}")
    if offload == "none":
        return
    if why := NOTHING_TO_SAVE.get(device.split(":")[0]):
        raise UserError(f"offload {offload}: parts of the model would take turns in a GPU's memory, but {why}; leave it out")
    if find_spec("accelerate") is None:
        raise UserError(f"offload {offload}: needs accelerate: pip install 'seediff[offload]'")


def place(pipe: Any, device: str, offload: Offload) -> None:
    """Bring a pipeline to a device, or have its parts brought there when they work. Raises torch.OutOfMemoryError."""
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.to(device)


def enable_tiling(pipe: Any, model: str) -> None:
    """Have the autoencoder encode and decode whatever is larger than its own size in overlapping tiles. Raises UserError where it cannot.
    model: its name, for messages."""
    if not hasattr(pipe.vae, "use_tiling"):  # diffusers' own mark of an autoencoder that knows tiles
        raise UserError(
            f"vae_tiling: the autoencoder of model '{model}' ({type(pipe.vae).__name__}) works on whole pictures only; leave it out"
        )
    pipe.vae.enable_tiling()
