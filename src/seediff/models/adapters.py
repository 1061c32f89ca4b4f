"""Loads a LoRA into a model, from safetensors only.

Attention capture reads queries and keys behind the layers that make them, so it sees what a LoRA adds.
"""

from __future__ import annotations

from typing import Any

from ..errors import UserError, first_line
from .families.family import Family
from .locate import locate_weights
from .no_code import heard

NAME = "seediff"
"""The LoRA's name within the pipeline."""
UNCHANGED = "No LoRA keys associated to"
"""With this, diffusers begins what it says about a part that a LoRA does not change. All else that it or transformers
says is about tensors that are left out, or missing."""


def load_lora(pipe: Any, family: Family, source: str, scale: float) -> None:
    """Load a LoRA into a pipeline.

    family: the pipeline's. source: a file, a folder, or a hub id. scale: the factor on the LoRA's weights. Raises
    UserError if the file is missing, if a part of it does not fit the model, and if peft is missing."""
    path = locate_weights("lora", source)
    try:
        with heard() as said:
            pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=NAME)
            pipe.set_adapters([NAME], adapter_weights=[scale])
    except Exception as error:  # sizes that do not fit, no layer of the model, no peft
        said = [first_line(error)]
    told = " ".join(" ".join(text.split()) for text in said if not text.startswith(UNCHANGED))
    if told:
        problem = f"{source}: does not fit {family.title}, or is no LoRA ({told[:200]})"
        raise UserError("lora", problem, "use a plain LoRA of this model; it needs `pip install 'seediff[lora]'`")
    # The LoRA may be in another number format. Other weights stay: some are in float32 on purpose.
    for part in filter(family.has_weights, pipe.components):
        for name, weight in getattr(pipe, part).named_parameters() if getattr(pipe, part) is not None else ():
            if "lora_" in name:
                weight.data = weight.data.to(getattr(pipe, part).dtype)
