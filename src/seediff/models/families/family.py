"""`Family`: everything that the package knows about an architecture (Stable Diffusion, FLUX, …), to draw with it and
capture its attention. Files such as `flux.py` have one architecture each, with its variants. What all families have in
common is elsewhere: registry.py loads them, and its `Model` asks their networks.

A network works on a lattice of positions, which attend to each other and to text columns, the places of text tokens. In
a UNet a position is one latent; in most transformers it is a patch of 2 × 2 latents. Shape letters: B images, L height
and width of the lattice, N = L·L its positions, T text columns."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ...errors import UserError
from ..hooks import NetworkInputs
from ..layers import CROSS, SELF, Kind, Layer, LayerChoice, block_names, block_numbers, by_kind, refuse_adapters
from .inputs import PLAIN_ARGUMENTS, CallShape, DrawRequest, Reader, latents_of, state_columns

if TYPE_CHECKING:
    from torch import Tensor
else:  # importing torch takes seconds, and this is for annotations alone
    Tensor = Any

CLIP_TOKENS = 77
"""Number of tokens that CLIP reads."""
NETWORK_PARTS = ("unet", "transformer")
"""The two names that pipelines have for their network, the part with the attention."""

NOT_LOADED = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts that are never loaded."""
OF_VIDEOS = "temperal_downsample"
"""A setting of autoencoders of videos, such as Qwen-Image's: for each halving of sides, whether frames are halved."""
PartConfig = Mapping[str, Any]
"""The config.json of a part. The network's also has the settings `of_pipeline`."""


class Sizes(NamedTuple):
    """The sizes of a model's images, in pixels."""

    side: int
    """Side of the images that the model draws by default; 0: its configuration does not say it."""
    position: int
    """Side of a position of the lattice on which the network works."""
    multiple: int
    """Sides of images must be multiples of this."""
    largest: int | None
    """The largest side; None: no limit."""


def pixels_per_latent(vae: PartConfig) -> int:
    """Pixels per latent, along a side. vae: the autoencoder's configuration."""
    if OF_VIDEOS in vae:
        return 2 ** len(vae[OF_VIDEOS])
    return 2 ** (len(vae["block_out_channels"]) - 1)


class Diffusion:
    """What the networks of a family are shown of photographs, and what they predict: by default as in DDPM. pipe: the
    loaded pipeline."""

    def latents(self, pipe: Any, pixels: Tensor) -> Tensor:
        """(B, C, h, w): the latents of photographs, scaled as the network expects them. They are the means of the
        autoencoder's distributions. pixels: (B, 3, H, W) in [−1, 1]."""
        config = pipe.vae.config
        if OF_VIDEOS in config:  # for which a picture is a video of one frame
            mean = pipe.vae.encode(pixels.unsqueeze(2)).latent_dist.mean.squeeze(2)
        else:
            mean = pipe.vae.encode(pixels).latent_dist.mean
        if config.get("latents_mean") and config.get("latents_std"):
            shift, deviation = (mean.new_tensor(config[f"latents_{key}"]).view(1, -1, 1, 1) for key in ("mean", "std"))
            mean = (mean - shift) / deviation
        return (mean - (config.get("shift_factor") or 0)) * config.get("scaling_factor", 1)

    def has_noise_schedule(self, pipe: Any) -> bool:
        """Whether the scheduler says how noisy each noise level is. Level 0 has the least noise."""
        return getattr(pipe.scheduler, "alphas_cumprod", None) is not None

    def mix(self, pipe: Any, timestep: int) -> tuple[float, float]:
        """(a, b): a · clean + b · noise is a latent at a noise level (DDPM, eq. 4). timestep: the level."""
        signal = float(pipe.scheduler.alphas_cumprod[timestep])
        return signal**0.5, (1 - signal) ** 0.5

    def target(self, pipe: Any, timestep: int, latents: Tensor, noise: Tensor) -> Tensor:
        """(B, C, h, w): what `Model.denoise` would return if it predicted perfectly. timestep: the noise level.
        latents: (B, C, h, w), without noise. noise: (B, C, h, w), what was mixed into them."""
        a, b = self.mix(pipe, timestep)
        predicted = pipe.scheduler.config.get("prediction_type", "epsilon")
        return {"epsilon": noise, "sample": latents, "v_prediction": a * noise - b * latents}[predicted]

    def timestep_input(self, timestep: float) -> float:
        """The network's input for a noise level, of which there are 1000."""
        return timestep

    def pack(self, latents: Tensor) -> Any:
        """Latents (B, C, h, w) as the network's input."""
        return latents

    def unpack(self, predicted: Any, size: Sequence[int]) -> Tensor:
        """The inverse for the network's output. size: (C, h, w)."""
        return predicted[:, : size[0]]  # a learnt variance may follow


