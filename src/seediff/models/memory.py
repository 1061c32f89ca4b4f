"""Reduces the GPU memory that a model needs, by diffusers' means: parts that take turns on the GPU, and an autoencoder
that works in tiles."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal, get_args

from ..errors import UserError

Offload = Literal["none", "model", "sequential"]
"""What waits in the computer's memory while it is not running: nothing; whole parts (text encoders, network,
autoencoder); single layers."""

NOTHING_TO_SAVE = {"cpu": "here it runs on the cpu", "mps": "mps shares the computer's memory"}
"""Device without separate memory → why offloading saves nothing there, as the end of a sentence."""


def check_offload(offload: str, device: str) -> None:
    """Raise UserError for a word that `Offload` does not list, for a device where offloading saves nothing, and if
    accelerate is missing."""
    if offload not in get_args(Offload):
        raise UserError("offload", f"{offload} must be one of {', '.join(get_args(Offload))}")
    if offload == "none":
        return
    if why := NOTHING_TO_SAVE.get(device.split(":")[0]):
        raise UserError(
            "offload", f"{offload}: parts of the model would take turns in a GPU's memory, but {why}", "leave it out"
        )
    if find_spec("accelerate") is None:
        raise UserError("offload", f"{offload}: needs accelerate", "pip install 'seediff[offload]'")


def place(pipe: Any, device: str, offload: Offload) -> None:
    """Move a pipeline to a device, or have its parts moved there when they run. Raises torch.OutOfMemoryError.

    On a GPU the autoencoder decodes one picture at a time: a whole batch of 1024² takes more memory than the network
    (SDXL's batch of 8: 24 GiB, one picture 3.1), after all the steps are done.
    """
    if device.startswith("cuda") and hasattr(pipe.vae, "use_slicing"):
        pipe.vae.enable_slicing()
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.to(device)


def enable_tiling(pipe: Any, model: str) -> None:
    """Have the autoencoder encode and decode anything larger than its own size in overlapping tiles. Raises UserError
    if it cannot. model: the model's name, for messages."""
    if not hasattr(pipe.vae, "use_tiling"):  # how diffusers marks an autoencoder that can tile
        problem = f"the autoencoder of model '{model}' ({type(pipe.vae).__name__}) works on whole pictures only"
        raise UserError("vae_tiling", problem, "leave it out")
    pipe.vae.enable_tiling()
