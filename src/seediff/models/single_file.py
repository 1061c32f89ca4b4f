"""Single files of weights (Civitai, A1111, ComfyUI): which family they belong to, which parts of a model they hold, and
loading these by diffusers' converters.

Tensors of a single file have the names of the original authors' code; the network's usually begin with
`model.diffusion_model.`. The family is recognised by these names, before anything is fetched. What a file never has
(configurations, tokenizers, the scheduler), and parts that it lacks, come from its *base*: a model in diffusers'
format. Tensors whose names or shapes are not those of the base's configuration are refused: libraries would fill what
is missing with random numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..errors import UserError, first_line
from ..files.tensors import Tensor, read_gguf_header, read_header
from .families.family import Family
from .trust import OWN_ATTENTION

NETWORK = "model.diffusion_model."
NETWORKS = ("transformer", "unet")
QUANTISED = re.compile(
    r"(scaled_fp8|\.(scale_weight|weight_scale|scale_input|input_scale|comfy_quant|absmax|quant_map))$"
)
"""Matches names of tensors by which others must be multiplied, which no converter of diffusers does."""

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of the network's tensors, by their names without `Checkpoint.prefix`."""


@dataclass(frozen=True)
class Layout:
    """How the single files of one pipeline class are recognised. marks: names of the network's tensors that only these
    files have. bases: shapes → short names of the models from which such a file may have been made. beside: other parts
    that the files may hold → the possible prefixes of their tensors' names."""

    pipeline: str
    marks: tuple[str, ...]
    bases: Callable[[Shapes], tuple[str, ...]]
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def _stable_diffusion(shapes: Shapes) -> tuple[str, ...]:
    second = any(name.endswith("attn2.to_k.weight") and shape[-1:] == (1024,) for name, shape in shapes.items())
    return ("sd2.1", "sd2.1-base") if second else ("sd1.5",)


def _sd3(shapes: Shapes) -> tuple[str, ...]:
    if "joint_blocks.37.x_block.attn.qkv.weight" in shapes:
        return ("sd3.5-large",)
    return ("sd3.5-medium",) if "joint_blocks.0.x_block.attn2.qkv.weight" in shapes else ("sd3",)


def _klein(shapes: Shapes) -> tuple[str, ...]:
    """By the network's width. The distilled models have the shapes of the models that they were made from."""
    width = next(iter(shapes.get("img_in.weight", ())), 0)
    sizes = {3072: ("4b",), 4096: ("9b",)}.get(width, ("4b", "9b"))
    return tuple(f"{name}-{size}" for size, name in product(sizes, ("klein", "klein-base")))


VAE = {"vae": ("first_stage_model.", "vae.")}
T5 = "text_encoders.t5xxl.transformer."
CLIP_L, CLIP_G = "text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer."
FLUX2 = "double_stream_modulation_img.lin.weight"
LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "StableDiffusionXLPipeline",
        ("input_blocks.0.0.weight", "label_emb.0.0.weight"),
        lambda _: ("sdxl",),
        {
            **VAE,
            "text_encoder": ("conditioner.embedders.0.transformer.",),
            "text_encoder_2": ("conditioner.embedders.1.model.",),
        },
    ),
    Layout(
        "StableDiffusionPipeline",
        ("input_blocks.0.0.weight", "output_blocks.0.0.in_layers.0.weight"),
        _stable_diffusion,
        {**VAE, "text_encoder": ("cond_stage_model.transformer.", "cond_stage_model.model.")},
    ),
    Layout(
        "StableDiffusion3Pipeline",
        ("joint_blocks.0.x_block.attn.qkv.weight",),
        _sd3,
        {**VAE, "text_encoder": (CLIP_L,), "text_encoder_2": (CLIP_G,), "text_encoder_3": (T5,)},
    ),
    Layout("Flux2Pipeline", (FLUX2, "guidance_in.in_layer.weight"), lambda _: ("flux2-dev",)),
    Layout("Flux2KleinPipeline", (FLUX2,), _klein),
    Layout(
        "ChromaPipeline",
        ("distilled_guidance_layer.in_proj.weight",),
        lambda _: ("chroma",),
        {**VAE, "text_encoder": (T5,)},
    ),
    Layout(
        "FluxPipeline",
        ("double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight"),
        lambda shapes: ("flux-dev",) if "guidance_in.in_layer.weight" in shapes else ("flux-schnell",),
        {**VAE, "text_encoder": (CLIP_L,), "text_encoder_2": (T5,)},
    ),
    Layout(
        "ZImagePipeline",
        ("layers.0.adaLN_modulation.0.weight", "cap_pad_token"),
        lambda _: ("z-image-turbo", "z-image"),
        VAE,
    ),
    Layout(
        "QwenImagePipeline", ("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight"), lambda _: ("qwen-image",)
    ),
    Layout(
        "SanaPipeline",
        ("blocks.0.cross_attn.q_linear.weight", "blocks.0.mlp.inverted_conv.conv.weight"),
        lambda _: ("sana",),
    ),
)
"""The first layout whose marks are all present is used."""


