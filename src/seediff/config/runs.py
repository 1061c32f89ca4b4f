"""The configurations of `generate`, `mask`, `segment` and `predict`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from cyclopts import Parameter
from msgspec import Meta

from ..errors import UserError
from ..files.messages import plural
from ..files.reading import composed, read_toml
from .class_names import DEFAULT_PROMPTS, SEGMENT, check_classes, parse_classes, parse_prompts, reading_key
from .fields import (
    INPUT,
    KEPT,
    MASKS,
    MODEL,
    RESEARCH,
    WORD,
    AtLeastZero,
    Count,
    Device,
    DType,
    Several,
    Share,
    Timestep,
    read_names,
)
from .methods import CaptureConfig, MaskConfig, SegmentConfig
from .names_in_texts import check_prompts, check_subclasses
from .settings import NOT_TYPED, OF_MODEL, BatchConfig, ModelConfig, RunConfig, differences, load_config
from .sizes import Fit, Size, check_size, shape_of
from .train import LARGEST_SIDE

ImageSize = Annotated[Size | None, WORD, Parameter(group=MODEL)]
"""The size of images. None: the model's own size."""


class RecommendedConfig(RunConfig):
    """A configuration whose defaults a model of `load_model` decides."""

    @classmethod
    def recommended(cls: "type[ModelConfig]", **values: Any) -> "ModelConfig":
        """The configuration in which values that are not given are the model's constants. (The class itself fills in
        the paper's constants.)

        values: field → value. For `mask`, `capture` and `segment`, the value is a table, such as `mask={"beta": 0.4}`,
        or a whole MaskConfig, CaptureConfig or SegmentConfig. Raises UserError.
        """
        from .resolve import recommend  # imports models

        return recommend(cls, values)[0]


@dataclass(frozen=True, kw_only=True)
class DatasetConfig(RecommendedConfig):
    """The part of the configuration that `generate` and `mask` share."""

    needed: ClassVar[Mapping[str, str]] = {
        "classes": "for example --classes dog,cat (or --classes voc, or a file with one per line)"
    }
    prompts_name: ClassVar[bool] = False
    """Whether prompts may name their classes themselves, instead of having `{class}`."""

    classes: Annotated[tuple[str, ...], read_names(parse_classes), Parameter(group=INPUT)] = field(kw_only=False)
    """Names separated by commas, a UTF-8 file with one per line, `voc` for Pascal VOC's twenty, or `all` of a small
    model's, which `seediff models mini` lists. In the masks, the first is 1."""
    prompts: Annotated[tuple[str, ...], read_names(parse_prompts), Parameter(name="--prompt", group=INPUT)] = (
        DEFAULT_PROMPTS
    )
    """Template with `{class}`, or a file with one per line; in generate, a line may also name its classes itself, as
    `a dog beside a cat` does. Repeat the option to use several in rotation."""
    keep_soft: Annotated[bool, Parameter(group=KEPT)] = False
    """Write soft masks to soft/SAMPLE_CLASS.png: 8-bit grey, 255 = 1."""
    keep_attention: Annotated[bool, Parameter(group=KEPT)] = False
    """Write attention maps to attention/SAMPLE.safetensors, for other mask methods later. Large."""
    objects: Annotated[bool, Parameter(group=KEPT)] = False
    """Write the objects of each class, its connected pieces, to instances/SAMPLE.png: 16-bit numbers."""
    capture: Annotated[CaptureConfig, Parameter(name="*")] = field(default_factory=CaptureConfig)
    mask: Annotated[MaskConfig, Parameter(name="*")] = field(default_factory=MaskConfig)

    def __post_init__(self) -> None:
        self._make_tuples("classes", "prompts")
        super().__post_init__()
        check_classes(self.classes)
        check_prompts(self.prompts, classes=self.classes if self.prompts_name else ())

    def _make_tuples(self, *names: str) -> None:
        """Convert fields to tuples, from any iterable of texts such as the keys of a table. Accented letters become
        single characters. names: the fields' names."""
        for name in names:
            texts = getattr(self, name)
            if not isinstance(texts, str):
                object.__setattr__(self, name, tuple(map(composed, texts)))

    @property
    def method(self) -> str:
        """The name of the method that makes the masks."""
        return self.mask.method


