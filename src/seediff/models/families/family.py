"""`Family`: everything that the package knows about an architecture (Stable Diffusion, FLUX, …), to draw with it and
capture its attention. Each file beside this one has one architecture, with its variants.

Shape letters: B images, L height and width of the lattice that the network works on, N its positions, T text
columns."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import signature
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ...errors import UserError
from ..layer_choice import Kind, LayerChoice, block_names, block_numbers, by_kind
from .layers import CROSS, SELF, Layer, refuse_adapters
from .readers import Reader

if TYPE_CHECKING:
    from torch import Generator, Tensor
else:  # importing torch takes seconds, and these are for annotations alone
    Generator = Tensor = Any

CLIP_TOKENS = 77
NETWORK_PARTS = ("unet", "transformer")
"""The two names that pipelines give their network, the part with the attention."""

NOT_LOADED = ("safety_checker", "feature_extractor", "image_encoder", "pe", "pe_tokenizer")
"""Parts of pipelines that are never loaded."""
PLAIN_ARGUMENTS = {
    "num_images_per_prompt": 1,
    "do_classifier_free_guidance": False,
    "clean_caption": False,
    "use_resolution_binning": False,
    "use_pe": False,
}
"""Argument → value, for pipelines and for their `encode_prompt` if they have the argument: one picture of the
requested size, from the unchanged prompt."""

OF_PIPELINES = ("is_distilled", "sample_sigmas")
"""Settings in model_index.json that are added to the network's config.json."""

PartConfig = Mapping[str, Any]
"""The config.json of a part. The network's config.json has the settings of OF_PIPELINES added."""
NetworkInputs = Mapping[str, Any]
"""The inputs of one network call, by name."""
Condition = Mapping[str, Any]
"""The network's inputs for a batch of prompts: name → tensor, whose first dimension counts the prompts."""


@dataclass(frozen=True)
class DrawRequest:
    """What a pipeline is asked to draw: one image for each prompt, `height` × `width` pixels."""

    prompts: Sequence[str]
    negative_prompt: str
    height: int
    width: int
    steps: int
    guidance_scale: float
    generators: Sequence[Generator]


