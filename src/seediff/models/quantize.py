"""Quantises weights: linear layers of the network and of text encoders that are language models, in NF4 (bitsandbytes)
or int8 (torchao).

The weights are loaded in full and checked before they are replaced. CLIP and the autoencoder, which are small, stay as
they are.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, get_args

from ..errors import UserError
from .families.base import Family

Quantize = Literal["nf4", "int8"]
NEEDS = {"nf4": "bitsandbytes", "int8": "torchao"}


def check_quantize(quantize: str, *, compile: bool, quantised: bool) -> None:
    """Raise UserError for a word that `Quantize` does not list, for weights that are quantised already, with `compile`,
    and if the library is missing."""
    if quantize not in get_args(Quantize):
        raise UserError("quantize", f"{quantize} must be one of {', '.join(get_args(Quantize))}")
    if quantised:
        raise UserError("quantize", f"{quantize}: the model's weights are quantised already (GGUF)", "leave it out")
    if compile:
        raise UserError("quantize", f"{quantize}: does not work with a compiled network", "leave out one of the two")
    if find_spec(NEEDS[quantize]) is None:
        raise UserError("quantize", f"{quantize}: needs {NEEDS[quantize]}", "pip install 'seediff[quantize]'")


def quantise(pipe: Any, family: Family, quantize: Quantize, dtype: Any) -> None:
    """Replace the linear layers. NF4 layers are quantised when they are moved to their device. dtype: the number format
    in which NF4 layers compute."""
    parts = [
        pipe.components.get(name)
        for name in family.weights
        if name == family.network or name.startswith("text_encoder")
    ]
    for part in parts:
        if part is not None and not type(part).__name__.startswith("CLIP"):
            if quantize == "nf4":
                _to_nf4(part, dtype)
            else:
                _to_int8(part)


def _is_replaced(part: Any, module: Any, name: str) -> bool:
    """Whether a layer is linear, is not part of a LoRA, and need not stay in float32."""
    import torch

    kept = [*(getattr(part, "_keep_in_fp32_modules", None) or ()), "lora_A", "lora_B"]
    return type(module) is torch.nn.Linear and not any(step in kept for step in name.split("."))


def _to_nf4(part: Any, dtype: Any) -> None:
    bits: Any = import_module("bitsandbytes.nn")
    for name, layer in [(name, module) for name, module in part.named_modules() if _is_replaced(part, module, name)]:
        sizes = layer.in_features, layer.out_features
        made = bits.Linear4bit(
            *sizes, bias=layer.bias is not None, compute_dtype=dtype, quant_type="nf4", device="meta"
        )
        made.weight = bits.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
        made.bias = layer.bias
        part.set_submodule(name, made)


def _to_int8(part: Any) -> None:
    ao: Any = import_module("torchao.quantization")
    ao.quantize_(part, ao.Int8WeightOnlyConfig(), filter_fn=lambda module, name: _is_replaced(part, module, name))