@Parameter(group=INPUT)
@dataclass(frozen=True)
class GenerateConfig(DatasetConfig):
    """The configuration of `generate`. Only `classes` is required."""

    command: ClassVar[str] = "generate"
    prompts_name: ClassVar[bool] = True
    deciding: ClassVar[tuple[str, ...]] = (*DatasetConfig.deciding, "classes_per_image")

    per_class: Count = 10
    """Images that show each class."""
    subclasses: Annotated[tuple[str, ...], read_names(parse_classes)] = ()
    """Phrases used in prompts instead of the class names, in rotation, such as `poodle dog`: separated by commas, or a
    file with one per line."""
    negative_prompt: str = ""
    """Negative prompt: what images should not show."""
    classes_per_image: Annotated[Count | Several, WORD] = 1
    """Number of different classes in each image, or several in rotation, such as 1,1,2,2,3. With 2, half as many
    images are drawn."""
    steps: Annotated[int, Meta(ge=1, le=1000), WORD, Parameter(group=MODEL)] = 50
    """Denoising steps."""
    guidance_scale: Annotated[AtLeastZero, Parameter(group=MODEL)] = 7.5
    """Guidance scale: how closely images follow the prompt; 1 turns guidance off."""
    scheduler: Annotated[str | None, Parameter(group=MODEL)] = None
    """Scheduler by name, such as euler, dpm++-karras, ddim or lcm; by default the model's own, or its LoRA's."""
    size: ImageSize = None
    """Size of the images in pixels: one side, or width x height such as 1024x768; by default the model's own."""
    reject: Annotated[bool | None, Parameter(group=KEPT)] = None
    """Redraw a sample with different noise if its mask has any flag, or never; leave it out if every attempt is
    flagged. By default, only for flags that a class may be missing, in images of several classes."""
    attempts: Annotated[Count, Parameter(group=KEPT)] = 3
    """Maximum number of draws per sample."""
    min_confidence: Annotated[Share | None, Parameter(group=KEPT)] = None
    """Also redraw samples with a mask whose confidence, from 0 to 1, is below this (try 0.25)."""
    image_format: Annotated[Literal["png", "jpg"], Parameter(group=KEPT)] = "png"
    """Format of the images; masks are always PNG."""

    def __post_init__(self) -> None:
        self._make_tuples("subclasses")
        super().__post_init__()
        if len(self.group_sizes) == 1:  # a number and a list with this number are the same configuration
            object.__setattr__(self, "classes_per_image", self.group_sizes[0])
        shown = ",".join(map(str, self.group_sizes))
        if self.capture.flip:
            raise UserError("capture.flip", "is for photographs, not generated images", "leave it out")
        if max(self.group_sizes) > len(self.classes):
            raise UserError("classes_per_image", f"{shown} is more than {plural(len(self.classes), 'class')}")
        plain = [prompt for prompt in self.prompts if "{class}" not in prompt]
        if plain and self.group_sizes != (1,):
            raise UserError("classes_per_image", f"{shown}: the prompt {plain[0]!r} names its own", "leave it out")
        if self.subclasses:
            if len(plain) == len(self.prompts):
                raise UserError("subclasses", "have no place in prompts without {class}", "leave them out")
            check_subclasses(self.subclasses, self.classes)
        if self.size is not None:
            object.__setattr__(self, "size", check_size(self.size))

    def extends(self, earlier: BatchConfig) -> bool:
        if not isinstance(earlier, GenerateConfig) or earlier.per_class >= self.per_class:
            return False
        return not differences(replace(earlier, per_class=self.per_class), self)

    def may_reject(self, classes: Sequence[str]) -> bool:
        """Whether a drawing of these classes may be rejected, and drawn again."""
        redrawn = len(classes) > 1 if self.reject is None else self.reject
        return redrawn or self.min_confidence is not None

    @property
    def group_sizes(self) -> tuple[int, ...]:
        """The numbers of classes per image, in rotation: (1,), or (1, 2) for one class and two classes by turns."""
        return (self.classes_per_image,) if isinstance(self.classes_per_image, int) else self.classes_per_image