@dataclass(frozen=True)
class Checkpoint:
    """A single file. tensors: by name, as in the header. prefix: of the names of the network's tensors. layout: None if
    it is unknown, perhaps because the tensors have diffusers' names."""

    path: Path
    tensors: Mapping[str, Tensor]
    prefix: str
    layout: Layout | None

    @property
    def is_gguf(self) -> bool:
        return self.path.suffix == ".gguf"

    def base(self) -> str:
        """The short name of the model that the weights were made from. Raises UserError if the tensors do not tell."""
        if self.layout is None:
            problem = f"{self.path}: no known model has tensors with these names"
            fix = "give its base; a LoRA is for lora"
            raise UserError("model", problem, fix)
        names = self.layout.bases(_network(self.tensors, self.prefix))
        if len(names) != 1 or "edm_mean" in self.tensors:  # of Playground 2.5, which has noise levels of its own
            raise UserError("model", f"{self.path}: may be made from {' or '.join(names)}, or another", "give its base")
        return names[0]

    def parts(self, family: Family, listed: Container[str] = ()) -> dict[str, str]:
        """The parts of a pipeline of this family that the file holds → the prefixes of their tensors' names. listed:
        the parts that the base lists; a part that a pipeline may lack counts only if it is among them."""
        beside = self.layout.beside if self.layout and self.prefix else {}
        places = {family.network: (self.prefix,), **beside}
        found: dict[str, str] = {}
        for part in family.weights:
            held = [prefix for prefix in places.get(part, ()) if any(name.startswith(prefix) for name in self.tensors)]
            if held and (part not in family.optional or part in listed):
                found[part] = held[0]
        return found


def read_checkpoint(path: Path) -> Checkpoint:
    """The `Checkpoint` of a single file, from its header. Raises UserError if it cannot be read or has no tensors."""
    if path.suffix == ".gguf":
        for package in ("gguf", "accelerate"):
            if find_spec(package) is None:
                raise UserError("model", f"{path}: needs {package}", "pip install 'seediff[gguf]'")
    tensors = read_gguf_header(path) if path.suffix == ".gguf" else read_header(path).tensors
    if not tensors:
        raise UserError("model", f"{path}: has no tensors", "download that file again")
    scaled = next(filter(QUANTISED.search, tensors), None)
    if scaled is not None:
        problem = f"{path}: has an unsupported quantisation ({scaled[:80]})"
        raise UserError("model", problem, "take the file in float16, bfloat16 or plain float8, or a .gguf")
    prefix = NETWORK if any(name.startswith(NETWORK) for name in tensors) else ""
    network = _network(tensors, prefix)
    layout = next((layout for layout in LAYOUTS if all(mark in network for mark in layout.marks)), None)
    return Checkpoint(path, tensors, prefix, layout)


def _network(tensors: Mapping[str, Tensor], prefix: str) -> Shapes:
    return {name.removeprefix(prefix): of.shape for name, of in tensors.items() if name.startswith(prefix)}


def load_parts(
    checkpoint: Checkpoint, family: Family, folder: Path, index: Mapping[str, Any], dtype: Any
) -> dict[str, Any]:
    """Part → the loaded module, for all parts that the file holds and the base lists. folder, index: the base's, and
    its model_index.json. Raises UserError for tensors that are missing, have other shapes, or are not the base's.
    """
    import diffusers
    import transformers
    from diffusers.models.model_loading_utils import load_gguf_checkpoint

    gguf = checkpoint.is_gguf
    held = load_gguf_checkpoint(str(checkpoint.path)) if gguf else read_header(checkpoint.path).load("pt")
    parts = {}
    for part, prefix in checkpoint.parts(family, index).items():
        library, name = index[part]
        tensors = {name.removeprefix(prefix): tensor for name, tensor in held.items() if name.startswith(prefix)}
        try:
            if library == "transformers":
                parts[part] = _text_encoder(getattr(transformers, name), tensors, prefix, folder, part, dtype)
            else:
                parts[part] = _diffusers_part(getattr(diffusers, name), tensors, gguf, folder / part, dtype)
        except Exception as error:  # unexpected shapes or names may raise anything
            problem = f"{checkpoint.path}: its {part} cannot be read ({first_line(error)})"
            fix = "download that file again, or give the model that it was made from as its base"
            raise UserError("model", problem, fix) from error
    return parts


def _diffusers_part(kind: Any, tensors: dict[str, Any], gguf: bool, folder: Path, dtype: Any) -> Any:
    """The loaded network or autoencoder. folder: with its configuration."""
    import torch
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    config = kind.load_config(str(folder), local_files_only=True)
    with torch.device("meta"):
        empty = kind.from_config(config)
    wanted = empty.state_dict().keys()
    if not wanted <= tensors.keys():  # not diffusers' names
        start = NETWORK if kind.__name__ == "UNet2DConditionModel" else ""  # its converter expects the prefix
        convert = SINGLE_FILE_LOADABLE_CLASSES[kind.__name__]["checkpoint_mapping_fn"]
        tensors = convert(checkpoint={start + name: tensor for name, tensor in tensors.items()}, config=config)
    _check_names(wanted - tensors.keys(), "are missing")
    if folder.name in NETWORKS:  # autoencoders have further tensors, of their training
        _check_names(tensors.keys() - wanted, "do not fit its base")
    tensors = {name: tensors[name] for name in tensors if name in wanted}
    more = {}
    if gguf:
        from diffusers import GGUFQuantizationConfig
        from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

        linear = {f"{layer}.weight" for layer, module in empty.named_modules() if isinstance(module, torch.nn.Linear)}
        tensors = {name: of if name in linear else dequantize_gguf_tensor(of) for name, of in tensors.items()}
        more = {"quantization_config": GGUFQuantizationConfig(compute_dtype=dtype)}
    return kind.from_single_file(tensors, config=str(folder), local_files_only=True, dtype=dtype, **more)


def _text_encoder(kind: Any, tensors: dict[str, Any], prefix: str, folder: Path, part: str, dtype: Any) -> Any:
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
