"""Loads a LoRA into a model, from safetensors only, and finds files of weights by their names.

Attention capture reads queries and keys behind the layers that make them, so it sees what a LoRA adds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files.messages import plural
from ..files.tensors import read_header
from .audit import stored_problem
from .families.family import Family
from .hub import cached_file, fetch_file, hub_files, hub_part, path_of
from .weights import all_finite

LORA_FILE = "pytorch_lora_weights.safetensors"
"""The name that diffusers gives a LoRA's file."""
PAIR = re.compile(r"[._]lora[._]?|\.(?:hada|lokr)_")
"""Matches what follows the layer's name in the name of a LoRA matrix, such as `.lora_` in
"unet.mid.to_q.lora_A.weight". It does not match names of alphas, the scales of layers."""
NAME = "seediff"
"""The LoRA's name within the pipeline."""


def load_lora(pipe: Any, family: Family, source: str, scale: float, model: str) -> None:
    """Load a LoRA into a pipeline.

    family: the pipeline's. source: a file, a folder, or a hub id. scale: the factor on the LoRA's weights. model: the
    model's name, for messages. Raises UserError if the file is missing, is no LoRA, or does not fit the model, and if
    peft is missing."""
    # 1. The layers that it changes, by the names of its tensors
    path = weight_file("lora", source)
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
        pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=NAME)
    except Exception as error:  # sizes that do not fit, names that are not there
        raise UserError("lora", f"{misfit}: {first_line(error)}") from error
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


def weight_file(field: str, source: str) -> Path:
    """The path of a safetensors file, after it was fetched from the hub if necessary.

    field: the option that names it, for messages. source: the path of the file or its folder, a hub id, or
    `owner/name/FILE`. Raises UserError."""
    local = local_file(field, source)
    if local is not None:
        return local
    hub_id, name = hub_part(source) or (source, None)
    cached = cached_file(hub_id, name or LORA_FILE)
    return cached or fetch_file(hub_id, name or _only_name(field, hub_id, hub_files(hub_id, field)), field)


def local_file(field: str, source: str) -> Path | None:
    """The path of a safetensors file, if it is not on the hub; None if `source` may be a name on the hub. field,
    source: as in `weight_file`. Raises UserError for a path without such a file."""
    path, part = path_of(source), hub_part(source)
    is_weights = path.suffix == ".safetensors"
    if os.path.isdir(path):
        return path / _only_name(field, source, (file.name for file in path.iterdir()))
    if os.path.exists(path) and is_weights:
        return path
    if os.path.exists(path) or part is None or is_weights != (part[1] is not None):
        raise UserError(field, f"{source}: no such .safetensors file, nor a folder or hub id `owner/name` with one")
    return None


def _only_name(field: str, source: str, names: Iterable[str]) -> str:
    """The name of the file with LoRA weights: diffusers' name for it if `names` has it, else the only .safetensors
    file. field, source: as in `weight_file`. names: the files in the folder or repository. Raises UserError if there is
    no such file, or several."""
    names = [name for name in names if name.endswith(".safetensors")]
    if LORA_FILE in names:
        return LORA_FILE
    if len(names) != 1:
        raise UserError(field, f"{source}: has {plural(len(names), '.safetensors file')}", f"name one, {source}/FILE")
    return names[0]
