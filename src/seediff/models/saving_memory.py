"""Reduces the GPU memory that a model needs: parts take turns on the GPU, the autoencoder works in tiles, and weights
are quantised, to NF4 (bitsandbytes) or int8 (torchao). Also refuses what a device cannot do.
"""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError

if TYPE_CHECKING:
    from .families.family import Family

Offload = Literal["none", "model", "sequential"]
"""What waits in the computer's memory while it does not run. none: nothing; model: parts (text encoders, network,
autoencoder); sequential: layers."""
Quantize = Literal["nf4", "int8"]
"""Number format of quantised weights, as in `RunConfig`."""

NOTHING_TO_SAVE = {"cpu": "here it runs on the cpu", "mps": "mps shares the computer's memory"}
"""Kind of device on which offloading saves nothing → why, as the end of a sentence."""
NEEDS = {"nf4": "bitsandbytes", "int8": "torchao"}
"""Quantisation → the library that it needs."""


def memory_bytes() -> int | None:
    """The size of the computer's memory in bytes; None if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def check_offload(offload: str, device: str) -> None:
    """Raise UserError if offloading would save nothing on this device. offload: as in `Offload`. device: such as
    cuda:0."""
    if offload == "none":
        return
    why = NOTHING_TO_SAVE.get(device.split(":")[0])
    if why:
        problem = f"{offload}: needs a GPU, but {why}"
        raise UserError("offload", problem, "leave it out")


def move_to(pipe: Any, device: str, offload: Offload) -> None:
    """Move a pipeline to a device, or with offload, have its parts moved there when they run. Raises
    torch.OutOfMemoryError.

    On a GPU the autoencoder then decodes the pictures of a batch one by one. For SDXL, one picture takes 3.1 GiB, and
    all 8 pictures of a batch would take 24 GiB."""
    if device.startswith("cuda") and hasattr(pipe.vae, "use_slicing"):
        pipe.vae.enable_slicing()
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.to(device)


def quantise(pipe: Any, family: Family, quantize: Quantize, dtype: Any) -> None:
    """Replace linear layers by quantised layers, in the network and in text encoders except CLIP, which is small. NF4
    layers quantise their weights when they are moved to the device.

    family: the pipeline's. quantize: nf4 or int8. dtype: torch's number format in which the layers compute."""
    for name, part in pipe.components.items():
        is_small = name == "vae" or type(part).__name__.startswith("CLIP")
        if part is not None and family.has_weights(name) and not is_small:
            if quantize == "nf4":
                _to_nf4(part, dtype)
            else:
                ao: Any = import_module("torchao.quantization")
                ao.quantize_(part, ao.Int8WeightOnlyConfig(), partial(_should_quantise, part))


def _should_quantise(part: Any, module: Any, name: str) -> bool:
    """Whether to quantise a layer of a part: it is linear, does not belong to a LoRA, and need not stay in float32.
    module: the layer. name: its name in the part."""
    import torch

    kept = {*(getattr(part, "_keep_in_fp32_modules", None) or ()), "lora_A", "lora_B"}
    return type(module) is torch.nn.Linear and kept.isdisjoint(name.split("."))


def _to_nf4(part: Any, dtype: Any) -> None:
    """Replace linear layers of a part by NF4 layers. dtype: as in `quantise`."""
    bits: Any = import_module("bitsandbytes.nn")
    for name, layer in list(part.named_modules()):
        if _should_quantise(part, layer, name):
            how = {"bias": layer.bias is not None, "compute_dtype": dtype, "quant_type": "nf4", "device": "meta"}
            quantised = bits.Linear4bit(layer.in_features, layer.out_features, **how)
            quantised.weight = bits.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
            quantised.bias = layer.bias
            part.set_submodule(name, quantised)
