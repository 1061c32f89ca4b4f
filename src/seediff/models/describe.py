"""Describes a model from its small files, before any weights are read (`describe_model`). They may have the constants
that were tuned for it: a `Preset`, in the seediff.json of the model's folder, or in a file of `seediff tune`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tomli_w

from ..errors import UserError
from ..files.messages import did_you_mean, show_json
from ..files.reading import fit, read_json, read_toml
from ..version import __version__
from .families import families, pipeline_family
from .families.family import Family, Sizes, pixels_per_latent
from .families.inputs import Reader
from .hub import INDEX, fetch_file
from .layers import Layer
from .libraries import import_diffusers, import_transformers
from .locate import ModelFiles, locate, read_index
from .no_code import check_index, check_parts, check_settings

Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Constants that were tuned for a model. None: not tuned. Wrong constants are refused where a configuration is made
    of them."""

    model: str = ""
    """In a file of `seediff tune`, the model's name."""
    weights: str = ""
    """In a file of `seediff tune`, the fingerprint of the model's weights."""
    note: str = ""
    steps: int | None = None
    guidance_scale: float | None = None
    guidance_of_several: float | None = None
    """The guidance scale with several classes in an image."""
    scheduler: str | None = None
    capture_steps: int | str | None = None
    """Which denoising steps are captured, for any method; photographs have none."""
    method: str | None = None
    presence: float | None = None
    name_threshold: float | None = None
    methods: Mapping[str, Tables] = field(default_factory=dict)
    """Mask method → its constants in two tables: {"mask": {"beta": 0.4}, "capture": …}."""
    segments: Tables = field(default_factory=dict)
    """Segment method → its constants."""

    def values(self, method: str, segmenter: str, *, several: bool = False) -> dict[str, Any]:
        """Flat name (`mask.beta`) → value, of what was tuned for a mask method and a segment method. several: whether
        images have several classes."""
        plain = {name: getattr(self, name) for name in ("steps", "guidance_scale", "scheduler", *THRESHOLDS)}
        if several and self.guidance_of_several is not None:
            plain["guidance_scale"] = self.guidance_of_several
        tables = {**self.methods.get(method, {}), "segment": self.segments.get(segmenter, {})}
        own = {f"{table}.{name}": value for table, values in tables.items() for name, value in values.items()}
        known = {"mask.method": self.method, **plain, **own}
        return {name: value for name, value in known.items() if value is not None}


UNTUNED = Preset()
THRESHOLDS = "presence", "name_threshold"
"""What the papers do not have, because it differs from model to model."""


def read_preset(path: Path | str, *others: str) -> Preset:
    """The constants in a file that `seediff tune` wrote. others: what --preset may be instead. Raises UserError."""
    if not Path(path).is_file():
        raise UserError("preset", f"{path} must be {', '.join(others)} or a file of `seediff tune`; no such file")
    preset = fit(read_toml(path), Preset, str(path))
    if not preset.model:
        raise UserError(path, "is not a file of `seediff tune`: it names no model")
    return preset


def preset_toml(preset: Preset) -> str:
    """The text of a file that `read_preset` reads."""
    values = {name: value for name, value in vars(preset).items() if value not in (None, "", {})}
    return tomli_w.dumps({"command": "tune", "version": __version__, **values})


@dataclass(frozen=True)
class ModelSettings:
    """The contents of seediff.json in a model's folder."""

    classes: tuple[str, ...] | None = None
    """All classes that the model can draw; None: there is no limit."""
    words: tuple[str, ...] | None = None
    """All words that the model knows, with its classes; None: there is no limit."""
    preset: Preset | None = None


