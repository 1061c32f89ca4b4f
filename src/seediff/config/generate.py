"""What decides what `generate` makes, in frozen dataclasses, and whose constants apply where none are given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from ..errors import UserError
from ..files.documents import read_toml
from ..files.messages import counted
from .base import RunConfig, build, load_config, nested, read_table
from .constants import CaptureConfig, CaptureSteps, MaskConfig
from .names import DEFAULT_PROMPTS, check_classes, check_prompts
from .presets import THRESHOLDS, for_drawing, model_preset, model_thresholds, with_method_defaults
from .sizes import Size, check_size

Dataset = TypeVar("Dataset", bound="DatasetConfig")


MAX_IMAGES = 10_000_000
"""Of one dataset: what each is to show is one list in memory."""


@dataclass(frozen=True, kw_only=True)
class DatasetConfig(RunConfig):
    """What decides about the masks of a dataset, wherever its images come from."""

    last_file: ClassVar[str] = "metadata.jsonl"

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
        for name, kind in nested(cls).items():
            given = values.get(name, {})
            if isinstance(given, kind):
                values[name] = asdict(given)  # type: ignore[call-overload]  # a dataclass
            elif not isinstance(given, Mapping):
                raise UserError(f"{name} must be a {kind.__name__} or a table of its fields, not {given!r}")
            elif unknown := sorted(set(given) - {f.name for f in fields(kind)}):  # type: ignore[arg-type]
                known = ", ".join(f.name for f in fields(kind))  # type: ignore[arg-type]
                raise UserError(f"{name}: there is no option '{unknown[0]}'; options here: {known}")
        return build(cls, values, preset_for(cls, values))


@dataclass(frozen=True)
class GenerateConfig(DatasetConfig):
    """What to generate. `classes` is all that must be given."""

    command: ClassVar[str] = "generate"

    per_class: int = 10
    """Images that show each class."""
    negative_prompt: str = ""
    """What images should not show."""
    classes_per_image: int | tuple[int, ...] = 1
    """Distinct classes in every image, or several numbers that take turns, such as 1,1,2,2,3.

    --per-class counts the images that show a class: classes × per-class ÷ this (the mean, of several) in all."""
    steps: int = 50
    """Denoising steps."""
    guidance_scale: float = 7.5
    """How closely images follow the prompt; 1 is no guidance."""
    size: Size | None = None
    """Size of the images in pixels: a side, or width x height such as 1024x768; None: the model's own."""
    reject: bool = False
    """Draw a sample again, with other noise, when its mask is flagged; leave it out when every attempt is."""
    attempts: int = 5
    """With --reject: at most this many draws per sample."""
    image_format: Literal["png", "jpg"] = "png"
    """Format of the images; masks are always PNG."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("per_class", "steps", "attempts"):
            if (value := getattr(self, name)) < 1:
                raise UserError(f"{name} = {value} must be at least 1")
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
        if self.image_format not in ("png", "jpg"):
            raise UserError(f"image_format = {self.image_format!r} must be 'png' or 'jpg'")
        if not self.negative_prompt.isprintable():
            raise UserError(f"negative_prompt {self.negative_prompt!r} contains a line break or unprintable characters")

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


def preset_for(kind: type[DatasetConfig], *tables: Mapping[str, Any], preset: bool = True) -> dict[str, Any]:
    """The constants of the model (presets.py; none with `preset` False) and of the method (methods.py) that the tables name, to be
    merged behind them."""
    model = next((t["model"] for t in tables if "model" in t), RunConfig.model)
    method = next((t["mask"]["method"] for t in tables if "method" in t.get("mask", {})), None)
    known = {f.name for f in fields(kind)}
    # Thresholds are no choice between the paper's constants and the model's: no paper has any.
    constants = with_method_defaults({**_authors(model), **(model_preset(model, method) if preset else model_thresholds(model))}, method)
    return {name: value for name, value in _of_kind(kind, constants).items() if name in known}


def _of_kind(kind: type[DatasetConfig], constants: dict[str, Any]) -> dict[str, Any]:
    """A model's constants as the command takes them: only what draws has steps of drawing."""
    return for_drawing(constants) if issubclass(kind, GenerateConfig) else constants


