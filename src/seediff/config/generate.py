"""What decides what `generate` makes, in frozen dataclasses, and whose constants apply where none are given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from ..errors import UserError
from ..files.documents import read_toml
from ..files.messages import counted
from .base import Layer, RunConfig, flatten, load_config, recommend
from .constants import CaptureConfig, MaskConfig
from .fields import Count
from .names import DEFAULT_PROMPTS, check_classes, check_prompts
from .presets import THRESHOLDS, find_constants
from .sizes import Size, check_size

Dataset = TypeVar("Dataset", bound="DatasetConfig")

MAX_IMAGES = 10_000_000
"""Of one dataset: what each is to show is one list in memory."""


@dataclass(frozen=True, kw_only=True)
class DatasetConfig(RunConfig):
    """What decides about the masks of a dataset, wherever its images come from."""

    last_file: ClassVar[str] = "metadata.jsonl"
    deciding: ClassVar[tuple[str, ...]] = ("model", "base", "lora", "mask.method")

    classes: tuple[str, ...] = field(kw_only=False)
    """Names, in the order of their ids: classes[0] is 1 in the masks."""
    prompts: tuple[str, ...] = DEFAULT_PROMPTS
    """Templates with `{class}`, cycled."""
    keep_soft: bool = False
    """Keep soft masks: soft/, a grey PNG per class, 255 = 1.

    soft/<sample>_<class id>.png, 8-bit."""
    keep_attention: bool = False
    """Keep attention: attention/, for other mask methods later. Large.

    attention/<sample>.safetensors, for AttentionMaps.load."""
    capture: CaptureConfig = field(default_factory=CaptureConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("classes", "prompts"):
            if isinstance(getattr(self, name), str):
                raise UserError(f"{name} must be a tuple of texts, like ({getattr(self, name)!r},)")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_classes(self.classes)
        check_prompts(self.prompts)

    @classmethod
    def recommended(cls: type[Dataset], **values: Any) -> Dataset:
        """The configuration with the model's own constants where none are given.

        `mask` and `capture` are tables of the values that are given, such as `mask={"beta": 0.4}`; a whole MaskConfig or CaptureConfig
        gives all of them. The class itself, called, always means the paper's. Raises UserError.
        """
        return recommend(cls, values)

    @classmethod
    def behind(cls, chosen: Mapping[str, Any], preset: str) -> list[Layer]:
        model = find_constants(chosen.get("model", cls.model), chosen.get("base"))
        layers = model.mask_layers(chosen.get("mask.method"), preset, drawing=issubclass(cls, GenerateConfig))
        return [*(model.distilled_layers(chosen.get("lora")) if issubclass(cls, GenerateConfig) else []), *layers]

    @classmethod
    def given_earlier(cls, values: Mapping[str, Any], changed: tuple[str, ...]) -> Mapping[str, Any]:
        """All but constants that are the paper's, or of the preset of the file's own model and method. With another method alone, what is
        the model's stays: steps, guidance, thresholds and the steps that are captured."""
        method = values.get("mask.method", MaskConfig.method)
        layers = cls.behind({**values, "mask.method": method}, "model")
        preset = {name: value for layer in reversed(layers) for name, value in flatten(cls, layer.values).items()}
        paper = flatten(GenerateConfig, {"mask": asdict(MaskConfig()), "capture": asdict(CaptureConfig())})
        paper |= {name: getattr(GenerateConfig, name) for name in ("steps", "guidance_scale")}
        paper |= {name: preset.get(name) for name in THRESHOLDS.values()}
        ours = () if "model" in changed else ("steps", "guidance_scale", "capture.steps", *THRESHOLDS.values())
        kept = {"mask.method", *ours, *(values.keys() - paper.keys())}
        return {name: value for name, value in values.items() if name in kept or value not in (paper[name], preset.get(name, paper[name]))}


@dataclass(frozen=True)
class GenerateConfig(DatasetConfig):
    """What to generate. `classes` is all that must be given."""

    command: ClassVar[str] = "generate"

    per_class: Count = 10
    """Images that show each class."""
    negative_prompt: str = ""
    """What images should not show."""
    classes_per_image: int | tuple[int, ...] = 1
    """Distinct classes in every image, or several numbers that take turns, such as 1,1,2,2,3.

    --per-class counts the images that show a class: classes × per-class ÷ this (the mean, of several) in all."""
    steps: Count = 50
    """Denoising steps."""
    guidance_scale: float = 7.5
    """How closely images follow the prompt; 1 is no guidance."""
    scheduler: str | None = None
    """Scheduler by name, such as euler, dpm++-karras, ddim or lcm; None: the model's own, or its LoRA's."""
    size: Size | None = None
    """Size of the images in pixels: a side, or width x height such as 1024x768; None: the model's own."""
    reject: bool = False
    """Draw a sample again, with other noise, when its mask is flagged; leave it out when every attempt is."""
    attempts: Count = 5
    """With --reject: at most this many draws per sample."""
    image_format: Literal["png", "jpg"] = "png"
    """Format of the images; masks are always PNG."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.turns) == 1:  # one number and a list of it are the same configuration
            object.__setattr__(self, "classes_per_image", self.turns[0])
        shown = ",".join(map(str, self.turns)) or "()"
        if min(self.turns, default=0) < 1:
            raise UserError(f"classes_per_image = {shown} must be at least 1")
        if max(self.turns) > len(self.classes):
            are = "is" if len(self.classes) == 1 else "are"
            raise UserError(f"classes_per_image = {shown}, but there {are} only {counted(len(self.classes), 'class')}")
        if (count := self.per_class * len(self.classes) * len(self.turns) // sum(self.turns)) > MAX_IMAGES:
            raise UserError(f"per_class = {self.per_class} would be {count} images; at most {MAX_IMAGES} a dataset")
        check_guidance(self.guidance_scale)
        if self.size is not None:
            object.__setattr__(self, "size", check_size(self.size))
        if not self.negative_prompt.isprintable():
            raise UserError(f"negative_prompt {self.negative_prompt!r} contains a line break or unprintable characters")

    @property
    def loading(self) -> dict[str, Any]:
        return {**super().loading, "scheduler": self.scheduler}

    @property
    def turns(self) -> tuple[int, ...]:
        """Numbers of classes that images show, in turn."""
        return (self.classes_per_image,) if isinstance(self.classes_per_image, int) else self.classes_per_image


def check_guidance(guidance_scale: float) -> None:
    """Raise UserError for what no model can be guided with."""
    if not (math.isfinite(guidance_scale) and guidance_scale >= 0):
        raise UserError(f"guidance_scale = {guidance_scale} must be a number of at least 0 (7.5 is usual, 1 is none)")


def load_dataset_config(path: Path, *others: type[DatasetConfig]) -> DatasetConfig:
    """The configuration in a dataset's seediff.toml, whichever of `generate` and the commands of `others` made it. Raises UserError."""
    kinds = {kind.command: kind for kind in (GenerateConfig, *others)}
    command = read_toml(path).get("command", GenerateConfig.command)
    if command not in kinds:
        makers = " or ".join(f"`seediff {name}`" for name in kinds)
        raise UserError(f"{path.parent}: is not a dataset that {makers} made, but the output of `seediff {command}`")
    return load_config(path, kinds[command])