@dataclass(frozen=True)
class Family(Diffusion):
    """A family of models. Under each heading stand its facts, as fields, and then what it does, as methods. The methods
    fit most families; a family overrides what differs.

    Arguments of many methods: config: the network's configuration. pipe: the loaded pipeline. inputs: the inputs of a
    network call."""

    title: str
    """The family's name, for messages."""
    pipelines: tuple[str, ...]
    """Names of its pipelines' classes in diffusers."""
    class_name: str
    """Name of the network's class in diffusers."""
    network_part: str = "transformer"
    """The pipeline's name for the network."""
    single_files: Mapping[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    """Names of tensors in single files of its models, as the authors call them → short names of the models from which
    such files may have been made. Of all families' entries, the one counts of which a file has the most tensors."""

    # Loading

    tokenizer_part: str = "tokenizer"
    """The pipeline's name for the part with the tokenizer."""
    optional_parts: tuple[str, ...] = ()
    """Parts that may be missing from a pipeline."""
    of_pipeline: tuple[str, ...] = ("is_distilled",)
    """Settings in the pipeline's model_index.json that SeeDiff adds to the network's configuration."""
    half: str = "float16"
    """The 16-bit number format for this family, in which its networks do not overflow."""

    def has_weights(self, part: str) -> bool:
        """Whether a part of the pipeline has weights, as the network, the autoencoder and text encoders have. part: its
        name."""
        return re.fullmatch(rf"{self.network_part}|vae|text_encoder(_[0-9])?", part) is not None

    def tokenizers(self, folder: Path) -> dict[str, Any]:
        """Part → its tokenizer or processor, if diffusers would need further libraries to load it; empty otherwise.
        folder: the pipeline's checked folder."""
        return {}

    # Attention

    streams: Mapping[str, Layer] = field(default_factory=dict)
    """Name of a list of blocks in the network → the attention layer that each of these blocks has. Empty: modules named
    `attn1` attend to the picture, and modules named `attn2` to the text."""
    attention_name: str = "attn"
    """Name of the attention module in each block of `streams`."""
    replaces_missing_levels: bool = True
    """Whether the nearest level of attention replaces a level that the model lacks. False for Stable Diffusion 1 and 2,
    which have all of the paper's levels."""

    def layers(self, network: Any) -> dict[str, Layer]:
        """Name → layer, for all attention modules of a network that can be captured, in the order of blocks. Raises
        UserError for unsupported attention."""
        layers: dict[str, Layer] = {}
        for stream, layer in self.streams.items():
            for number in range(len(getattr(network, stream))):
                layers[f"{stream}.{number}.{self.attention_name}"] = layer
        if not self.streams:
            for name, _ in network.named_modules():
                if name.endswith((".attn1", ".attn2")):
                    layers[name] = SELF if name.endswith("1") else CROSS
        for name in layers:
            refuse_adapters(name, network.get_submodule(name))
        return layers

    def names_in(self, names: Sequence[str], choice: LayerChoice) -> list[str]:
        """The names of the attention modules that a choice stands for. In a network without sides, "up" and the like
        stand for all modules, as "all" does.

        names: all attention modules. choice: without a slash, such as "9-12". Raises UserError for blocks that
        the network lacks."""
        numbers = block_numbers(choice)
        if numbers is None:
            return list(names)
        blocks = block_names(names)
        if max(numbers) >= len(blocks):
            raise UserError("capture.layers", f"{choice}: the model has blocks 0 to {len(blocks) - 1}")
        return list(chain.from_iterable(blocks[number] for number in sorted(numbers)))

    def layers_by_kind(self, all_layers: Mapping[str, Layer], choice: LayerChoice) -> dict[Kind, dict[str, Layer]]:
        """Kind of attention → name → layer, for the chosen layers. all_layers: from `layers`. choice: the user's, such
        as "all/last". Raises UserError for blocks that the network lacks."""
        chosen: dict[Kind, dict[str, Layer]] = {}
        for kind, of_kind in by_kind(choice).items():
            names = self.names_in(list(all_layers), of_kind)
            chosen[kind] = {name: all_layers[name] for name in names if kind in all_layers[name].kinds}
        return chosen

    # Sizes of images

    patch: int = 0
    """Latents per side of a position; 0: the network's `patch_size`."""
    side: int = 0
    """Side in pixels of the images that the pipeline draws by default; 0: the network's `sample_size`, in latents."""
    pipeline_multiple: int = 1
    """Sides of images must be multiples of this many pixels, as the pipeline requires. They must also be multiples of a
    position."""

    def patch_of(self, config: PartConfig) -> int:
        """Latents per side of a position."""
        size = self.patch or config["patch_size"]
        return int(size[-1] if isinstance(size, list | tuple) else size)  # of clips: (frames, height, width)

    def sizes(self, factor: int, config: PartConfig) -> Sizes:
        """The sizes of the model's images. factor: pixels per latent, along a side."""
        position = factor * self.patch_of(config)
        multiple = math.lcm(self.pipeline_multiple, position)
        latents = config.get("sample_size") or 0
        latents = latents[0] if isinstance(latents, list | tuple) else latents
        positions = config.get("axes_lens", ())[1:]  # the most rows and columns; the first number is for text
        largest = min(positions) * multiple if positions else None
        return Sizes(self.side or factor * int(latents), position, multiple, largest)

    # Calls of the network

    places_input: str = ""
    """Name of the network's input with the place of each column, from which `call_shape` reads the sides of pictures.
    It must say the same in all calls of a drawing."""
    reads_shown: bool = False
    """Whether the text encoder reads the pictures that the network is shown (`CallShape.shown`), too, in a processor's
    tokens before the prompt's."""
    frames_dimension: int = 0
    """The dimension of the latents along which a clip's frames lie; 0: the family draws images."""
    frames_in_rows: bool = False
    """Whether a clip's frames are consecutive rows of the batch. Otherwise the clip is one row, and its frames follow
    each other among the row's positions."""

    def call_shape(self, network: Any, inputs: NetworkInputs) -> CallShape:
        """The sizes of what a network call is given."""
        shape = latents_of(inputs).shape
        height, width = (side // self.patch_of(network.config) for side in shape[-2:])
        frames = shape[self.frames_dimension] if self.frames_dimension else 1
        return CallShape(shape[0], height, width, state_columns(inputs), frames)

    # Text

    text_columns: int = CLIP_TOKENS
    """The maximum number of text columns."""

    def readers(self, pipe: Any) -> tuple[Reader, ...]:
        """The tokenizers. Tokenizers whose tokens are text columns come first."""
        return (Reader("tokenizer", pipe.tokenizer, self.text_columns),)

    def of_tokenizers(self, first: Any, *more: Any) -> Family:
        """The family with this family's class of networks to which a pipeline's tokenizers belong. Some may be
        None."""
        return self

    # Guidance

    distilled_steps: int = 4
    """Default steps of its models that were distilled to draw without guidance."""
    embeds_guidance: bool = False
    """Whether the guidance scale is an input of the network, which then predicts once per step."""
    negative: bool = True
    """Whether guidance reads the negative prompt. Otherwise it reads the empty prompt."""
    from_zero: bool = False
    """Whether the pipeline's guidance scale for no guidance is 0; otherwise it is 1."""

    def few_steps(self, config: PartConfig) -> int | None:
        """Default steps of a model that was distilled to draw without guidance; None if the network's configuration
        does not say that it was."""
        is_distilled = config.get("is_distilled")
        if self.embeds_guidance:
            is_distilled = not config.get("guidance_embeds", True)
        return self.distilled_steps if is_distilled else None

    def reads_negative(self, pipe: Any, guidance_scale: float) -> bool:
        """Whether a negative prompt changes the picture at this guidance scale."""
        return self.negative and guidance_scale > 1 and not self.embeds_guidance

    # Drawing

    gives_sigmas: bool = False
    """Whether the pipeline itself chooses the noise levels, and passes them to the scheduler."""

    def count_predictions(self, pipe: Any, steps: int) -> int:
        """How often the network predicts with the prompt in a drawing of this many steps; with some schedulers, twice
        per step. Sets the scheduler's timesteps as a side effect."""
        more = {"mu": 1.0} if pipe.scheduler.config.get("use_dynamic_shifting") else {}  # keeps the number of steps
        pipe.scheduler.set_timesteps(steps, **more)
        return len(pipe.scheduler.timesteps)

    def pipeline_arguments(self, pipe: Any, drawing: DrawRequest) -> dict[str, Any]:
        """Name → value, for all arguments of the pipeline's call that draws. A guidance scale of 1 or less means no
        guidance."""
        scale = drawing.guidance_scale
        arguments = {
            "prompt": list(drawing.prompts),
            "height": drawing.height,
            "width": drawing.width,
            "num_inference_steps": drawing.steps,
            "guidance_scale": 0.0 if self.from_zero and scale <= 1 else scale,
            "generator": list(drawing.generators),
            "output_type": "np",
            **{name: value for name, value in PLAIN_ARGUMENTS.items() if name in signature(pipe.__call__).parameters},
        }
        if self.reads_negative(pipe, drawing.guidance_scale):
            arguments["negative_prompt"] = [drawing.negative_prompt] * len(drawing.prompts)
        return arguments


@dataclass(frozen=True)
class FlowMatching(Family):
    """Families trained by flow matching: at noise level t of 1000, the share of noise is t / 1000."""

    NOISE_LEVELS: ClassVar[int] = 1000
    """The number of noise levels."""

    half: str = "bfloat16"
    gives_sigmas: bool = True
    side: int = 1024
    text_columns: int = 512
    """How many tokens most pipelines read by default. Templates around the prompt, and padding, count."""

    def has_noise_schedule(self, pipe: Any) -> bool:
        return hasattr(pipe.scheduler, "sigmas")

    def mix(self, pipe: Any, timestep: int) -> tuple[float, float]:
        return 1 - timestep / self.NOISE_LEVELS, timestep / self.NOISE_LEVELS

    def target(self, pipe: Any, timestep: int, latents: Tensor, noise: Tensor) -> Tensor:
        return noise - latents
