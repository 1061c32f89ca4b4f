"""The configurations of `mask` and `segment`, which read photographs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from cyclopts import Parameter
from msgspec import Meta

from ..errors import UserError
from .class_names import SEGMENT, check_classes, parse_classes, reading_key
from .fields import INPUT, MASKS, MODEL, RESEARCH, WORD, AtLeastZero, Share, Timestep, read_names
from .generate_config import DatasetConfig, ImageSize
from .method_constants import SegmentConfig
from .settings import NOT_TYPED, RunConfig
from .sizes import Size, check_size, pixels
from .train import LARGEST_SIDE

Fit = Literal["keep", "resize", "crop"]
MODEL_HELP = (
    "Needed: a name from `seediff models`, such as sd1.5, a local folder, a hub id, or a .safetensors or .gguf file."
)
NeededModel = Annotated[str, Parameter(group=MODEL, show_default=False, help=MODEL_HELP)]
SIZE_HELP = (
    "Side in pixels of the square that the model sees, by default the model's own; other shapes get the same area."
    " With fit resize also width x height."
)
SeenSize = Annotated[ImageSize, Parameter(help=SIZE_HELP)]
Photos = Annotated[str, NOT_TYPED]
"""A fingerprint of the photographs, from `fingerprinted`."""

PRESENCE, NAME_THRESHOLD = 0.86, 0.514
"""Thresholds for models without tuned ones. They were tuned for the first embedded model, so the commands warn when
they use them."""

MAX_LATENT = 128
"""Maximum side of a square latent; other shapes have at most as many positions. Stable Diffusion has this side at 1024
pixels, where one head of self-attention has 16384² numbers (1 GiB)."""


def parse_listed(text: str) -> tuple[str, ...]:
    """The classes that a text stands for (`parse_classes`). The path of a .csv table stays as it is."""
    return (text,) if text.lower().endswith(".csv") else parse_classes(text)


@Parameter(group=INPUT)
@dataclass(frozen=True)
class MaskPhotosConfig(DatasetConfig):
    """The configuration of `mask`. `classes` and `model` are required; `prompts` must be one template."""

    command: ClassVar[str] = "mask"

    classes: Annotated[tuple[str, ...], read_names(parse_listed)] = field(kw_only=False)
    """Names separated by commas, a file with one per line, `voc`, `all`, or a .csv with columns file and classes."""
    model: NeededModel = field(default="", kw_only=True)
    timesteps: Annotated[tuple[Timestep, ...], WORD, Parameter(group=RESEARCH)] = (50, 150, 250, 350, 450, 550)
    """Noise levels at which attention is captured and averaged, each from 0 to 999."""
    fit: Fit = "keep"
    """How the model sees photographs. keep: in their own shape; resize: squeezed into a square; crop: only the centred
    square (255 outside)."""
    size: SeenSize = None
    presence: Annotated[Share, Parameter(group=MASKS)] = PRESENCE
    """A class whose presence score is below this gets no mask. Differs from model to model (`seediff tune`)."""
    edge_megapixels: Annotated[AtLeastZero, Parameter(group=MASKS)] = 2.0
    """PAMR follows the photograph itself, reduced to this if it is larger; 0: what the model sees of it."""
    photos: Photos = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seen(self)
        if len(self.prompts) != 1:
            raise UserError("prompts", f"{len(self.prompts)} templates", "mask takes only one")
        if not self.timesteps or len(set(self.timesteps)) < len(self.timesteps):
            raise UserError("timesteps", f"{self.timesteps} must be different noise levels")


@Parameter(group=INPUT)
@dataclass(frozen=True)
class SegmentPhotosConfig(RunConfig):
    """The configuration of `segment`. Everything but `model` has a default."""

    command: ClassVar[str] = "segment"
    presets: ClassVar[tuple[str, ...]] = ("model",)

    model: NeededModel = field(default="", kw_only=True)
    fit: Fit = "keep"
    """How the model sees photographs. keep: in their own shape; resize: squeezed into a square; crop: the centred
    square, as in the paper (255 outside)."""
    size: SeenSize = None
    names: Annotated[tuple[str, ...], read_names(parse_classes)] = ()
    """Words to name segments with, separated by commas, or a file with one per line. Not needed with --captions."""
    name_threshold: Share = NAME_THRESHOLD
    """Segments whose name scores below this stay unnamed. Differs from model to model (`seediff tune`)."""
    segment: Annotated[SegmentConfig, Parameter(name="*")] = field(default_factory=SegmentConfig)
    photos: Photos = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seen(self)
        check_segment_names(self.names, "names")

    @property
    def method(self) -> str:
        """The name of the method that makes the segments."""
        return self.segment.method

    @classmethod
    def recommended(cls, **values: Any) -> "SegmentPhotosConfig":
        """The configuration in which values that are not given are the model's constants. values: field → value. For
        `segment`, the value is a table, or a whole SegmentConfig. Raises UserError."""
        from .resolve import recommend  # imports models

        return recommend(cls, values)[0]


@Parameter(group=INPUT)
@dataclass(frozen=True, kw_only=True)
class PredictConfig(RunConfig):
    """The configuration of `predict`. `model` is required: the folder of a segmenter."""

    command: ClassVar[str] = "predict"

    scales: Annotated[tuple[Annotated[float, Meta(gt=0)], ...], WORD] = (1.0,)
    """Relative sizes at which each image is shown, such as 0.75,1,1.25; scores are averaged."""
    flip: Annotated[bool, Parameter(negative=())] = False
    """Also show each image mirrored; scores are averaged."""
    side: Annotated[Annotated[int, Meta(ge=32, le=LARGEST_SIDE)] | None, WORD] = None
    """Shorter side in pixels at which images are shown; by default the segmenter's own."""
    photos: Photos = ""


def check_segment_names(names: Sequence[str], what: str) -> None:
    """Raise UserError if words cannot be names of segments. Each word becomes a class, beside the class `segment` for
    segments without a name. names: the words. what: the subject of the message."""
    if any(reading_key(name) == SEGMENT for name in names):
        raise UserError(what, f"'{SEGMENT}' is the class of segments without a name", "leave it out")
    if names:
        check_classes((SEGMENT, *names), what)


def max_area(factor: int) -> int:
    """Maximum number of pixels of a photograph as a model sees it. factor: the model's pixels per latent position,
    along a side."""
    return (MAX_LATENT * factor) ** 2


def check_attention(size: Size | None, factor: int) -> None:
    """Raise UserError for a size whose attention does not fit into memory. size: the size of photographs as a model
    sees them; None: the model's own. factor: as in `max_area`."""
    if size is not None and math.prod(pixels(size)) > max_area(factor):
        side = MAX_LATENT * factor
        most = f"{side}" if isinstance(size, int) else f"{side}x{side} in area"
        problem = f"{size} must be at most {most} for this model, whose attention would not fit into memory"
        raise UserError("size", problem, "photographs may have any size")


def _check_seen(config: MaskPhotosConfig | SegmentPhotosConfig) -> None:
    """Raise UserError without a model, and for a size that does not suit `fit`. Bring the size into its normal form."""
    if not config.model:
        from .resolve import no_model  # imports models

        raise no_model()
    if config.size is None:
        return
    size = check_size(config.size)
    if not isinstance(size, int) and config.fit != "resize":
        problem = f"{size}: width x height needs fit resize, which squeezes every photograph into that shape"
        raise UserError("size", problem, f"for fit {config.fit} give one side")
    object.__setattr__(config, "size", size)