@dataclass(frozen=True)
class ModelInfo:
    """The description of a model by its small files. No weights have been read for it; a loaded model has one, too."""

    files: ModelFiles
    family: Family
    pipeline: str
    """The name of the pipeline's class in diffusers."""
    network_config: Mapping[str, Any]
    """The network's config.json; empty if this machine lacks the file or cannot read it."""
    vae_config: Mapping[str, Any]
    """The autoencoder's config.json; empty if this machine lacks the file or cannot read it."""
    settings: ModelSettings = ModelSettings()

    @property
    def name(self) -> str:
        """The name that the user gave."""
        return self.files.name

    @cached_property
    def layers(self) -> Mapping[str, Layer] | None:
        """Name → attention layer, for all layers that can be captured, by the network without weights, which is built
        in 0.1 to 1.3 s. None if its config.json is missing or broken, which loading the model reports. Raises UserError
        for attention that cannot be captured."""
        if not self.network_config:
            return None
        import_diffusers()
        import diffusers
        import torch

        network = None
        with suppress(Exception), torch.device("meta"):  # the file may hold anything
            check_settings("config.json", self.network_config)
            network = getattr(diffusers, self.family.class_name).from_config(dict(self.network_config))
        return None if network is None else self.family.layers(network)

    @cached_property
    def readers(self) -> tuple[Reader, ...]:
        """The tokenizers; empty if this machine lacks their files or cannot load them."""
        folder = self.files.folder
        if folder is None:
            return ()
        loaded: dict[str, Any] = {}
        with suppress(Exception):  # the files may hold anything
            transformers = import_transformers()
            index = read_index(folder)
            parts = check_index(folder / INDEX, index, self.family)
            names = [part for part in parts if part.startswith("tokenizer")]
            check_parts([folder / part for part in names])
            for part in names:
                tokenizer_class = getattr(transformers, index[part][1])
                loaded[part] = tokenizer_class.from_pretrained(folder / part, trust_remote_code=False)
            readers = self.family.readers(SimpleNamespace(**loaded))
            for reader in readers:
                if reader.wrap is not None:
                    reader.wrap("dog")  # may need what only a loaded pipeline has
            return readers
        return ()

    def defaults(self) -> dict[str, Any]:
        """Option → its default for this model: the pipeline's own steps and guidance, or its page's, in the table
        of short names. If the configuration says that the model was distilled to draw without guidance, these
        values replace both. Imports diffusers, which takes seconds."""
        import_diffusers()
        import diffusers

        taken = signature(getattr(diffusers, self.pipeline).__call__).parameters
        scales = [taken[name].default for name in ("guidance_scale", "true_cfg_scale") if name in taken]
        scale = next((scale for scale in scales if scale is not None), None)
        values = {"steps": taken["num_inference_steps"].default, "guidance_scale": scale}
        if self.files.named is not None:
            page = {name: getattr(self.files.named, name) for name in values}
            values |= {name: value for name, value in page.items() if value is not None}
        few = self.family.few_steps(self.network_config)
        if few is not None:
            values = {"steps": few, "guidance_scale": 0.0}
        return values

    def check_drawing(self, guidance_scale: float, negative_prompt: str) -> None:
        """Raise UserError for values that the model cannot draw with. guidance_scale: must be at most 1 if the model's
        configuration says that it draws without guidance. negative_prompt: must be empty if the model reads none."""
        family = self.family
        if guidance_scale > 1 and family.few_steps(self.network_config) is not None:
            raise UserError("guidance_scale", f"{guidance_scale}: model '{self.name}' draws without guidance", "use 0")
        if negative_prompt and (family.embeds_guidance or not family.negative):
            raise UserError("negative_prompt", f"{negative_prompt!r}: model '{self.name}' reads none", "leave it out")

    @property
    def sizes(self) -> Sizes | None:
        """The sizes of the model's images; None if its files do not say them."""
        with suppress(KeyError, TypeError, ValueError, IndexError):  # the files may hold anything
            sizes = self.family.sizes(pixels_per_latent(self.vae_config), self.network_config)
            return sizes if sizes.side else None
        return None


