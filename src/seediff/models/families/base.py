"""`Family`: everything that the package knows about an architecture (Stable Diffusion, FLUX, …), to draw with it and
capture its attention.

Each family is one file beside this one. Code that reads attention maps does not depend on the family.

Shape letters: B images, H heads, L height and width of the lattice that the network works on, N its positions, T text
columns, D channels per head.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ...errors import UserError
from ..groups import Layers, block_count, block_numbers, both_kinds, by_kind

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
    "DPMSolverSinglestepScheduler", "EDMDPMSolverMultistepScheduler", "EDMEulerScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "HeunDiscreteScheduler", "IPNDMScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler", "PNDMScheduler", "SASolverScheduler", "TCDScheduler", "UniPCMultistepScheduler",
)  # fmt: skip
"""Scheduler classes of diffusers, which any model may use."""

QUICK = re.compile(r"turbo|lightning|schnell|hyper-?sd", re.IGNORECASE)
"""Matches names of models that were distilled to draw in a few steps without guidance."""

Condition = Mapping[str, Any]
"""The network's inputs for a batch of prompts: tensors by name, each with the batch as its first dimension."""


@dataclass(frozen=True)
class Projections:
    """A layer of self- or cross-attention. kind: "self" if the keys come from the picture, "cross" if they come from
    the text. query, key: the submodules whose outputs are the queries (B, N, H·D) and the keys (B, N or T, H·D) of the
    product."""

    kind: Literal["self", "cross"]
    query: str = "to_q"
    key: str = "to_k"


@dataclass(frozen=True)
class Joint:
    """A layer in which picture and text attend to each other in one softmax.

    queries, keys: submodules whose outputs are the queries and keys, in the order in which the product concatenates
    them. An output is (B, S, H·D), or has a dimension for the heads, `heads_dim`: 1 means (B, H, S, D), 2 means
    (B, S, H, D). heads: H.

    picture_first: whether the picture's N rows and columns come before the text's; otherwise they come last.
    behind_text: each image's picture comes directly after its own text, and padding of shorter texts last; capture
    reorders them to picture, text, padding. multiple: the picture is padded to a multiple of this many rows; padding is
    neither picture nor text.

    rotate: maps (B, S, H, D) and the layer's `rotary` argument to the rotated (B, S, H, D); None: there is no rotation.
    rotary, mask: names of the layer's arguments. each_rotary: whether the rotation has the batch as its first
    dimension. The mask is (B, S), or (B, T) for the text's columns alone, or (B, 1, S, S), where all rows of the
    picture are alike. It is False where a column is padding, or holds numbers that are added to the scores.
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
        """The slices of the picture (N = positions) and of the text among all columns."""
        if self.picture_first:
            return slice(0, positions), slice(-(-positions // self.multiple) * self.multiple, columns)
        return slice(columns - positions, columns), slice(0, columns - positions)


Layer = Projections | Joint


@dataclass(frozen=True)
class Reader:
    """One of a model's tokenizers, and where its tokens are among the T text columns.

    name: of the pipeline's part. limit: the maximum number of tokens that are read, special tokens included. first: the
    column of its first token; None: its tokens have no columns. end: the column after its last token, if padding comes
    before the text; None: `first` applies. wrap: prompt → (the text that is read, where the prompt begins in it); None:
    the prompt itself. adds_tokens: whether the tokenizer adds start and end tokens; False: the text contains them.
    convert: prompt → the prompt as it is read: in lower case, or with each token of a textual inversion expanded to one
    token per vector; None: unchanged.
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
    """The input for a pipeline: one image per prompt, each `height` × `width` pixels."""

    prompts: Sequence[str]
    negative_prompt: str
    height: int
    width: int
    steps: int
    guidance_scale: float
    generators: Sequence[torch.Generator]


