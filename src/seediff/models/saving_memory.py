"""The computer's memory, and what reduces the GPU memory that a model needs: parts that take turns on the GPU, an
autoencoder that works in tiles, and quantised weights, in NF4 (bitsandbytes) or int8 (torchao).
"""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

from ..errors import UserError
from .families.family import Family

Offload = Literal["none", "model", "sequential"]
"""What waits in the computer's memory while it does not run. none: nothing; model: whole parts (text encoders,
network, autoencoder); sequential: single layers."""
Graphs = Literal["auto", "on", "off"]
"""Whether a network's calls are replayed as CUDA graphs. auto: if a trial shows that this is faster on this card."""


class Loading(NamedTuple):
    """How a model is loaded; fields as in `load_model`. Neither field changes a byte of the results."""

    offload: Offload = "none"
    graphs: Graphs = "auto"


USUAL_LOADING = Loading()
Quantize = Literal["nf4", "int8"]

NOTHING_TO_SAVE = {"cpu": "here it runs on the cpu", "mps": "mps shares the computer's memory"}
"""Kind of device without memory of its own → why offloading saves nothing there, as the end of a sentence."""
NEEDS = {"nf4": "bitsandbytes", "int8": "torchao"}


def memory_bytes() -> int | None:
    """The computer's memory in bytes; None if the system does not report its size."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def check_offload(offload: str, device: str) -> None:
    """Raise UserError if offloading would save nothing on this device, and if accelerate is missing."""
    if offload == "none":
        return
    why = NOTHING_TO_SAVE.get(device.split(":")[0])
    if why:
        problem = f"{offload}: needs a GPU, but {why}"
        raise UserError("offload", problem, "leave it out")
    if find_spec("accelerate") is None:
        raise UserError("offload", f"{offload}: needs accelerate", "pip install 'seediff[offload]'")


def check_graphs(device: str) -> None:
    """Raise UserError if calls cannot be replayed on this device."""
    why = why_no_graphs(device)
    if why:
        raise UserError("graphs", f"on: {why}", "leave it out")


def why_no_graphs(device: str) -> str:
    """Why calls cannot be replayed on a device; "" if they can. Replays need an NVIDIA GPU, Linux, and torch's own
    allocator."""
    import torch

    if not device.startswith("cuda"):
        return f"needs an NVIDIA GPU, but here it runs on the {device.split(':')[0]}"
    if torch.version.hip is not None or sys.platform != "linux":
        return "needs an NVIDIA GPU and Linux"
    if torch.cuda.get_allocator_backend() != "native":
        return "PYTORCH_CUDA_ALLOC_CONF asks for another allocator than torch's own"
    return ""


def move_to(pipe: Any, device: str, offload: Offload) -> None:
    """Move a pipeline to a device, or have its parts moved there when they run. Raises torch.OutOfMemoryError.

    On a GPU the autoencoder decodes the pictures of a batch one by one. SDXL's batch of 8 would take 24 GiB at once;
    one picture takes 3.1."""
    if device.startswith("cuda") and hasattr(pipe.vae, "use_slicing"):
        pipe.vae.enable_slicing()
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.to(device)


def enable_tiling(pipe: Any, model: str) -> None:
    """Have the autoencoder work in overlapping tiles on pictures larger than its own size. model: the model's name.
    Raises UserError if the autoencoder cannot."""
    if not hasattr(pipe.vae, "use_tiling"):  # how diffusers marks an autoencoder that can tile
        problem = f"the autoencoder of model '{model}' ({type(pipe.vae).__name__}) works on whole pictures only"
        raise UserError("vae_tiling", problem, "leave it out")
    pipe.vae.enable_tiling()


def check_quantize(quantize: str, *, quantised: bool) -> None:
    """Raise UserError if the library for `quantize` is missing, and for weights that are `quantised` already."""
    if quantised:
        raise UserError("quantize", f"{quantize}: the model's weights are quantised already (GGUF)", "leave it out")
    if find_spec(NEEDS[quantize]) is None:
        raise UserError("quantize", f"{quantize}: needs {NEEDS[quantize]}", "pip install 'seediff[quantize]'")


def quantise(pipe: Any, family: Family, quantize: Quantize, dtype: Any) -> None:
    """Replace linear layers by quantised ones, in the network and in text encoders except CLIP, which is small. NF4
    layers quantise their weights when they are moved to the device. dtype: torch's number format in which they
    compute."""
    for name, part in pipe.components.items():
        small = name == "vae" or type(part).__name__.startswith("CLIP")
        if part is not None and family.has_weights(name) and not small:
            if quantize == "nf4":
                _to_nf4(part, dtype)
            else:
                ao: Any = import_module("torchao.quantization")
                ao.quantize_(part, ao.Int8WeightOnlyConfig(), partial(_is_replaced, part))


def _is_replaced(part: Any, module: Any, name: str) -> bool:
    """Whether a layer of a part is quantised: it is linear, does not belong to a LoRA, and need not stay in float32.
    name: the layer's name in the part."""
    import torch

    kept = {*(getattr(part, "_keep_in_fp32_modules", None) or ()), "lora_A", "lora_B"}
    return type(module) is torch.nn.Linear and kept.isdisjoint(name.split("."))


def _to_nf4(part: Any, dtype: Any) -> None:
    bits: Any = import_module("bitsandbytes.nn")
    for name, layer in list(part.named_modules()):
        if _is_replaced(part, layer, name):
            sizes, bias = (layer.in_features, layer.out_features), layer.bias is not None
            quantised = bits.Linear4bit(*sizes, bias=bias, compute_dtype=dtype, quant_type="nf4", device="meta")
            quantised.weight = bits.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
            quantised.bias = layer.bias
            part.set_submodule(name, quantised)