def describe_model(name: str, base: str | None = None, *, planned: bool = False) -> ModelInfo:
    """The description of a model, after its small files were fetched if this machine lacks them: model_index.json, and
    the config.json of its network and its autoencoder.

    name, base: as in `locate`. planned: whether this is a dry run, which asks the hub only about models without a short
    name. Raises UserError as `locate` and `describe` do, and if a file cannot be fetched, but not for a model with a
    short name: the table is enough to describe it."""
    files = locate(name, base)
    if isinstance(files.whole, str) and not (planned and files.named):
        try:
            family = pipeline_family(read_index(fetch_file(files.whole, INDEX).parent).get("_class_name"))
            for part in (family.network_part, "vae") if family else ():
                fetch_file(files.whole, f"{part}/config.json")
        except UserError:  # of a broken file, `describe` says it
            if not files.named:
                raise
    return describe(files)


def describe_here(name: str, base: str | None = None) -> ModelInfo | None:
    """The description of a model by what this machine has, without asking the hub; None if that raises UserError. name,
    base: as in `locate`."""
    with suppress(UserError):
        return describe(locate(name, base))
    return None


def describe(files: ModelFiles) -> ModelInfo:
    """The description of a model by its small files on this machine. Without these files, the table of short names says
    the pipeline's class.

    Raises UserError if the pipeline belongs to no family, if seediff.json is wrong, and if there are neither files nor
    a short name."""
    index = files.index()
    pipeline = index.get("_class_name")
    if files.folder is None:
        if files.named is None:
            raise UserError("model", f"{files.base}: is not on this machine", f"`seediff download {files.base}`")
        pipeline = files.named.pipeline
    family = pipeline_family(pipeline)
    if family is None:
        raise unsupported(files.base, pipeline)
    network, vae = (_read_config(files.folder, part) for part in (family.network_part, "vae"))
    if files.network:
        network = _read_config(files.network.parent, files.network.name) or network
    if network:
        network = {**network, **{key: index[key] for key in family.of_pipeline if key in index}}
    settings = read_settings(files.whole) if files.is_whole else ModelSettings()
    return ModelInfo(files, family, str(pipeline), network, vae, settings)


def read_settings(whole: Path | str) -> ModelSettings:
    """The settings in a model's seediff.json; empty without that file, and for a hub id. whole: the model's folder or
    hub id. Raises UserError."""
    path = Path(whole) / "seediff.json"
    if isinstance(whole, str) or not path.exists():
        return ModelSettings()
    settings = read_json(path, ModelSettings)
    if settings.classes is None:
        return replace(settings, words=None)
    return replace(settings, words=(*settings.classes, *(settings.words or ())))


def unsupported(name: str, pipeline: Any) -> UserError:
    """The error for a model whose pipeline belongs to no family. name: the model's name. pipeline: the pipeline's class
    in its model_index.json, where anything may stand."""
    supported = ", ".join(f"{family.title} ({', '.join(family.pipelines)})" for family in families())
    return UserError("model", f"{name}: is a {show_json(pipeline)}, which is not supported", f"supported: {supported}")


def check_known_classes(name: str, known: Sequence[str] | None, classes: Sequence[str], field: str = "classes") -> None:
    """Raise UserError if a model does not know a class. The message lists what it knows.

    name: the model's name. known: the classes or words that it knows; None: all. classes: the classes that the user
    wants. field: their option, for messages."""
    if known is None:
        return
    unknown = [class_name for class_name in classes if class_name not in known]
    if unknown:
        listed = ", ".join(f"{class_name!r}{did_you_mean(class_name, known)}" for class_name in unknown)
        fix = f"it knows: {', '.join(known)}; for others, use a larger model, such as sd1.5"
        raise UserError(field, f"model '{name}' does not know {listed}", fix)


def _read_config(folder: Path | None, part: str) -> dict[str, Any]:
    """The config.json of a part of a model; empty if it is missing or cannot be read."""
    if folder is not None:
        with suppress(UserError):
            return read_json(folder / part / "config.json", dict[str, Any])
    return {}
