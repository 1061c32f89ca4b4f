"""Loads a LoRA into a model, from safetensors only.

Attention capture reads queries and keys behind the layers that make them, so it sees what a LoRA adds.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from itertools import chain
from typing import Any

from ..errors import UserError, first_line
from ..files.tensors import read_header
from .audit import all_finite, stored_problem
from .families.family import Family
from .locate import locate_weights
from .no_code import heard

PAIR = re.compile(r"[._]lora[._]?|\.(?:hada|lokr)_")
"""Matches what follows the layer's name in the name of a LoRA matrix, such as `.lora_` in
"unet.mid.to_q.lora_A.weight". It does not match names of alphas, the scales of layers."""
NAME = "seediff"
"""The LoRA's name within the pipeline."""
UNCHANGED = "No LoRA keys associated to"
"""With this, diffusers begins what it says about a part that a LoRA does not change. All else that it or transformers
says is about tensors that are left out, or missing."""


def load_lora(pipe: Any, family: Family, source: str, scale: float, model: str) -> None:
    """Load a LoRA into a pipeline.

    family: the pipeline's. source: a file, a folder, or a hub id. scale: the factor on the LoRA's weights. model: the
    model's name, for messages. Raises UserError if the file is missing, is no LoRA, or does not fit the model, and if
    peft is missing."""
    # 1. The layers that it changes, by the names of its tensors
    path = locate_weights("lora", source)
    headers = read_header(path).tensors
    matches = filter(None, map(PAIR.search, headers))
    wanted = {match.string[: match.start()] for match in matches}
    if not wanted:
        raise UserError("lora", f"{source}: is not a LoRA: no tensor has a LoRA's name")
    problem = stored_problem(headers)
    if problem:
        raise UserError("lora", f"{source}: {problem}", "take the LoRA in float32, float16 or bfloat16")
    if find_spec("peft") is None:
        raise UserError("lora", f"{source}: needs peft", "pip install 'seediff[lora]'")
    from peft.tuners.tuners_utils import BaseTunerLayer

    # 2. The LoRA in the pipeline, in all of these layers
    misfit = f"{source}: does not fit {family.title} ({model})"
    try:
        with heard() as said:
            pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=NAME)
    except Exception as error:  # sizes that do not fit, names that are not there
        raise UserError("lora", f"{misfit}: {first_line(error)}") from error
    for text in said:
        if not text.startswith(UNCHANGED):
            told = " ".join(re.sub(r"\x1b\[\d*m", "", text).split())  # in colours, on several lines
            raise UserError("lora", f"{misfit}: a part of it would be left out ({told[:150]})", "use a plain LoRA")
    parts = [part for name, part in pipe.components.items() if part is not None and family.has_weights(name)]
    modules = chain.from_iterable(part.modules() for part in parts)
    lacking = len(wanted) - sum(isinstance(module, BaseTunerLayer) for module in modules)
    if lacking > 0:
        raise UserError("lora", f"{misfit}: the model lacks {lacking} of the {len(wanted)} layers that it changes")
    # 3. Its scale, and its numbers
    pipe.set_adapters([NAME], adapter_weights=[scale])
    for part in parts:
        for name, weight in part.named_parameters():
            if "lora_" in name:
                if not all_finite(weight):
                    problem = f"{source}: tensor {name[:80]} holds values that are not finite"
                    raise UserError("lora", problem, "the file is damaged")
                # The LoRA may be in another number format. Other weights stay: some are in float32 on purpose.
                weight.data = weight.data.to(part.dtype)