def merge_config(
    kind: type[Dataset], line: Mapping[str, Any], file: Path | None = None, *, preset: bool = True, tuned: Mapping[str, Any] | None = None
) -> Dataset:
    """The configuration of a command: its own values, then those of its --config file, the model's preset, the method's own, the paper's.

    A dataset's seediff.toml (it says `version`) holds every value, and what has no line there is unset: no preset fills it. Where the
    command names another model or method than it, what the file holds only because of its own one's preset gives way to the other's.

    tuned: what `seediff tune` found, as `tuned.tuned_table` gives it, which goes before the model's preset.
    """
    more = tuned or {}
    if file is None:
        return build(kind, line, more, preset_for(kind, line, more, preset=preset))
    table = read_table(file, kind)
    if "version" not in read_toml(file):
        return build(kind, line, table, more, preset_for(kind, line, table, more, preset=preset))
    own_model, own_method = table.get("model", RunConfig.model), table.get("mask", {}).get("method", MaskConfig.method)
    other_model = line.get("model", own_model) != own_model
    if not other_model and line.get("mask", {}).get("method", own_method) == own_method:
        return build(kind, line, table)
    own = with_method_defaults({**_authors(own_model), **model_preset(own_model, own_method)}, own_method)
    chosen = _chosen_by_hand(table, _of_kind(kind, own), other_model)
    return build(kind, line, chosen, more, preset_for(kind, line, table, more, preset=preset))


def own_drawing(model: str, steps: int | None = None, guidance_scale: float | None = None) -> tuple[int, float]:
    """`steps` and `guidance_scale` as given; where None, the model's own, or the package's where it has none.

    Raises UserError as GenerateConfig does for the two.
    """
    own = preset_for(GenerateConfig, {"model": model})
    chosen = GenerateConfig(
        ("object",),
        steps=own.get("steps", GenerateConfig.steps) if steps is None else steps,
        guidance_scale=own.get("guidance_scale", GenerateConfig.guidance_scale) if guidance_scale is None else guidance_scale,
    )
    return chosen.steps, chosen.guidance_scale


def own_capture_steps(model: str) -> CaptureSteps:
    """Of which steps the model's preset takes the attention; all, where it does not say."""
    return preset_for(GenerateConfig, {"model": model}).get("capture", {}).get("steps", CaptureConfig.steps)


def _authors(model: str) -> dict[str, Any]:
    """`steps` and `guidance_scale` that the authors of the model's family recommend; the package's own are those of the paper's models."""
    from ..models.about import look_up  # light: loads no model

    about = look_up(model, fetch=True)  # the same on a hub id's first run as on later ones
    return about.defaults() if about else {}


def _chosen_by_hand(table: Mapping[str, Any], preset_table: Mapping[str, Any], other_model: bool) -> dict[str, Any]:
    """A dataset's table without the constants that are those of its own preset, or the paper's. The method stays; so do steps, guidance and
    the steps that are captured, which are the model's, unless another model comes."""

    def differing(held: Mapping[str, Any], preset: Mapping[str, Any], paper: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in held.items() if key not in paper or value not in (paper[key], preset.get(key, paper[key]))}

    paper = {name: getattr(GenerateConfig, name) for name in ("steps", "guidance_scale")} if other_model else {}
    if other_model:  # a threshold that is the one model's own says nothing of the other
        table = {key: value for key, value in table.items() if key not in THRESHOLDS or value != preset_table.get(key)}
    mask = {
        **differing(table.get("mask", {}), preset_table.get("mask", {}), asdict(MaskConfig())),
        "method": table.get("mask", {}).get("method", MaskConfig.method),
    }
    paper_capture = {name: value for name, value in asdict(CaptureConfig()).items() if other_model or name != "steps"}
    capture = differing(table.get("capture", {}), preset_table.get("capture", {}), paper_capture)
    return {**differing(table, preset_table, paper), "mask": mask, "capture": capture}