@dataclass(frozen=True)
class Family:
    """One family: its facts as fields, then what it does as methods, under the same headings. The methods suit a
    pipeline with a UNet's arguments; each family overrides what differs.

    In all methods, `config` is the network's config.json, and `factor` is the number of pixels per latent position."""

    title: str
    pipelines: tuple[str, ...]
    """Names of diffusers' pipeline classes."""
    class_name: str
    """Name of diffusers' class of the network, the part with the attention."""
    network_part: str = "transformer"
    """The pipeline's name for the network."""

    # Loading

    reads_text: str = "tokenizer"
    """The name of the part with the tokenizer."""
    optional: tuple[str, ...] = ()
    """Parts that may be missing from a pipeline."""
    half: str = "float16"
    """The 16-bit number format in which this family's pictures do not overflow."""
    loads_loras: bool = True
    """Whether diffusers can load a LoRA into it."""

    # Attention

    streams: Mapping[str, Layer] = field(default_factory=dict)
    """Name of a list of blocks in the network → the attention layer in each of its blocks. If empty: modules named
    `attn1` attend to the picture, and modules named `attn2` to the text."""
    attention: str = "attn"
    """Name of the attention module in each block of `streams`."""
    no_self_attention: str = ""
    """Why there are no maps of self-attention; empty if there are."""
    replaces_missing_levels: bool = True
    """Whether the nearest level of attention replaces a level that the model lacks. The paper's levels are for
    Stable Diffusion 1 and 2, where they must exist."""
    can_graph: bool = True
    """Whether calls of the network can be replayed as CUDA graphs: the network copies nothing from the CPU, and waits
    for nothing."""

    # Clips

    frames_dimension: int = 0
    """The dimension of the latents that counts a clip's frames; 0: the family draws images."""
    frames_in_rows: bool = False
    """Whether consecutive rows of the batch are the frames of a clip; otherwise the frames follow each other among
    the positions of one row."""

    # Sides of images

    patch: int = 1
    """Side of a position of L, in latents. It is used if config.json does not say it."""
    side: int = 0
    """Side of the pipeline's own images, in pixels. It is used if config.json does not say it."""
    pipeline_multiple: int = 1
    """The pipeline requires sides that are multiples of this many pixels, in addition to whole positions."""

    # Text

    text_columns: int = CLIP_TOKENS
    """The maximum number of text columns."""
    inputs_of_text: tuple[str, ...] = ("encoder_hidden_states",)
    """For each value that `encode_prompt` returns, the network's name for this input; empty if it is no input."""

    # Guidance

    steps: int | None = None
    guidance_scale: float | None = None
    """The authors' default steps and guidance scale; None: the package's defaults."""
    distilled_steps: int = 4
    """Default steps of models that were distilled to draw without guidance."""
    distilled: bool = False
    """Whether the guidance scale is an input of the network, which then predicts once per step."""
    where_prompt: Literal["second half", "first half", "first call"] = "second half"
    """Where guidance puts the prediction with the prompt: in a half of the batch, or in the first of two calls."""
    negative: bool = True
    """Whether guidance reads a negative prompt; otherwise it always reads the empty prompt."""
    from_zero: bool = False
    """Whether the pipeline draws without guidance at a scale of 0; otherwise at a scale of 1."""

    # Drawing

    gives_sigmas: bool = False
    """Whether the pipeline hands noise levels to the scheduler."""

    # Loading: methods

    def has_weights(self, part: str) -> bool:
        """Whether a part of the pipeline has weights: the network, the autoencoder and text encoders do. part: its
        name."""
        return re.fullmatch(rf"{self.network_part}|vae|text_encoder(_[0-9])?", part) is not None

    def tokenizers(self, folder: Path) -> dict[str, Any]:
        """Part → its tokenizer, for parts that diffusers would load only with further libraries. folder: the
        pipeline's folder, already checked."""
        return {}

    # Attention: methods

    def layers(self, network: Any) -> dict[str, Layer]:
        """Name → layer, for the attention modules that can be captured, in the order of blocks. Raises UserError for
        unsupported attention."""
        layers: dict[str, Layer] = {}
        for stream, layer in self.streams.items():
            for number in range(len(getattr(network, stream))):
                layers[f"{stream}.{number}.{self.attention}"] = layer
        if not self.streams:
            for name, _ in network.named_modules():
                if name.endswith((".attn1", ".attn2")):
                    layers[name] = SELF if name.endswith("1") else CROSS
        for name in layers:
            refuse_adapters(name, network.get_submodule(name))
        return layers

    def names_in(self, names: Sequence[str], group: LayerChoice) -> list[str]:
        """The names of the attention modules in a group of layers. names: of all modules. group: block numbers, such
        as "9-12". "all" and the sides of a UNet ("up", …) stand for all names; only UNets have sides. Raises
        UserError for blocks that the network lacks."""
        numbers = block_numbers(group)
        if numbers is None:
            return list(names)
        blocks = block_names(names)
        if max(numbers) >= len(blocks):
            raise UserError("capture.layers", f"{group}: the model has blocks 0 to {len(blocks) - 1}")
        return list(chain.from_iterable(blocks[number] for number in sorted(numbers)))

    def layers_by_kind(self, all_layers: Mapping[str, Layer], choice: LayerChoice) -> dict[Kind, dict[str, Layer]]:
        """Kind of attention → name → layer, for the chosen layers. all_layers: from `layers`. Raises UserError for
        blocks that the network lacks."""
        found: dict[Kind, dict[str, Layer]] = {}
        for kind, group in by_kind(choice).items():
            names = self.names_in(list(all_layers), group)
            found[kind] = {name: all_layers[name] for name in names if kind in all_layers[name].kinds}
        return found

    def lattice(self, network: Any, given: NetworkInputs) -> tuple[int, int, int]:
        """(B, height, width) of a network call: the number of images or clips, and the sides of the lattice in
        positions. given: the call's inputs."""
        batch, *_, height, width = latents_of(given).shape
        patch = self.patch_of(network.config)
        return batch, height // patch, width // patch

    # Clips: methods

    def frames(self, given: NetworkInputs) -> int:
        """The number of latent frames of each clip in a network call; 1 for images."""
        if not self.frames_dimension:
            return 1
        return latents_of(given).shape[self.frames_dimension]

    # Sides of images: methods

    def factor(self, vae: PartConfig) -> int:
        """Pixels per latent position. vae: the config.json of the autoencoder."""
        return 2 ** (len(vae["block_out_channels"]) - 1)

    def patch_of(self, config: PartConfig) -> int:
        """The side of a position of L, in latents."""
        return int(config.get("patch_size", self.patch))

    def pixels(self, factor: int, config: PartConfig) -> int:
        """The side of a position of L, in pixels."""
        return factor * self.patch_of(config)

    def image_side(self, factor: int, config: PartConfig) -> int:
        """The side of the model's own images, in pixels. Raises UserError if the configuration does not say it."""
        if self.side:
            return self.side
        if "sample_size" not in config:
            raise UserError("height and width", "are needed: the model has no usual size")
        sample = config["sample_size"]
        if isinstance(sample, list | tuple):
            sample = sample[0]
        return int(sample) * factor

    def multiple(self, factor: int, config: PartConfig) -> int:
        """Sides of images must be multiples of this many pixels."""
        return math.lcm(self.pipeline_multiple, self.pixels(factor, config))

    def largest(self, factor: int, config: PartConfig) -> int | None:
        """The largest side of an image in pixels; None: no limit."""
        if "axes_lens" not in config:
            return None
        return min(config["axes_lens"][1:]) * self.multiple(factor, config)

    # Text: methods

    def most_text_columns(self, pipeline: str) -> int:
        """The maximum number of text columns. pipeline: the name of the pipeline's class."""
        return self.text_columns

    def text_columns_of_call(self, given: NetworkInputs) -> int | None:
        """The number of text columns that joint attention has in a network call; None: unknown. given: the call's
        inputs."""
        states = given.get("encoder_hidden_states")
        return None if states is None else states.shape[1]

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        """The tokenizers. Those whose tokens are text columns come first."""
        return (Reader("tokenizer", pipe.tokenizer, self.text_columns),)

    def encode(self, pipe: Any, prompts: Sequence[str], device: str) -> Condition:
        """The network's inputs for these prompts, without guidance."""
        found = pipe.encode_prompt(list(prompts), device=device, **plain_arguments(pipe.encode_prompt))
        return {name: states for name, states in zip(self.inputs_of_text, found, strict=False) if name}

    # Guidance: methods

    def says_distilled(self, config: PartConfig) -> bool | None:
        """Whether the network's configuration says that the model was distilled to draw without guidance; None if it
        does not say."""
        if self.distilled and config:
            return not config.get("guidance_embeds", True)
        return config.get("is_distilled")

    def few_steps(self, config: PartConfig) -> int:
        """The default steps of a model that was distilled to draw without guidance."""
        return self.distilled_steps

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        """Whether the network predicts twice per step, with and without the prompt; `where_prompt` says in which
        order."""
        return guidance_scale > 1 and not self.distilled

    def reads_negative(self, pipe: Any, guidance_scale: float) -> bool:
        """Whether a negative prompt changes the picture at this guidance scale."""
        return self.negative and self.guided(pipe, guidance_scale)

    # Drawing: methods

    def count_predictions(self, pipe: Any, steps: int) -> int:
        """How often the network predicts with the prompt when a picture is drawn in `steps` steps: some schedulers
        predict twice per step. Sets the pipeline's timesteps."""
        more = {"mu": 1.0} if pipe.scheduler.config.get("use_dynamic_shifting") else {}  # keeps the number of steps
        pipe.scheduler.set_timesteps(steps, **more)
        return len(pipe.scheduler.timesteps)

    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """Name → value, for all arguments of the pipeline's call. Guidance scales of 1 or less mean no guidance."""
        scale = drawing.guidance_scale
        arguments = {
            "prompt": list(drawing.prompts),
            "height": drawing.height,
            "width": drawing.width,
            "num_inference_steps": drawing.steps,
            "guidance_scale": 0.0 if self.from_zero and scale <= 1 else scale,
            "generator": list(drawing.generators),
            "output_type": "np",
            **plain_arguments(pipe.__call__),
        }
        if self.reads_negative(pipe, drawing.guidance_scale):
            arguments["negative_prompt"] = [drawing.negative_prompt] * len(drawing.prompts)
        return arguments

    # Photographs

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        """(B, C, h, w): the latents of photographs, as the network expects them: the mean of the autoencoder,
        scaled. pixels: (B, 3, H, W) in [−1, 1]."""
        mean = pipe.vae.encode(pixels).latent_dist.mean
        return (mean - (pipe.vae.config.get("shift_factor") or 0)) * pipe.vae.config.scaling_factor

    def noise_levels(self, pipe: Any) -> int | None:
        """The number of noise levels; level 0 is the cleanest. None: the scheduler does not say."""
        signal = getattr(pipe.scheduler, "alphas_cumprod", None)
        return None if signal is None else len(signal)

    def mix(self, pipe: Any, timestep: int) -> tuple[float, float]:
        """(a, b), so that a · clean + b · noise is a latent at this noise level (DDPM, eq. 4)."""
        signal = float(pipe.scheduler.alphas_cumprod[timestep])
        return signal**0.5, (1 - signal) ** 0.5

    def target(self, pipe: Any, timestep: int, latents: Tensor, noise: Tensor) -> Tensor:
        """(B, C, h, w): what `denoise` would return if it predicted perfectly. latents: clean. noise: what was mixed
        into them."""
        a, b = self.mix(pipe, timestep)
        kind = pipe.scheduler.config.get("prediction_type", "epsilon")
        return {"epsilon": noise, "sample": latents, "v_prediction": a * noise - b * latents}[kind]

    def denoise(self, pipe: Any, latents: Tensor, timestep: float, condition: Condition) -> Tensor:
        """(B, C, h, w): the network's prediction for latents of this shape, without guidance."""
        level = latents.new_full((len(latents),), timestep)
        predicted = pipe.transformer(hidden_states=latents, timestep=level, **condition, return_dict=False)[0]
        return predicted[:, : latents.shape[1]]  # a learnt variance may follow


