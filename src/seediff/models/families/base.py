"""`Family`: what the package must know of one architecture (Stable Diffusion, FLUX, …) to draw with it and to capture its attention.

Each family is one file beside this one. Nothing that reads attention maps depends on which it was.

Shape letters: B images, H heads, L height and width of the lattice that the network works on, N its positions, T text columns, D channels
a head.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...errors import UserError
from ..groups import Layers, block_count, block_numbers

if TYPE_CHECKING:
    import torch

LayerKind = Literal["self", "cross", "joint"]

CLIP_TOKENS = 77

CLIP = ("CLIPTextModel",)
CLIP_PROJECTED = ("CLIPTextModelWithProjection",)
T5 = ("T5EncoderModel",)
CLIP_TOKENIZER = ("CLIPTokenizer", "CLIPTokenizerFast")
T5_TOKENIZER = ("T5Tokenizer", "T5TokenizerFast")
QWEN_TOKENIZER = ("Qwen2Tokenizer", "Qwen2TokenizerFast")
"""Classes of transformers, as model_index.json names them."""

SCHEDULERS = (
    "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler", "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler", "EDMDPMSolverMultistepScheduler", "EDMEulerScheduler", "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler",
    "HeunDiscreteScheduler", "IPNDMScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler",
    "LMSDiscreteScheduler", "PNDMScheduler", "SASolverScheduler", "TCDScheduler", "UniPCMultistepScheduler",
)  # fmt: skip
"""Classes of diffusers that any model may have."""

QUICK = re.compile(r"turbo|lightning|schnell|hyper-?sd", re.IGNORECASE)
"""What models are called that were distilled to draw in a few steps, without guidance."""

Condition = Mapping[str, Any]
"""What a network is told of a batch of prompts: tensors by name, each with the batch as its first dimension."""


@dataclass(frozen=True)
class Projections:
    """A layer of self- or of cross-attention. kind: whether the keys are picture or text. query, key: the submodules whose outputs are
    the queries (B, N, H·D) and the keys (B, N or T, H·D) as they enter the product."""

    kind: Literal["self", "cross"]
    query: str = "to_q"
    key: str = "to_k"


@dataclass(frozen=True)
class Joint:
    """A layer in which picture and text attend to each other in one softmax.

    queries, keys: submodules whose outputs are the queries and keys, behind one another as they are in the product. An output is
        (B, S, H·D), or has the heads as a dimension of its own, `heads_dim`: 1 is (B, H, S, D), 2 is (B, S, H, D). heads: H.
    picture_first: whether the picture's N rows and columns come before the text's; else they come last. behind_text: each image's picture
        comes right behind its own text, and what fills shorter texts comes last; they are put in the order picture, text, padding.
    multiple: the picture is filled up with padding to a multiple of so many rows, which are neither picture nor text.
    rotate: (B, S, H, D), what the layer was given as `rotary` → the same, turned; None: nothing is turned.
    rotary, mask: names of the layer's arguments. each_rotary: whether images have their own, as its first dimension. The mask is (B, S), or
    (B, T) of the text's columns alone, or (B, 1, S, S), where all rows of the picture are alike: False where a column is padding; or
    numbers that are added to the scores.
    """

    queries: tuple[str, ...]
    keys: tuple[str, ...]
    heads: int = 0
    heads_dim: Literal[1, 2] = 2
    picture_first: bool = True
    behind_text: bool = False
    multiple: int = 1
    rotate: Callable[[Any, Any], Any] | None = None
    rotary: str = ""
    each_rotary: bool = False
    mask: str = ""

    def parts(self, columns: int, positions: int) -> tuple[slice, slice]:
        """Where the picture (N = positions) and the text are among all columns."""
        if self.picture_first:
            return slice(0, positions), slice(-(-positions // self.multiple) * self.multiple, columns)
        return slice(columns - positions, columns), slice(0, columns - positions)


Layer = Projections | Joint


@dataclass(frozen=True)
class Reader:
    """One of a model's tokenizers, and where its tokens are among the T text columns.

    name: of the pipeline's part. limit: the most tokens that are read, special ones included. first: the column of its first token; None:
    its tokens are no columns. end: the column behind its last token, where padding comes before the text; None: `first` says where it is.
    wrap: prompt → (the text that is read, where the prompt begins in it); None: the prompt itself. adds_tokens: whether the tokenizer
    adds those for start and end; False: they are in the text. convert: prompt → the same as it is read: in small letters, or with every
    token of a textual inversion written out, one for each of its vectors; None: as it is.
    """

    name: str
    tokenizer: Any
    limit: int
    first: int | None = 0
    end: int | None = None
    wrap: Callable[[str], tuple[str, int]] | None = None
    adds_tokens: bool = True
    convert: Callable[[str], str] | None = None


@dataclass(frozen=True)
class Drawing:
    """What a pipeline is to draw: one image a prompt, all of `height` × `width` pixels."""

    prompts: Sequence[str]
    negative_prompt: str
    height: int
    width: int
    steps: int
    guidance_scale: float
    generators: Sequence[torch.Generator]


@dataclass(frozen=True)
class Family:
    """One family. What is written here fits a pipeline with a UNet's arguments; a family overrides what is different in it.

    title: what people call it. pipelines: diffusers' classes. network, class_name: the part that has the attention, and its class.
    weights: the parts that have weights. optional: those, and tokenizers, that a pipeline may lack. captured, guidance: for people. steps,
    guidance_scale: its authors' own; None: the package's. quick_steps: of its models that are distilled to a few steps without guidance.
    conditional: of the two predictions under guidance, where the one with the prompt is: in a half of the batch, or in the first of two
    calls. distilled: whether the network is told the guidance instead of predicting twice. loads_loras: whether diffusers loads a LoRA
    into it. depth: names in config.json that say how many blocks there are, in their order → the kinds of attention in each of those.
    streams: names of the network's lists of blocks → the joint attention of each, whose heads are the module's own.
    text_columns: the most that its pipelines give the network. patch: latents a side of a position, where the network's configuration has
    no `patch_size`. latent_side: of the pipeline's own size, where the configuration says none. fitted: whether levels of
    attention that it lacks are replaced by the nearest that it has (the paper's constants are those of Stable Diffusion 1 and 2).
    reads_embeddings: whether textual inversion can be loaded: the pipeline takes it and all of its text encoders are CLIP's.
    no_self_attention: why there are no maps of it; empty: there are. half: the half precision in which its pictures are known to be
    numbers: what they were trained in. gives_sigmas: whether the pipeline gives the scheduler its noise levels. loading: arguments of
    from_pretrained. text: the classes of transformers that each text encoder and tokenizer may be of. autoencoders: those of diffusers.
    """

    title: str
    pipelines: tuple[str, ...]
    network: str
    class_name: str
    weights: tuple[str, ...]
    captured: str
    guidance: str
    steps: int | None = None
    guidance_scale: float | None = None
    quick_steps: int = 4
    optional: tuple[str, ...] = ()
    conditional: Literal["second half", "first half", "first call"] = "second half"
    distilled: bool = False
    loads_loras: bool = True
    streams: Mapping[str, Joint] = field(default_factory=dict)
    depth: Mapping[str, tuple[LayerKind, ...]] = field(default_factory=dict)
    text_columns: int = CLIP_TOKENS
    patch: int = 1
    latent_side: int = 0
    fitted: bool = True
    reads_embeddings: bool = False
    no_self_attention: str = ""
    half: str = "float16"
    gives_sigmas: bool = False
    loading: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    autoencoders: tuple[str, ...] = ("AutoencoderKL", "AutoencoderTiny")

    # The network, its layers and sides

    def part_classes(self, part: str) -> tuple[str, tuple[str, ...]]:
        """(library, the classes of it) that a part of a pipeline may be of; no class where there is no such part."""
        if part in self.text:
            return "transformers", self.text[part]
        return "diffusers", {self.network: (self.class_name,), "vae": self.autoencoders, "scheduler": SCHEDULERS}.get(part, ())

    def layers(self, network: Any) -> dict[str, Layer]:
        """The attention modules that can be captured, by name, block after block; here: `attn` of the blocks of every stream. Raises
        UserError where one has another form."""
        layers: dict[str, Layer] = {}
        for stream, layer in self.streams.items():
            for number, block in enumerate(getattr(network, stream)):
                name = f"{stream}.{number}.attn"
                refuse_adapters(name, block.attn)
                layers[name] = replace(layer, heads=block.attn.heads)
        return layers

    def levels(self, config: Mapping[str, Any], group: Layers = "all") -> tuple[int, ...]:
        """Divisors of L at which a network of this configuration (its config.json) has attention, finest first."""
        return (1,)

    def blocks(self, config: Mapping[str, Any]) -> Sequence[Sequence[LayerKind]]:
        """The kinds of attention that `layers` finds in each block of a network of this configuration (its config.json). Raises KeyError
        where the configuration does not say, ValueError where it is no number of blocks."""
        return [kinds for name, kinds in self.depth.items() for _ in range(block_count(config, name))]

    def layer_counts(self, config: Mapping[str, Any], group: Layers = "all") -> Mapping[LayerKind, int]:
        """How many layers of each kind a group has. Raises KeyError where the configuration does not say."""
        numbers = block_numbers(group)
        return Counter(kind for number, kinds in enumerate(self.blocks(config)) if numbers is None or number in numbers for kind in kinds)

    def columns(self, pipeline: str) -> int:
        """The most text columns that this pipeline class gives its network."""
        return self.text_columns

    @property
    def groups(self) -> tuple[Layers, ...]:
        """The sides that this family tells apart; where it is all alone, blocks can be chosen by their numbers."""
        return ("all",)

    def fit_group(self, config: Mapping[str, Any], layers: Layers) -> Layers:
        """`layers` as a network of this configuration can be asked for them: all for sides that it lacks. Raises UserError for blocks that
        it lacks."""
        numbers = block_numbers(layers)
        if numbers is None:
            return "all"
        try:
            count = len(self.blocks(config))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"layers = {layers}: config.json of the model's {self.network} does not say how many blocks it has") from error
        if max(numbers) >= count:
            raise UserError(f"layers = {layers}: the model has blocks 0 to {count - 1}")
        return layers

    def chosen(self, names: Sequence[str], group: Layers) -> list[str]:
        """Those attention modules of a group as `fit_group` gives it, of all names that `layers` finds."""
        numbers = block_numbers(group)
        if numbers is None:
            return list(names)
        order = list(dict.fromkeys(_block(name) for name in names))
        return [name for name in names if order.index(_block(name)) in numbers]

    def lattice(self, network: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, int, int]:
        """(B, height, width) of a call of the network, in positions of L. Here: of latents (B, C, h, w), cut into patches."""
        batch, _, height, width = (kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]).shape
        patch = self.pixels(1, network.config)
        return batch, height // patch, width // patch

    def factor(self, vae: Mapping[str, Any]) -> int:
        """Pixels a position of the latent of an autoencoder of this configuration."""
        return 2 ** (len(vae["block_out_channels"]) - 1)

    def pixels(self, factor: int, config: Mapping[str, Any]) -> int:
        """Pixels a position of L. factor: pixels a position of the autoencoder's latent. config: the network's."""
        return factor * int(config.get("patch_size", self.patch))

    def image_side(self, factor: int, config: Mapping[str, Any]) -> int:
        """The model's own side of an image in pixels."""
        if self.latent_side:
            return factor * self.latent_side
        sample = config["sample_size"]
        return int(sample[0] if isinstance(sample, list | tuple) else sample) * factor

    def multiple(self, factor: int, config: Mapping[str, Any]) -> int:
        """Sides of images in pixels are multiples of it. factor, config: as in `pixels`."""
        return self.pixels(factor, config)

    def largest(self, factor: int, config: Mapping[str, Any]) -> int | None:
        """The largest side of an image in pixels; None: no rule. factor, config: as in `pixels`."""
        return None

    # Loading

    def tokenizers(self, folder: Path) -> dict[str, Any]:
        """Parts that are loaded here instead of by diffusers, of a pipeline's folder that has been looked at."""
        return {}

    # Drawing

    def unguided(self, config: Mapping[str, Any], name: str) -> bool:
        """Whether a model is made to draw without guidance. config: the network's; name: the model's, whose last part tells it."""
        return QUICK.search(re.split(r"[/\\]", name.rstrip("/\\"))[-1]) is not None

    def defaults(self, config: Mapping[str, Any], name: str) -> dict[str, Any]:
        """`steps` and `guidance_scale` that the authors recommend, and a method of masks that needs no self-attention where there is none,
        as `config.base.build` takes them; empty where the package's own apply."""
        values: dict[str, Any] = {"steps": self.steps, "guidance_scale": self.guidance_scale}
        if self.unguided(config, name):
            values = {"steps": self.quick_steps, "guidance_scale": 0.0}
        if self.no_self_attention:
            values["mask"] = {"method": "ca"}
        return {key: value for key, value in values.items() if value is not None}

    def check_guidance(self, config: Mapping[str, Any], name: str, guidance_scale: float) -> None:
        """Raise UserError for guidance of a model that is made to draw without. config, name: as in `unguided`."""
        if guidance_scale > 1 and self.unguided(config, name):
            raise UserError(f"guidance_scale = {guidance_scale}: model '{name}' is made to draw without guidance; use --guidance-scale 0")

    def check_negative(self, name: str, negative_prompt: str) -> None:
        """Raise UserError for a negative prompt of a model that is told the guidance and so never predicts without the prompt."""
        if negative_prompt and self.distilled:
            raise UserError(f"negative_prompt {negative_prompt!r}: model '{name}' reads none (distilled guidance); leave it out")

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        """Whether the network predicts twice a step, with the prompt and without (`conditional`)."""
        return guidance_scale > 1

    def reads_negative(self, pipe: Any, guidance_scale: float) -> bool:
        """Whether a negative prompt has any effect."""
        return self.guided(pipe, guidance_scale)

    def calls(self, pipe: Any, steps: int) -> int:
        """How often the network will predict with the prompt; some schedulers have it do so more often than they have steps."""
        pipe.scheduler.set_timesteps(steps)
        return len(pipe.scheduler.timesteps)

    def call(self, pipe: Any, drawing: Drawing) -> dict[str, Any]:
        """The arguments with which the pipeline draws. A scale of 1 or less is no guidance."""
        negative = self.reads_negative(pipe, drawing.guidance_scale)
        return {
            "prompt": list(drawing.prompts),
            "height": drawing.height,
            "width": drawing.width,
            "num_inference_steps": drawing.steps,
            "guidance_scale": drawing.guidance_scale,
            "negative_prompt": [drawing.negative_prompt] * len(drawing.prompts) if negative else None,
            "generator": list(drawing.generators),
            "output_type": "np",
        }

    # Text

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        """The tokenizers, those that give columns first."""
        return (Reader("tokenizer", pipe.tokenizer, pipe.tokenizer.model_max_length),)

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        """What the network is told of prompts, without guidance."""
        raise NotImplementedError

    # Photographs

    def latents(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, h, w) as the network takes them, of pixels (B, 3, H, W) in [−1, 1]: the mean, shifted and scaled."""
        encoded = pipe.vae.encode(pixels)
        mean = encoded.latent_dist.mean if hasattr(encoded, "latent_dist") else encoded.latents  # AutoencoderKL, AutoencoderTiny
        shift = getattr(pipe.vae.config, "shift_factor", None)
        return (mean if shift is None else mean - shift) * pipe.vae.config.scaling_factor

    def noise_levels(self, pipe: Any) -> int | None:
        """How many noise levels there are, 0 the cleanest; None: the scheduler does not say."""
        signal = getattr(pipe.scheduler, "alphas_cumprod", None)
        return None if signal is None else len(signal)

    def mix(self, pipe: Any, timestep: int) -> tuple[float, float]:
        """(a, b): a latent at that noise level is a · clean + b · noise. DDPM, eq. 4."""
        signal = float(pipe.scheduler.alphas_cumprod[timestep])
        return signal**0.5, (1 - signal) ** 0.5

    def target(self, pipe: Any, timestep: int, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """What `denoise` should give for latents mixed with this noise at this level."""
        a, b = self.mix(pipe, timestep)
        kind = pipe.scheduler.config.get("prediction_type", "epsilon")
        return {"epsilon": noise, "sample": latents, "v_prediction": a * noise - b * latents}[kind]

    def denoise(self, pipe: Any, latents: torch.Tensor, timestep: int, condition: Condition) -> torch.Tensor:
        """One call of the network on (B, C, h, w), without guidance: its prediction, of the same shape."""
        raise NotImplementedError


class FlowMatching(Family):
    """Families that are trained on straight lines from picture to noise: level t of 1000 is a share t / 1000 of noise."""

    LEVELS = 1000

    def calls(self, pipe: Any, steps: int) -> int:
        more = {"mu": 1.0} if pipe.scheduler.config.get("use_dynamic_shifting") else {}  # moves the steps, whose number stays
        pipe.scheduler.set_timesteps(steps, **more)
        return len(pipe.scheduler.timesteps)

    def noise_levels(self, pipe: Any) -> int | None:
        return self.LEVELS if hasattr(pipe.scheduler, "sigmas") else None

    def mix(self, pipe: Any, timestep: int) -> tuple[float, float]:
        return 1 - timestep / self.LEVELS, timestep / self.LEVELS

    def target(self, pipe: Any, timestep: int, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return noise - latents


def chat_prompt(render: Callable[[str], str], prompt: str) -> tuple[str, int]:
    """`Reader.wrap` for a language model that is asked by a chat: `render` makes the chat of a prompt."""
    mark = "\ue000"  # in no template and no prompt
    return render(prompt), render(mark).index(mark)


def qwen_chat(tokenizer: Any, thinking: bool, prompt: str) -> str:
    """The chat by which Qwen3 is asked; thinking: whether it may."""
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking)


def _block(name: str) -> str:
    """Of an attention module's name, that of the block: `transformer_blocks.3`."""
    prefix = re.match(r"\D*\d+", name)
    return prefix[0] if prefix else name


def refuse_adapters(name: str, attention: Any) -> None:
    """Raise UserError for an attention module with an IP-Adapter, whose own attention would be missing."""
    if "IPAdapter" in type(attention.processor).__name__:
        raise UserError(f"an IP-Adapter is loaded ({name}): its own attention is not captured; call pipe.unload_ip_adapter() first")
