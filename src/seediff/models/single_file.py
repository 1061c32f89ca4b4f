"""Loads the parts of a model that a `Checkpoint` holds, by diffusers' converters.

The header is checked first: a file whose tensors do not have the names and shapes that the base's configuration
describes is refused before any of its values are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files.messages import shown
from ..files.tensors import read_header
from .checkpoint import CLIP_L, NETWORK, Checkpoint
from .families.base import Family
from .trust import OWN_ATTENTION, check_parts
from .weights import newer

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

    parts = {}
    for part, prefix in checkpoint.parts(family, index).items():
        library, name = index[part]
        kind = getattr(transformers if library == "transformers" else diffusers, name)
        load = _text_encoder if library == "transformers" else _diffusers_part
        parts[part] = load(_Part(checkpoint, part, prefix, part == family.network), kind, folder, dtype)
    return parts


class _Part:
    """The tensors of one part of a file, whose names begin with `prefix`."""

    def __init__(self, checkpoint: Checkpoint, part: str, prefix: str, is_network: bool) -> None:
        self.path, self.part, self.prefix, self.is_network = checkpoint.path, part, prefix, is_network
        self.files, self.own_config, self.is_gguf = checkpoint.files, checkpoint.config, checkpoint.is_gguf
        self.shapes = {name: of.shape for name, of in checkpoint.tensors.items() if name.startswith(prefix)}

    def tensors(self) -> Tensors:
        if self.is_gguf:
            from diffusers.models.model_loading_utils import load_gguf_checkpoint

            read = load_gguf_checkpoint(str(self.path))
            return {name.removeprefix(self.prefix): tensor for name, tensor in read.items() if name in self.shapes}
        headers = map(read_header, self.files)
        loaded = [header.load("pt", [name for name in self.shapes if name in header.tensors]) for header in headers]
        return {name.removeprefix(self.prefix): tensor for tensors in loaded for name, tensor in tensors.items()}

    def empty(self) -> Tensors:
        """`tensors` without values, on the meta device."""
        import torch

        return {
            name.removeprefix(self.prefix): torch.empty(shape, device="meta") for name, shape in self.shapes.items()
        }

    def check(self, there: Tensors, wanted: Tensors) -> None:
        """Raise UserError unless the tensors have the names and shapes that a configuration wants. Only the network
        must have no further tensors."""
        there, wanted = ({newer(name): tensor for name, tensor in of.items()} for of in (there, wanted))
        missing = sorted(name for name in wanted if name not in there and not name.endswith("position_ids"))
        if missing:
            raise self.error(
                f"{len(missing)} of {len(wanted)} tensors of its {self.part} are not there, the first {missing[0]}"
            )
        for name, tensor in wanted.items():
            if name in there and there[name].shape != tensor.shape:
                found, shape = tuple(there[name].shape), tuple(tensor.shape)
                raise self.error(f"{name} of its {self.part} has the shape {found}, but {shape} in its base")
        more = sorted(there.keys() - wanted.keys())
        if more and self.is_network:
            raise self.error(
                f"{len(more)} tensors of its {self.part} have no place in its base, the first {more[0][:80]}"
            )

    def error(self, what: str) -> UserError:
        return UserError(
            f"model {self.path}: {what}; get that file again, or name the model that it was made from with --base"
        )


def _diffusers_part(of: _Part, kind: Any, folder: Path, dtype: Any) -> Any:
    """The loaded network or autoencoder."""
    import torch

    place = folder / of.part
    if of.own_config:
        place = of.own_config.parent
        check_parts(place.parent, [place.name])
    config = kind.load_config(str(place), local_files_only=True)
    if of.own_config and config.get("_class_name") != kind.__name__:
        raise UserError(
            f"{of.own_config}: is of a {shown(config.get('_class_name'))}, but its base has a {kind.__name__}; name"
            " another --base"
        )
    with torch.device("meta"):
        empty = kind.from_config(config)
    wanted = empty.state_dict()
    try:
        renamed = _convert(of.empty(), kind, config, wanted)
    except KeyError as error:
        raise of.error(f"tensor {str(error)[:80]} of its {of.part} is not there") from error
    except Exception as error:  # unexpected shapes or names may raise anything
        raise of.error(f"its {of.part} cannot be read ({first_line(error)[:200]})") from error
    of.check(renamed, wanted)
    tensors = _convert(of.tensors(), kind, config, wanted)
    held = {name: tensor for name, tensor in tensors.items() if name in wanted}
    more = {}
    if of.is_gguf:
        from diffusers import GGUFQuantizationConfig
        from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

        linear = {f"{layer}.weight" for layer, module in empty.named_modules() if isinstance(module, torch.nn.Linear)}
        held = {name: tensor if name in linear else dequantize_gguf_tensor(tensor) for name, tensor in held.items()}
        more = {"quantization_config": GGUFQuantizationConfig(compute_dtype=dtype)}
    return kind.from_single_file(held, config=str(place), local_files_only=True, dtype=dtype, **more)


def _convert(tensors: Tensors, kind: Any, config: Mapping[str, Any], wanted: Tensors) -> Tensors:
    """The tensors under diffusers' names; unchanged if they have these already."""
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    if wanted.keys() <= tensors.keys():
        return tensors
    convert = SINGLE_FILE_LOADABLE_CLASSES[kind.__name__]["checkpoint_mapping_fn"]
    prefix = NETWORK if kind.__name__ == "UNet2DConditionModel" else ""  # its converter expects the prefix
    return convert(checkpoint={prefix + name: tensor for name, tensor in tensors.items()}, config=config)


def _text_encoder(of: _Part, kind: Any, folder: Path, dtype: Any) -> Any:
    """The loaded text encoder: CLIP under transformers' or OpenCLIP's names, or T5."""
    import torch

    config = kind.config_class.from_pretrained(str(folder), subfolder=of.part, local_files_only=True)
    with torch.device("meta"):
        empty = kind(config)
    of.check(_rename_text(of.empty(), empty, of.prefix), dict(empty.named_parameters()))  # lists tied tensors once
    tensors = _rename_text(of.tensors(), empty, of.prefix)
    return kind.from_pretrained(None, config=config, state_dict=tensors, dtype=dtype, **OWN_ATTENTION)


def _rename_text(tensors: Tensors, model: Any, prefix: str) -> Tensors:
    import torch
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    if prefix.endswith(".model."):  # OpenCLIP's names
        return convert_open_clip_checkpoint(model, {prefix + name: tensor for name, tensor in tensors.items()}, prefix)
    projection = "text_projection.weight"
    if (
        prefix == CLIP_L and projection in model.state_dict() and projection not in tensors
    ):  # SD 3 files omit it: it is the identity
        like = tensors["text_model.final_layer_norm.weight"]
        tensors[projection] = torch.eye(len(like), dtype=like.dtype, device=like.device)
    return tensors