@dataclass(frozen=True)
class FlowMatching(Family):
    """Families trained by flow matching: at level t of 1000, the share of noise is t / 1000."""

    LEVELS: ClassVar[int] = 1000

    half: str = "bfloat16"
    gives_sigmas: bool = True

    def noise_levels(self, pipe: Any) -> int | None:
        return self.LEVELS if hasattr(pipe.scheduler, "sigmas") else None

    def mix(self, pipe: Any, timestep: int) -> tuple[float, float]:
        return 1 - timestep / self.LEVELS, timestep / self.LEVELS

    def target(self, pipe: Any, timestep: int, latents: Tensor, noise: Tensor) -> Tensor:
        return noise - latents


def plain_arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """The entries of PLAIN_ARGUMENTS whose names are parameters of a pipeline's function."""
    taken = signature(function).parameters
    return {name: value for name, value in PLAIN_ARGUMENTS.items() if name in taken}


def named_inputs(network: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """Name → value, for all inputs of a network call. args, kwargs: as the network was called."""
    return {**dict(zip(_parameters(type(network)), args, strict=False)), **kwargs}


@lru_cache(maxsize=8)
def _parameters(network: type) -> list[str]:
    return list(signature(network.forward).parameters)[1:]


def latents_of(given: NetworkInputs) -> Any:
    """The latents among the inputs of a network call. Networks give this input one of three names."""
    return next(given[name] for name in ("sample", "hidden_states", "x") if name in given)