def load_run_config(path: Path) -> RunConfig:
    """The configuration in the seediff.toml of a dataset that a model made. path: this file. Raises UserError for the
    output of another command than `generate`, `mask` and `segment`."""
    command = read_toml(path).get("command", GenerateConfig.command)
    for kind in (GenerateConfig, MaskPhotosConfig, SegmentPhotosConfig):
        if kind.command == command:
            return load_config(path, kind)
    raise UserError(path.parent, f"is the output of `seediff {command}`, which runs no model that draws")


MODEL_HELP = (
    "Needed: a name from `seediff models`, such as sd1.5, a local folder, a hub id, or a .safetensors or .gguf file."
)
NeededModel = Annotated[str, Parameter(group=MODEL, show_default=False, help=MODEL_HELP)]
SIZE_HELP = (
    "Side in pixels of the square that the model sees, by default the model's own. Other shapes get the same area."
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
    threshold: ClassVar[str] = "presence"
    """The field whose best value differs from model to model."""

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
class SegmentPhotosConfig(RecommendedConfig):
    """The configuration of `segment`. Everything but `model` has a default."""

    command: ClassVar[str] = "segment"
    threshold: ClassVar[str] = "name_threshold"
    presets: ClassVar[tuple[str, ...]] = ("model",)

    model: NeededModel = field(default="", kw_only=True)
    fit: Fit = "keep"
    """How the model sees photographs. keep: in their own shape; resize: squeezed into a square; crop: the centred
    square, as in the paper (255 outside)."""
    size: SeenSize = None
    names: Annotated[tuple[str, ...], read_names(parse_classes)] = ()
    """Words to name segments with, separated by commas, or a file with one per line."""
    name_threshold: Share = NAME_THRESHOLD
    """Segments whose name scores below this stay unnamed. Differs from model to model (`seediff tune`)."""
    segment: Annotated[SegmentConfig, Parameter(name="*")] = field(default_factory=SegmentConfig)
    photos: Photos = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seen(self)
        self.segment.known_k()  # refuses `truth`
        # Each name becomes a class, beside the class of segments without a name
        if any(reading_key(name) == SEGMENT for name in self.names):
            raise UserError("names", f"'{SEGMENT}' is the class of segments without a name", "leave it out")
        if self.names:
            check_classes((SEGMENT, *self.names), "names")

    @property
    def method(self) -> str:
        """The name of the method that makes the segments."""
        return self.segment.method


@Parameter(group=INPUT)
@dataclass(frozen=True, kw_only=True)
class PredictConfig(BatchConfig):
    """The configuration of `predict`. Only `model` is required: the folder of a segmenter."""

    command: ClassVar[str] = "predict"

    model: Annotated[str, NOT_TYPED]
    batch_size: Annotated[Count, OF_MODEL] = 8
    """Images per batch; by default fewer if 8 do not fit into the GPU's memory. Changes rounding, so it is part of
    the configuration."""
    device: Annotated[Device | None, OF_MODEL] = None
    """Device: cuda, mps or cpu; by default the fastest available."""
    dtype: Annotated[DType | None, NOT_TYPED] = None
    threads: Annotated[Count | None, NOT_TYPED] = None
    scales: Annotated[tuple[Annotated[float, Meta(gt=0)], ...], WORD] = (1.0,)
    """Relative sizes at which each image is shown, such as 0.75,1,1.25; scores are averaged."""
    flip: Annotated[bool, Parameter(negative=())] = False
    """Also show each image mirrored; scores are averaged."""
    side: Annotated[Annotated[int, Meta(ge=32, le=LARGEST_SIDE)] | None, WORD] = None
    """Shorter side in pixels at which images are shown; by default the segmenter's own."""
    photos: Photos = ""


def check_attention(size: Size | None, factor: int) -> None:
    """Raise UserError for a size whose attention does not fit into memory. size: the size of photographs as a model
    sees them; None: the model's own. factor: the model's pixels per latent position, along a side."""
    side = MAX_LATENT * factor
    if size is not None and math.prod(shape_of(size)) > side**2:
        problem = f"{size} is more than the area {side}x{side}, with which this model's attention fits into memory"
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
