"""Loads the parts of a model that a `Checkpoint` holds, by diffusers' converters.

A file whose tensors do not have the names and shapes that the base's configuration describes is refused: libraries
would fill what is missing with random numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..errors import UserError, first_line
from ..files.tensors import read_header
from .checkpoint import CLIP_L, NETWORK, NETWORKS, Checkpoint
from .families.base import Family
from .trust import OWN_ATTENTION

Tensors = dict[str, Any]


def load_parts(
    checkpoint: Checkpoint, family: Family, folder: Path, index: Mapping[str, Any], dtype: Any
) -> dict[str, Any]:
    """Part → the loaded module, for all parts that the file holds and the base lists. folder: the base's, with its
    configurations. index: the base's model_index.json.

    Raises UserError for tensors that are missing, do not belong to the base, or have other shapes.
    """
    import diffusers
    import transformers

    places = checkpoint.parts(family, index)
    held = _read(checkpoint)
    parts = {}
    for part, prefix in places.items():
        library, name = index[part]
        tensors = {name.removeprefix(prefix): tensor for name, tensor in held.items() if name.startswith(prefix)}
        try:
            if library == "transformers":
                parts[part] = _text_encoder(getattr(transformers, name), tensors, prefix, folder, part, dtype)
            else:
                parts[part] = _diffusers_part(getattr(diffusers, name), tensors, checkpoint, folder, part, dtype)
        except UserError:
            raise
        except Exception as error:  # unexpected shapes or names may raise anything
            problem = f"{checkpoint.path}: its {part} cannot be read ({first_line(error)[:300]})"
            fix = "get that file again, or give the model that it was made from as its base"
            raise UserError("model", problem, fix) from error
    return parts


def _read(checkpoint: Checkpoint) -> Tensors:
    if checkpoint.is_gguf:
        from diffusers.models.model_loading_utils import load_gguf_checkpoint

        return load_gguf_checkpoint(str(checkpoint.path))
    return read_header(checkpoint.path).load("pt")


def _diffusers_part(kind: Any, tensors: Tensors, checkpoint: Checkpoint, folder: Path, part: str, dtype: Any) -> Any:
    """The loaded network or autoencoder."""
    import torch
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    # 1. The configuration, and the tensors that it describes
    place = str(folder / part)
    config = kind.load_config(place, local_files_only=True)
    with torch.device("meta"):
        empty = kind.from_config(config)
    wanted = empty.state_dict()

    # 2. The file's tensors, under diffusers' names
    if not wanted.keys() <= tensors.keys():
        start = NETWORK if kind.__name__ == "UNet2DConditionModel" else ""  # its converter expects the prefix
        convert = SINGLE_FILE_LOADABLE_CLASSES[kind.__name__]["checkpoint_mapping_fn"]
        tensors = convert(checkpoint={start + name: tensor for name, tensor in tensors.items()}, config=config)
    _check_names(wanted.keys() - tensors.keys(), "are missing")
    if part in NETWORKS:  # autoencoders have further tensors, of their training
        _check_names(tensors.keys() - wanted.keys(), "have no place in its base")
    tensors = {name: tensor for name, tensor in tensors.items() if name in wanted}

    # 3. The module
    more = {}
    if checkpoint.is_gguf:
        from diffusers import GGUFQuantizationConfig
        from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

        linear = {f"{layer}.weight" for layer, module in empty.named_modules() if isinstance(module, torch.nn.Linear)}
        tensors = {name: of if name in linear else dequantize_gguf_tensor(of) for name, of in tensors.items()}
        more = {"quantization_config": GGUFQuantizationConfig(compute_dtype=dtype)}
    return kind.from_single_file(tensors, config=place, local_files_only=True, dtype=dtype, **more)


def _text_encoder(kind: Any, tensors: Tensors, prefix: str, folder: Path, part: str, dtype: Any) -> Any:
    """The loaded text encoder: CLIP under transformers' or OpenCLIP's names, or T5."""
    import torch
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    config = kind.config_class.from_pretrained(str(folder), subfolder=part, local_files_only=True)
    projection = "text_projection.weight"
    if prefix.endswith(".model."):  # OpenCLIP's names
        named = {prefix + name: tensor for name, tensor in tensors.items()}
        tensors = convert_open_clip_checkpoint(SimpleNamespace(config=config), named, prefix)
    elif prefix == CLIP_L and kind.__name__.endswith("WithProjection") and projection not in tensors:
        like = tensors["text_model.final_layer_norm.weight"]
        tensors[projection] = torch.eye(len(like), dtype=like.dtype)  # what SD 3's files omit is the identity
    loading: dict[str, Any] = {"config": config, "dtype": dtype, "output_loading_info": True, **OWN_ATTENTION}
    loaded, info = kind.from_pretrained(None, state_dict=tensors, **loading)
    _check_names({name for name in info["missing_keys"] if not name.endswith("position_ids")}, "are missing")
    return loaded


def _check_names(names: Collection[str], what: str) -> None:
    if names:
        raise ValueError(f"{len(names)} tensors {what}, the first {min(names)[:80]}")
