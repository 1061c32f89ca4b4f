"""Reads the headers of single files of weights (Civitai, A1111, ComfyUI): which family they belong to, and which parts
of a model they hold.

Tensors of a single file have the names of the original authors' code; the network's usually begin with
`model.diffusion_model.`. The family is recognised by these names, before anything is fetched. What a file never has
(configurations, tokenizers, the scheduler), and parts that it lacks, come from its *base*: a model in diffusers'
format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from ..errors import UserError
from ..files.tensors import Tensor, read_gguf_header, read_header
from .families.base import Family

NETWORK = "model.diffusion_model."
NETWORKS = ("transformer", "unet")
QUANTISED = re.compile(
    r"(scaled_fp8|\.(scale_weight|weight_scale|scale_input|input_scale|comfy_quant|absmax|quant_map))$"
)
"""Matches names of tensors that other tensors of the file must be multiplied by, which no converter of diffusers
does.
"""

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of the network's tensors, by their names without `Checkpoint.prefix`."""


@dataclass(frozen=True)
class Layout:
    """How the single files of one architecture are recognised and read.

    pipeline: diffusers' class. marks: names of the network's tensors that only these files have. bases: shapes → short
    names of the models from which such a file may have been made; more than one if the shapes do not tell. beside:
    other parts that the files may hold → the possible prefixes of their tensors' names.
    """

    pipeline: str
    marks: tuple[str, ...]
    bases: Callable[[Shapes], tuple[str, ...]]
    beside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def _stable_diffusion(shapes: Shapes) -> tuple[str, ...]:
    second = any(name.endswith("attn2.to_k.weight") and shape[-1] == 1024 for name, shape in shapes.items())
    return ("sd2.1", "sd2.1-base") if second else ("sd1.5",)


def _sd3(shapes: Shapes) -> tuple[str, ...]:
    if "joint_blocks.37.x_block.attn.qkv.weight" in shapes:
        return ("sd3.5-large",)
    return ("sd3.5-medium",) if "joint_blocks.0.x_block.attn2.qkv.weight" in shapes else ("sd3",)


def _klein(shapes: Shapes) -> tuple[str, ...]:
    """By the network's width. The distilled models have the shapes of the models that they were made from."""
    width = next(iter(shapes.get("img_in.weight", ())), 0)
    sizes = {3072: ("4b",), 4096: ("9b",)}.get(width, ("4b", "9b"))
    return tuple(f"{name}-{size}" for size in sizes for name in ("klein", "klein-base"))


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
    """A single file.

    tensors: by name, as in the header. prefix: of the names of the network's tensors. layout: None if it is unknown,
    perhaps because the tensors have diffusers' names.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    prefix: str = ""
    layout: Layout | None = None

    @property
    def is_gguf(self) -> bool:
        return self.path.suffix == ".gguf"

    def base(self) -> str:
        """The short name of the model that the weights were made from. Raises UserError if the tensors do not tell."""
        if self.layout is None:
            problem = f"{self.path}: no model that is known has tensors of these names"
            fix = "give its base; a LoRA is for lora, a textual inversion for embedding"
            raise UserError("model", problem, fix)
        names = self.layout.bases(_network(self.tensors, self.prefix))
        if len(names) != 1 or "edm_mean" in self.tensors:  # of Playground 2.5, which has noise levels of its own
            raise UserError("model", f"{self.path}: may be made from {' or '.join(names)}, or another", "give its base")
        return names[0]

    def parts(self, family: Family, listed: Container[str] = ()) -> dict[str, str]:
        """The parts of a pipeline of this family that the file holds → the prefixes of their tensors' names. listed:
        the parts that the base lists; a part that a pipeline may lack counts only if it is among them."""
        beside = self.layout.beside if self.layout is not None and self.prefix else {}
        places = {family.network: (self.prefix,), **beside}
        found = {
            part: next((p for p in prefixes if any(n.startswith(p) for n in self.tensors)), None)
            for part, prefixes in places.items()
        }
        wanted = [part for part in family.weights if part not in family.optional or part in listed]
        return {part: prefix for part in wanted if (prefix := found.get(part)) is not None}


def read_checkpoint(path: Path) -> Checkpoint:
    """The `Checkpoint` of a single file, from its header. Raises UserError if the file cannot be read as safetensors or
    GGUF, or is quantised in an unsupported way."""
    if path.suffix == ".gguf":
        for package in ("gguf", "accelerate"):
            if find_spec(package) is None:
                raise UserError("model", f"{path}: needs {package}", "pip install 'seediff[gguf]'")
    tensors = read_gguf_header(path) if path.suffix == ".gguf" else read_header(path).tensors
    prefix = NETWORK if any(name.startswith(NETWORK) for name in tensors) else ""
    network = _network(tensors, prefix)
    layout = next((layout for layout in LAYOUTS if all(mark in network for mark in layout.marks)), None)
    if scaled := next(filter(QUANTISED.search, tensors), None):
        problem = f"{path}: is quantised in a way that is not read here ({scaled[:80]})"
        raise UserError("model", problem, "take the file in float16, bfloat16 or plain float8, or a .gguf")
    return Checkpoint(path, tensors, prefix, layout)


def _network(tensors: Mapping[str, Tensor], prefix: str) -> Shapes:
    return {name.removeprefix(prefix): of.shape for name, of in tensors.items() if name.startswith(prefix)}