@dataclass(frozen=True)
class Family:
    """One family. The methods here fit a pipeline with a UNet's arguments; each family overrides what differs.

    title: name for people. pipelines: diffusers' pipeline classes. network, class_name: the part with the attention,
    and its class. weights: the parts with weights. optional: parts, and tokenizers, that a pipeline may lack. loading:
    arguments for from_pretrained. text: allowed transformers classes for each text encoder and tokenizer. autoencoders:
    allowed diffusers classes. half: the half precision that the model was trained in, in which its pictures do not
    overflow. loads_loras: whether diffusers can load a LoRA into it. reads_embeddings: whether textual inversion can be
    loaded: the pipeline supports it and all its text encoders are CLIP's.

    steps, guidance_scale: the authors' defaults; None: the package's. quick_steps: default of models distilled to draw
    without guidance. conditional: under guidance, the place of the prediction with the prompt: a half of the batch, or
    the first of two calls. distilled: whether the guidance scale is an input of the network, which then predicts once.
    gives_sigmas: whether the pipeline gives the scheduler its noise levels.

    streams: names of the network's lists of blocks → the joint attention in each block, in its module `attention`; the
    number of heads comes from the module. depth: names in config.json that give the numbers of blocks, in order → the
    kinds of attention in each such block. no_self_attention: the reason why there are no self-attention maps; empty if
    there are. fitted: whether missing levels of attention are replaced by the nearest (the paper's constants are for
    Stable Diffusion 1 and 2).

    text_columns: the maximum number of text columns that its pipelines use. patch: side of a position in latents, if
    the network's configuration has no `patch_size`. latent_side: side of the pipeline's own size in latents, if the
    configuration gives none.
    """

    title: str
    pipelines: tuple[str, ...]
    class_name: str
    network: str = "transformer"
    weights: tuple[str, ...] = ("transformer", "vae", "text_encoder")
    steps: int | None = None
    guidance_scale: float | None = None
    quick_steps: int = 4
    optional: tuple[str, ...] = ()
    conditional: Literal["second half", "first half", "first call"] = "second half"
    distilled: bool = False
    loads_loras: bool = True
    streams: Mapping[str, Joint] = field(default_factory=dict)
    attention: str = "attn"
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
        """(library, allowed classes) for a part of a pipeline; no classes if the family has no such part."""
        if part in self.text:
            return "transformers", self.text[part]
        return "diffusers", {self.network: (self.class_name,), "vae": self.autoencoders, "scheduler": SCHEDULERS}.get(
            part, ()
        )

    def layers(self, network: Any) -> dict[str, Layer]:
        """The attention modules that can be captured, by name, in block order; by default one in every block of every
        stream. Raises UserError for an unexpected module."""
        layers: dict[str, Layer] = {}
        for stream, layer in self.streams.items():
            for number, block in enumerate(getattr(network, stream)):
                name, attention = f"{stream}.{number}.{self.attention}", getattr(block, self.attention)
                refuse_adapters(name, attention)
                layers[name] = replace(layer, heads=attention.heads)
        return layers

    def levels(self, config: Mapping[str, Any], group: Layers = "all") -> tuple[int, ...]:
        """Divisors of L at which the network has attention, finest first. config: its config.json."""
        return (1,)

    def blocks(self, config: Mapping[str, Any]) -> Sequence[Sequence[LayerKind]]:
        """The kinds of attention in each block of a network. config: its config.json. Raises KeyError if it does not
        give the number of blocks, ValueError if that is not a valid number."""
        return [kinds for name, kinds in self.depth.items() for _ in range(block_count(config, name))]

    def layer_counts(
        self, config: Mapping[str, Any], group: Layers = "all", level: int | None = None
    ) -> Mapping[LayerKind, int]:
        """The number of layers of each kind in a group, or in its part at a level. Raises KeyError if the configuration
        does not say.
        """
        numbers = block_numbers(group)
        return Counter(
            kind
            for number, kinds in enumerate(self.blocks(config))
            if numbers is None or number in numbers
            for kind in kinds
        )

    def columns(self, pipeline: str) -> int:
        """The maximum number of text columns for this pipeline class."""
        return self.text_columns

    @property
    def groups(self) -> tuple[Layers, ...]:
        """The sides that this family distinguishes. If there is only "all", blocks can be chosen by number."""
        return ("all",)

    def fit_group(self, config: Mapping[str, Any], layers: Layers) -> Layers:
        """`layers` as this network understands them: "all" in place of sides that it lacks. Raises UserError for blocks
        that it lacks.
        """
        numbers = block_numbers(layers)
        if numbers is None:
            return "all"
        try:
            count = len(self.blocks(config))
        except (KeyError, TypeError, ValueError) as error:
            problem = f"{layers}: config.json of the model's {self.network} does not say how many blocks it has"
            raise UserError("capture.layers", problem) from error
        if max(numbers) >= count:
            raise UserError("capture.layers", f"{layers}: the model has blocks 0 to {count - 1}")
        return layers

    def fit_layers(self, config: Mapping[str, Any], layers: Layers) -> Layers:
        """`fit_group` of each kind of attention."""
        fitted = {kind: self.fit_group(config, group) for kind, group in by_kind(layers).items()}
        return both_kinds(fitted["cross"], fitted["self"])

    def chosen(self, names: Sequence[str], group: Layers) -> list[str]:
        """The names of the attention modules in a group. names: all names from `layers`. group: from `fit_group`."""
        numbers = block_numbers(group)
        if numbers is None:
            return list(names)
        order = list(dict.fromkeys(_block(name) for name in names))
        return [name for name in names if order.index(_block(name)) in numbers]

    def lattice(self, network: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, int, int]:
        """(B, height, width) of a network call, in positions of L; by default for latents (B, C, h, w) cut into
        patches.
        """
        batch, _, height, width = (kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]).shape
        patch = self.pixels(1, network.config)
        return batch, height // patch, width // patch

    def factor(self, vae: Mapping[str, Any]) -> int:
        """Pixels per latent position, for an autoencoder with this configuration."""
        return 2 ** (len(vae["block_out_channels"]) - 1)

    def pixels(self, factor: int, config: Mapping[str, Any]) -> int:
        """Pixels per position of L. factor: pixels per latent position. config: the network's."""
        return factor * int(config.get("patch_size", self.patch))

    def image_side(self, factor: int, config: Mapping[str, Any]) -> int:
        """The model's own side of an image in pixels."""
        if self.latent_side:
            return factor * self.latent_side
        sample = config["sample_size"]
        return int(sample[0] if isinstance(sample, list | tuple) else sample) * factor

    def multiple(self, factor: int, config: Mapping[str, Any]) -> int:
        """The number of pixels that an image's sides must be multiples of. factor, config: as in `pixels`."""
        return self.pixels(factor, config)

    def largest(self, factor: int, config: Mapping[str, Any]) -> int | None:
        """The largest side of an image in pixels; None: no limit. factor, config: as in `pixels`."""
        return None

    # Loading

    def tokenizers(self, folder: Path) -> dict[str, Any]:
        """Tokenizers that are loaded here instead of by diffusers, by part. folder: the pipeline's, already checked."""
        return {}

    # Drawing

    def unguided(self, config: Mapping[str, Any], name: str) -> bool:
        """Whether a model was distilled to draw without guidance. config: the network's. name: the model's; its last
        part decides, and `cfg` in it means guidance."""
        last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
        return QUICK.search(last) is not None and "cfg" not in last.lower()

    def defaults(self, config: Mapping[str, Any], name: str) -> dict[str, Any]:
        """The authors' `steps` and `guidance_scale`, and a mask method without self-attention if the family has none.
        Empty where the package's defaults apply."""
        values: dict[str, Any] = {"steps": self.steps, "guidance_scale": self.guidance_scale}
        if self.unguided(config, name):
            values = {"steps": self.quick_steps, "guidance_scale": 0.0}
        if self.no_self_attention:
            values["mask"] = {"method": "ca"}
        return {key: value for key, value in values.items() if value is not None}

    def check_guidance(self, config: Mapping[str, Any], name: str, guidance_scale: float) -> None:
        """Raise UserError for guidance with a model that was distilled to draw without. config, name: as in
        `unguided`.
        """
        if guidance_scale > 1 and self.unguided(config, name):
            raise UserError("guidance_scale", f"{guidance_scale}: model '{name}' draws without guidance", "use 0")

    def check_negative(self, name: str, negative_prompt: str) -> None:
        """Raise UserError for a negative prompt with a distilled model, which never predicts without the prompt."""
        if negative_prompt and self.distilled:
            problem = f"{negative_prompt!r}: model '{name}' cannot use one (distilled guidance)"
            raise UserError("negative_prompt", problem, "leave it out")

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        """Whether the network predicts twice per step, with the prompt and without (`conditional`)."""
        return guidance_scale > 1

    def reads_negative(self, pipe: Any, guidance_scale: float) -> bool:
        """Whether a negative prompt has any effect."""
        return self.guided(pipe, guidance_scale)

    def calls(self, pipe: Any, steps: int) -> int:
        """How often the network predicts with the prompt. Some schedulers need more predictions than steps."""
        pipe.scheduler.set_timesteps(steps)
        return len(pipe.scheduler.timesteps)

    def call(self, pipe: Any, drawing: Drawing) -> dict[str, Any]:
        """The arguments for the pipeline. A guidance scale of 1 or less means no guidance."""
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
        """The tokenizers; those whose tokens have columns come first."""
        return (Reader("tokenizer", pipe.tokenizer, pipe.tokenizer.model_max_length),)

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        """The network's inputs for prompts, without guidance."""
        raise NotImplementedError

    # Photographs

    def latents(self, pipe: Any, pixels: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, h, w) for the network from pixels (B, 3, H, W) in [−1, 1]: the autoencoder's mean, shifted and
        scaled.
        """
        encoded = pipe.vae.encode(pixels)
        mean = (
            encoded.latent_dist.mean if hasattr(encoded, "latent_dist") else encoded.latents
        )  # AutoencoderKL, AutoencoderTiny
        shift = getattr(pipe.vae.config, "shift_factor", None)
        return (mean if shift is None else mean - shift) * pipe.vae.config.scaling_factor

    def noise_levels(self, pipe: Any) -> int | None:
        """The number of noise levels, where 0 is the cleanest; None: the scheduler does not say."""
        signal = getattr(pipe.scheduler, "alphas_cumprod", None)
        return None if signal is None else len(signal)

    def mix(self, pipe: Any, timestep: int) -> tuple[float, float]:
        """(a, b): a latent at that noise level is a · clean + b · noise. DDPM, eq. 4."""
        signal = float(pipe.scheduler.alphas_cumprod[timestep])
        return signal**0.5, (1 - signal) ** 0.5

    def target(self, pipe: Any, timestep: int, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The ideal result of `denoise` for latents mixed with this noise at this level."""
        a, b = self.mix(pipe, timestep)
        kind = pipe.scheduler.config.get("prediction_type", "epsilon")
        return {"epsilon": noise, "sample": latents, "v_prediction": a * noise - b * latents}[kind]

    def denoise(self, pipe: Any, latents: torch.Tensor, timestep: int, condition: Condition) -> torch.Tensor:
        """One call of the network on (B, C, h, w), without guidance. Returns its prediction, of the same shape."""
        raise NotImplementedError


