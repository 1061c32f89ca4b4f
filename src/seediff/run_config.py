"""Everything that decides what `generate` makes: one frozen dataclass, read from TOML and written as seediff.toml.

The bytes of a dataset follow from this object and the version of the package; where it is written, and how progress is
shown, are not part of it. Values come from the command line, else from the file of --config, else from the defaults here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import tomli_w

from . import __version__
from .config import CaptureConfig, MaskConfig
from .errors import UserError
from .fields import checked
from .presets import model_preset
from .prompts import DEFAULT_PROMPTS, check_classes, check_prompts, parse_classes, parse_prompts
from .toml import read_toml

ABOUT = ("version", "weights")
"""What a dataset's seediff.toml says besides the configuration: who wrote it, and the fingerprint of the model's weights."""


@dataclass(frozen=True)
class GenerateConfig:
    """What to generate. `classes` is all that must be given."""

    classes: tuple[str, ...]
    """Names, in the order of their ids: classes[0] is 1 in the masks."""
    per_class: int = 10
    """Images that show each class."""
    prompts: tuple[str, ...] = DEFAULT_PROMPTS
    """Templates with `{class}`, cycled."""
    negative_prompt: str = ""
    classes_per_image: int = 1
    """Distinct classes shown together in every image."""
    model: str = "mini"
    """A name that `seediff models` lists, a local folder or a hub id. A relative folder is looked up from where the program runs, now
    and when the run is continued: name it by its full path to continue from elsewhere."""
    steps: int = 50
    """Denoising steps."""
    guidance_scale: float = 7.5
    size: int | None = None
    """Side of the images in pixels; None: the model's own."""
    batch_size: int = 8
    """Images drawn together. Part of the configuration, because rounding depends on it."""
    seed: int = 0
    reject: bool = False
    """Draw a sample again, with other noise, when its mask is flagged; leave it out when every attempt is flagged."""
    attempts: int = 5
    """How often at most a sample is drawn in all when `reject` is on."""
    keep_soft: bool = False
    """Also keep the soft masks: soft/<sample>_<class id>.png, 8-bit grey, 255 = 1."""
    keep_attention: bool = False
    """Also keep the attention maps: attention/<sample>.safetensors, for AttentionMaps.load."""
    image_format: Literal["png", "jpg"] = "png"
    """Masks are PNG always."""
    device: str | None = None
    """cuda, mps or cpu; None: the best one there is."""
    dtype: str | None = None
    """float32, float16 or bfloat16; None: what suits the device."""
    threads: int | None = None
    """Threads of the cpu, when that is the device: another number rounds otherwise. None: as many as torch takes."""
    capture: CaptureConfig = field(default_factory=CaptureConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)

    def __post_init__(self) -> None:
        for name in ("classes", "prompts"):
            if isinstance(getattr(self, name), str):
                raise UserError(f"{name} must be a tuple of texts, like ({getattr(self, name)!r},)")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_classes(self.classes)
        check_prompts(self.prompts)
        for name in ("per_class", "classes_per_image", "steps", "batch_size", "attempts", "threads"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UserError(f"{name} = {getattr(self, name)} must be at least 1")
        if self.classes_per_image > len(self.classes):
            raise UserError(f"classes_per_image = {self.classes_per_image}, but there are only {len(self.classes)} classes")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"seed = {self.seed} must be in [0, 2^63)")
        if not (math.isfinite(self.guidance_scale) and self.guidance_scale >= 0):
            raise UserError(f"guidance_scale = {self.guidance_scale} must be a number of at least 0 (7.5 is usual, 1 is none)")
        if self.size is not None and (self.size < 8 or self.size % 8):
            raise UserError(f"size = {self.size} must be a positive multiple of 8")
        if self.image_format not in ("png", "jpg"):
            raise UserError(f"image_format = {self.image_format!r} must be 'png' or 'jpg'")
        if not self.negative_prompt.isprintable():
            raise UserError(f"negative_prompt {self.negative_prompt!r} contains a line break or unprintable characters")

    @classmethod
    def recommended(cls, **values: Any) -> GenerateConfig:
        """The configuration with the model's own constants where none are given.

        `mask` and `capture` are tables of the values that are given, such as `mask={"beta": 0.4}`; a whole MaskConfig or CaptureConfig
        gives all of them. `GenerateConfig(...)` itself always means the paper's. Raises UserError.
        """
        for name, kind in (("mask", MaskConfig), ("capture", CaptureConfig)):
            given = values.get(name, {})
            if isinstance(given, kind):
                values[name] = asdict(given)
            elif not isinstance(given, Mapping):
                raise UserError(f"{name} must be a {kind.__name__} or a table of its fields, not {given!r}")
            elif unknown := sorted(set(given) - {f.name for f in fields(kind)}):
                raise UserError(f"{name}: there is no option '{unknown[0]}'; options here: {', '.join(f.name for f in fields(kind))}")
        return build_config(values, preset_for(values))

    @property
    def model_label(self) -> str:
        """The model's name for rows and pages: of a local folder its last part, so that they do not tell where it lay.

        seediff.toml alone holds the path as it was given, for `--config`.
        """
        return Path(self.model).resolve().name if Path(self.model).is_dir() else self.model

    def to_toml(self, weights: str = "") -> str:
        """The text of seediff.toml, which `--config` reads back. What is None has no line. weights: the model's fingerprint."""
        about = {"version": __version__, **({"weights": weights} if weights else {})}
        return tomli_w.dumps({**about, **_without_none(asdict(self))})

    def batches(self, count: int) -> list[range]:
        """Which samples are drawn together, of `count` in all."""
        return [range(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]


def read_table(path: Path) -> dict[str, Any]:
    """The values of a TOML file, checked for names and types, for `build_config`. What is about a dataset (ABOUT) is left out.

    `classes` and `prompts` may also be what the command line takes: one text with names between commas, `voc`, a file.
    """
    table = read_toml(path)
    for key in ABOUT:
        table.pop(key, None)
    if isinstance(table.get("classes"), str):
        table["classes"] = list(parse_classes(table["classes"]))
    if isinstance(table.get("prompts"), str):
        table["prompts"] = list(parse_prompts([table["prompts"]]))
    return checked(GenerateConfig, table, str(path))


def build_config(*tables: Mapping[str, Any]) -> GenerateConfig:
    """One configuration from tables of given values, such as the command line's and a file's; the first that has a value wins.

    Tables are nested like seediff.toml: keys of GenerateConfig, with `capture` and `mask` as tables of their own.
    """
    merged: dict[str, Any] = {"capture": {}, "mask": {}}
    for table in reversed(tables):
        nested = {key: {**merged[key], **table.get(key, {})} for key in ("capture", "mask")}
        merged = {**merged, **table, **nested}
    if "classes" not in merged:
        raise UserError("no classes: name them, for example --classes dog,cat (or --classes voc, or a file with one a line)")
    return GenerateConfig(**{**merged, "capture": CaptureConfig(**merged["capture"]), "mask": MaskConfig(**merged["mask"])})


def preset_for(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """The model's own constants (presets.py) for the model and the method that the tables name, to be merged behind them."""
    model = next((t["model"] for t in tables if "model" in t), GenerateConfig.model)
    method = next((t["mask"]["method"] for t in tables if "method" in t.get("mask", {})), None)
    return model_preset(model, method)


def merge_config(line: Mapping[str, Any], file: Path | None = None, *, preset: bool = True) -> GenerateConfig:
    """The configuration of a command: its own values, then those of its --config file, then the model's preset, then the paper's.

    A dataset's seediff.toml (it says `version`) holds every value, and what has no line there is unset: no preset fills it. Where the
    command names another model or method than it, what the file holds only because of its own one's preset gives way to the other's.
    """
    if file is None:
        return build_config(line, preset_for(line) if preset else {})
    table = read_table(file)
    if "version" not in read_toml(file):
        return build_config(line, table, preset_for(line, table) if preset else {})
    own_model, own_method = table.get("model", GenerateConfig.model), table.get("mask", {}).get("method", MaskConfig.method)
    other_model = line.get("model", own_model) != own_model
    if not other_model and line.get("mask", {}).get("method", own_method) == own_method:
        return build_config(line, table)
    chosen = _chosen_by_hand(table, model_preset(own_model, own_method), other_model)
    return build_config(line, chosen, preset_for(line, table) if preset else {})


def _chosen_by_hand(table: Mapping[str, Any], own: Mapping[str, Any], other_model: bool) -> dict[str, Any]:
    """A dataset's table without the constants that are those of its own preset, or the paper's. The method stays; so do steps and guidance,
    which are the model's, unless another model comes."""

    def differing(held: Mapping[str, Any], preset: Mapping[str, Any], paper: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in held.items() if key not in paper or value not in (paper[key], preset.get(key, paper[key]))}

    paper = {name: getattr(GenerateConfig, name) for name in ("steps", "guidance_scale")} if other_model else {}
    mask = {
        **differing(table.get("mask", {}), own.get("mask", {}), asdict(MaskConfig())),
        "method": table.get("mask", {}).get("method", MaskConfig.method),
    }
    capture = differing(table.get("capture", {}), own.get("capture", {}), asdict(CaptureConfig()))
    return {**differing(table, own, paper), "mask": mask, "capture": capture}


def load_config(path: Path) -> GenerateConfig:
    """The configuration in a TOML file, such as a dataset's seediff.toml."""
    return build_config(read_table(path))


def differences(old: GenerateConfig, new: GenerateConfig) -> list[str]:
    """What differs, one `key: old → new` each, in the order of the fields; empty when both make the same bytes."""
    before, after = _flat(asdict(old)), _flat(asdict(new))
    return [f"{key}: {_shown(before[key])} → {_shown(after[key])}" for key in before if before[key] != after[key]]


def resolve_device(config: GenerateConfig) -> GenerateConfig:
    """The configuration with the device, number format and, on the cpu, threads that will be used, which decide about rounding."""
    import torch

    from .models.registry import default_device, default_dtype  # imports torch and diffusers

    device = config.device or default_device()
    threads = (config.threads or torch.get_num_threads()) if device == "cpu" else config.threads
    return replace(config, device=device, dtype=config.dtype or default_dtype(device), threads=threads)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "unset" if value is None else repr(value) if value == "" else str(value)


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """TOML has no None: what is not set has no line."""
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None}
