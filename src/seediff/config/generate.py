"""The configuration of `generate`, in frozen dataclasses, and the sources of its constants."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from ..errors import UserError
from ..files.documents import read_toml
from ..files.messages import counted
from .base import Layer, RunConfig, differences, load_config, recommend
from .constants import CaptureConfig, MaskConfig
from .fields import Count, Share
from .methods import BEST
from .names import DEFAULT_PROMPTS, check_classes, check_prompts, check_subclasses
from .presets import find_constants
from .sizes import Size, check_size

Dataset = TypeVar("Dataset", bound="DatasetConfig")

MAX_IMAGES = 10_000_000
"""Maximum number of images in a dataset, because their specifications are one list in memory."""


@dataclass(frozen=True, kw_only=True)
class DatasetConfig(RunConfig):
    """The configuration of a dataset with masks: the part that `generate` and `mask` share."""

    last_file: ClassVar[str] = "metadata.jsonl"
    deciding: ClassVar[tuple[str, ...]] = ("model", "base", "lora", "mask.method")
    asking: ClassVar[Mapping[str, Any]] = {"mask.method": BEST}

    classes: tuple[str, ...] = field(kw_only=False)
    """Names, in the order of their ids: classes[0] is 1 in the masks."""
    prompts: tuple[str, ...] = DEFAULT_PROMPTS
    """Templates with `{class}`, which take turns."""
    keep_soft: bool = False
    """Write soft masks to soft/, one grey PNG per class, 255 = 1.

    soft/<sample>_<class id>.png, 8-bit."""
    keep_attention: bool = False
    """Write attention maps to attention/, for other mask methods later. Large.

    attention/<sample>.safetensors, for AttentionMaps.load."""
    objects: bool = False
    """Write the objects of each class, its connected pieces, to instances/.

    instances/<sample>.png, 16-bit numbers of objects; their classes and scores are in metadata.jsonl."""
    capture: CaptureConfig = field(default_factory=CaptureConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)

    def __post_init__(self) -> None:
        for name in (n for n in ("classes", "prompts", "subclasses") if hasattr(self, n)):
            texts = getattr(self, name)
            if isinstance(texts, str) or not isinstance(texts, Iterable):
                raise UserError(f"{name} must be a tuple of texts, like ({str(texts or 'dog')!r},)")
            object.__setattr__(self, name, tuple(texts))
        super().__post_init__()
        check_classes(self.classes)
        check_prompts(self.prompts)

    @classmethod
    def recommended(cls: type[Dataset], **values: Any) -> Dataset:
        """The configuration with the model's own constants for values that are not given.

        `mask` and `capture` are tables of given values, such as `mask={"beta": 0.4}`; a whole MaskConfig or CaptureConfig gives all of
        them. Calling the class itself always uses the paper's constants. Raises UserError.
        """
        return recommend(cls, values)

    @classmethod
    def behind(cls, chosen: Mapping[str, Any], preset: str) -> list[Layer]:
        model = find_constants(chosen.get("model", cls.model), chosen.get("base"))
        layers = model.mask_layers(chosen.get("mask.method"), preset, drawing=issubclass(cls, GenerateConfig))
        return [*(model.distilled_layers(chosen.get("lora")) if issubclass(cls, GenerateConfig) else []), *layers]


@dataclass(frozen=True)
class GenerateConfig(DatasetConfig):
    """The configuration of `generate`. Only `classes` is required."""

    command: ClassVar[str] = "generate"

    per_class: Count = 10
    """Images that show each class."""
    subclasses: tuple[str, ...] = ()
    """What prompts call the classes instead: phrases with a class's name such as `poodle dog`, which take turns.

    Like DiffuMask's, so that the images of a class do not all look alike. A class without phrases keeps its name."""
    negative_prompt: str = ""
    """Negative prompt: what images should not show."""
    classes_per_image: int | tuple[int, ...] = 1
    """Number of different classes in each image, or several numbers that take turns, such as 1,1,2,2,3.

    --per-class counts the images that show a class: classes × per-class ÷ this (the mean, of several) in all."""
    steps: Count = 50
    """Denoising steps."""
    guidance_scale: float = 7.5
    """Guidance scale: how closely images follow the prompt; 1 turns guidance off."""
    scheduler: str | None = None
    """Scheduler by name, such as euler, dpm++-karras, ddim or lcm; None: the model's own, or its LoRA's."""
    size: Size | None = None
    """Size of the images in pixels: one side, or width x height such as 1024x768; None: the model's own."""
    reject: bool = False
    """Draw a sample again with other noise if its mask is flagged. Leave it out if all attempts are flagged."""
    attempts: Count = 5
    """With --reject: maximum number of draws per sample."""
    min_agreement: Share | None = None
    """With --reject: also draw a sample again if the agreement of a mask is lower, for example 0.55; None: any agreement."""
    image_format: Literal["png", "jpg"] = "png"
    """Format of the images; masks are always PNG."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.turns) == 1:  # a number and a list with this number are the same configuration
            object.__setattr__(self, "classes_per_image", self.turns[0])
        shown = ",".join(map(str, self.turns)) or "()"
        if self.capture.flip:
            raise UserError("capture.flip = true", "looks once more at photographs (`seediff mask`), not at drawn pictures", "leave it out")
        if min(self.turns, default=0) < 1:
            raise UserError(f"classes_per_image = {shown} must be at least 1")
        if max(self.turns) > len(self.classes):
            are = "is" if len(self.classes) == 1 else "are"
            raise UserError(f"classes_per_image = {shown}, but there {are} only {counted(len(self.classes), 'class')}")
        if (count := self.per_class * len(self.classes) * len(self.turns) // sum(self.turns)) > MAX_IMAGES:
            raise UserError(f"per_class = {self.per_class} would be {count} images; at most {MAX_IMAGES} per dataset")
        if self.min_agreement is not None and not (self.reject and self.mask.has_agreement):
            raise UserError(f"min_agreement = {self.min_agreement}", "is for --reject and masks of method seediff", "leave it out")
        check_subclasses(self.subclasses, self.classes)
        check_guidance(self.guidance_scale)
        if self.size is not None:
            object.__setattr__(self, "size", check_size(self.size))
        if not self.negative_prompt.isprintable():
            raise UserError(f"negative_prompt {self.negative_prompt!r} contains a line break or unprintable characters")

    def extends(self, earlier: RunConfig) -> bool:
        if not isinstance(earlier, GenerateConfig) or earlier.per_class >= self.per_class:
            return False
        return not differences(replace(earlier, per_class=self.per_class), self)

    @property
    def loading(self) -> dict[str, Any]:
        return {**super().loading, "scheduler": self.scheduler}

    @property
    def turns(self) -> tuple[int, ...]:
        """The numbers of classes per image, which take turns."""
        return (self.classes_per_image,) if isinstance(self.classes_per_image, int) else self.classes_per_image


def check_guidance(guidance_scale: float) -> None:
    """Raise UserError for an invalid guidance scale."""
    if not (math.isfinite(guidance_scale) and guidance_scale >= 0):
        raise UserError(f"guidance_scale = {guidance_scale} must be a number of at least 0 (7.5 is usual, 1 is none)")


def load_dataset_config(path: Path, *others: type[DatasetConfig]) -> DatasetConfig:
    """The configuration in a dataset's seediff.toml, written by `generate` or the command of one of `others`. Raises UserError."""
    kinds = {kind.command: kind for kind in (GenerateConfig, *others)}
    command = read_toml(path).get("command", GenerateConfig.command)
    if command not in kinds:
        makers = " or ".join(f"`seediff {name}`" for name in kinds)
        raise UserError(f"{path.parent}: is not a dataset that {makers} made, but the output of `seediff {command}`")
    return load_config(path, kinds[command])