@dataclass(frozen=True)
class FlowMatching(Family):
    """Families trained by flow matching: at level t of 1000 the share of noise is t / 1000."""

    LEVELS: ClassVar[int] = 1000

    half: str = "bfloat16"
    gives_sigmas: bool = True

    def calls(self, pipe: Any, steps: int) -> int:
        more = (
            {"mu": 1.0} if pipe.scheduler.config.get("use_dynamic_shifting") else {}
        )  # shifts the steps but keeps their number
        pipe.scheduler.set_timesteps(steps, **more)
        return len(pipe.scheduler.timesteps)

    def noise_levels(self, pipe: Any) -> int | None:
        return self.LEVELS if hasattr(pipe.scheduler, "sigmas") else None

    def mix(self, pipe: Any, timestep: int) -> tuple[float, float]:
        return 1 - timestep / self.LEVELS, timestep / self.LEVELS

    def target(self, pipe: Any, timestep: int, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return noise - latents


def chat_prompt(render: Callable[[str], str], prompt: str) -> tuple[str, int]:
    """`Reader.wrap` for a language model that reads the prompt in a chat. render: prompt → chat."""
    mark = "\ue000"  # a private-use character, in no template or prompt
    return render(prompt), render(mark).index(mark)


def qwen_chat(tokenizer: Any, thinking: bool, prompt: str) -> str:
    """The chat in which Qwen3 reads a prompt. thinking: whether the chat allows it to think."""
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=thinking)


def _block(name: str) -> str:
    """The block in an attention module's name: `transformer_blocks.3`."""
    prefix = re.match(r"\D*\d+", name)
    return prefix[0] if prefix else name


def refuse_adapters(name: str, attention: Any) -> None:
    """Raise UserError for an attention module with an IP-Adapter, because its own attention would not be captured."""
    if "IPAdapter" in type(attention.processor).__name__:
        raise UserError(
            f"an IP-Adapter is loaded ({name}): its own attention is not captured; call pipe.unload_ip_adapter() first"
        )
