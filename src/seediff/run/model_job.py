"""Jobs that run a model: what they check before its weights are loaded, what they capture, and the lines of a dry
run.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..attention.plan import CapturePlan, plan_capture, plan_segments
from ..config.base import DEFAULT, Config, RunConfig
from ..config.generate import DatasetConfig, GenerateConfig
from ..config.levels import EVERYTHING, Reads
from ..config.methods import BEST, check_capture
from ..config.photographs import MaskPhotosConfig, SegmentPhotosConfig, check_attention
from ..config.presets import BEST_SOURCE, foreign_constants
from ..config.sizes import check_sides, pixels
from ..errors import UserError
from ..files.messages import show_bytes
from ..models.adapters import local_file
from ..models.families.family import Layer
from ..models.fingerprint import weights_fingerprint
from ..models.info import ModelInfo, check_known_classes, model_info
from ..models.memory import Offload, memory_bytes
from ..models.registry import check_additions
from ..models.sources import find_source
from .loop import AnyJob, Captured, Item, Job, Timer

if TYPE_CHECKING:
    from ..models.registry import Model

ModelConfig = GenerateConfig | MaskPhotosConfig | SegmentPhotosConfig
"""Configurations of the commands that run a model."""


class ModelJob(Job[Config, Item, Captured]):
    """A job that runs a model. Its configuration is a `ModelConfig`."""

    info: ModelInfo | None = None
    """What is known of the model, once the job is checked; None: nothing, before it is loaded."""
    capture_plan: Any = None
    """The `CapturePlan`; None until the job is checked, or the model loaded if its small files are not here."""
    model: Model
    """Once it is loaded."""
    warn: Callable[[str], None] = staticmethod(warnings.warn)
    """Tells a person what makes the results doubtful, before the first batch."""

    def check(self) -> None:
        config = self.config
        self.info = info = model_info(config.model, config.base, check=True)
        check_inputs(config, info)  # type: ignore[arg-type]  # a ModelConfig
        self.capture_plan = plan_model(config, info, info.layers()) if info else None  # type: ignore[arg-type]

    def load(self) -> str:
        from ..models.registry import load_model

        config = self.config
        self.check()
        device, sam = self.device or config.device, None
        if isinstance(config, DatasetConfig) and config.mask.sam is not None:
            from ..masks.sam import load_sam

            load_sam(config.mask.sam)
            sam = config.mask.sam_weights
        model = load_model(
            config.model,
            device=device,
            dtype=config.dtype,
            offload=self.offload,
            graphs=self.graphs,
            **config.loading,
        )
        self.use(model)
        return weights_fingerprint(*config.weight_sources, sam)  # after loading, which may have fetched them

    def use(self, model: Model) -> None:
        """Use this model, after checking what only a loaded model can tell."""
        self.model = model
        self.capture_plan = plan_model(self.config, model.info, model.layers)  # type: ignore[arg-type]

    @property
    def tries_batches(self) -> bool:
        on_card = (self.device or self.config.device or "").startswith("cuda")
        return self.on_device and on_card and self.config.source("batch_size") == DEFAULT

    def fitting_size(self) -> int:
        from .trials import fitting_size  # imports torch

        return fitting_size(self, self.model.network)

    def trial(self, count: int) -> tuple[AnyJob, Sequence[Item]]:
        trial = copy(self)
        trial.config, trial.timer = self.quick_config(), Timer()
        return trial, self.hardest_items(count)

    def quick_config(self) -> Config:
        """The configuration with fewer steps, with which a batch needs as much memory."""
        return self.config

    @abstractmethod
    def hardest_items(self, count: int) -> Sequence[Item]:
        """`count` items that need the most memory; fewer if there are not as many."""

    def settings(self, reads: Reads | None = None) -> list[str]:
        """Lines of a dry run: model, capture, replaced levels, untuned constants, all values. reads: of the capture."""
        config, plan, info = self.config, self.capture_plan, self.info
        lines = [model_line(config, info, self.offload)]
        if plan is None or plan.size is None:
            lines.append("Capture: not known, because the model's configuration is not on this machine")
        else:
            expected = plan.expected if reads is None else replace(plan, reads=reads).expected
            nearly = ", nearly as much in other shapes" if getattr(config, "fit", "") == "keep" else ""
            if expected.layers:
                lines.append(f"Capture: {expected}{nearly}")
            lines += [f"Levels: {note}" for note in plan.notes]
        lines.append(weights_line(config, info, self.device or config.device))
        if isinstance(config, DatasetConfig) and info:
            asked = BEST if config.source("mask.method").startswith(BEST_SOURCE) else config.mask.method
            whose = foreign_constants(info, asked)
            if whose:
                lines.append(f"Constants: those for masks were never tuned for {info.family.title}; they are {whose}")
        return [*lines, *config.source_lines()]


def check_inputs(config: ModelConfig, info: ModelInfo | None) -> None:
    """Raise UserError for everything that is wrong with what is loaded beside the model, and with a method's capture.
    info: None: nothing is known of the model."""
    source, family = (info.source, info.family) if info else (find_source(config.model, config.base), None)
    check_additions(family, config.model, gguf=source.is_gguf, **config.loading)
    sam = config.mask.sam_weights if isinstance(config, DatasetConfig) else None
    for what, source in (("lora", config.lora), ("embedding", config.embedding), ("sam", sam)):
        if source is not None:
            local_file(what, source)
    if isinstance(config, DatasetConfig):
        check_capture(config.mask.method, config.capture.normalize)


def plan_model(config: ModelConfig, info: ModelInfo, layers: Mapping[str, Layer] | None) -> CapturePlan | None:
    """The plan of the capture with a model; None if its layers are not known yet. Raises UserError for everything that
    does not fit the model, as far as its small files tell; broken files are left to loading."""
    if isinstance(config, DatasetConfig):
        check_known_classes(config.model, info.settings.classes, config.classes)
    elif isinstance(config, SegmentPhotosConfig):
        check_known_classes(config.model, info.settings.words, config.names, "names")
    if isinstance(config, GenerateConfig):
        if info.network:
            info.family.check_guidance(info.network, config.model, config.guidance_scale)
        info.family.check_negative(config.model, config.negative_prompt)

    rules, sides, size = info.size_rules(), info.sides(), None
    if rules and sides:
        height, width = pixels(config.size or sides[0])
        if not isinstance(config, GenerateConfig):
            check_attention(config.size, sides[1])
        check_sides((height, width), "size", config.model, *rules)
        size = height // sides[1], width // sides[1]

    if layers is None:
        return None
    if isinstance(config, DatasetConfig):
        reads = EVERYTHING if config.keep_attention else None
        plan = plan_capture(
            info.family,
            layers,
            config.capture,
            mask=config.mask,
            reads=reads,
            pipeline=info.pipeline,
            size=size,
        )
    else:
        plan = plan_segments(info.family, layers, config.segment, config.model, pipeline=info.pipeline, size=size)
        if size:
            from ..segments.make_segments import check_positions  # imports torch

            check_positions(config.segment, plan.levels("self"), size)
    expected = plan.expected if config.size is not None else None
    if sides and expected and (there := memory_bytes()) and expected.map_bytes > there:
        needed = f"attention maps of an image of this size take {show_bytes(expected.map_bytes)}"
        problem = f"{config.size}: {needed}, and this computer has {show_bytes(there)} of memory"
        raise UserError("size", problem, f"choose a smaller one (model '{config.model}' has {sides[0]} of its own)")
    return plan


def model_line(config: RunConfig, info: ModelInfo | None, offload: Offload) -> str:
    """The line about the model that will be loaded. Raises UserError for a name that is no model's."""
    source = info.source if info else find_source(config.model, config.base)
    here = isinstance(source.whole, Path)
    where = "found" if here else "fetched from the hub unless it is in the cache"
    if info is None and not here:
        where = "not on this machine; the run refuses it if it is not supported"
    if info and not source.is_whole:
        where = f"{info.family.title}: {source.parts_line(info.family)}, {where}"
    line = f"Model: {config.model} ({where})"
    return line if offload == "none" else f"{line}, offload {offload}"


def weights_line(config: RunConfig, info: ModelInfo | None, device: str | None) -> str:
    """The line about the memory that a model needs. device: None: the one that is there."""
    from ..devices import default_device, default_dtype  # imports torch

    size, line = None, "Weights: not known, because they are not all on this machine"
    if info:
        dtype = config.dtype or default_dtype(device or default_device(), info.family.half)
        with suppress(UserError):  # loading tells what is wrong with a file
            size = info.source.weight_bytes(info.family, dtype)
    if info and size:
        before = f", before {config.quantize}" if config.quantize else ""
        line = f"Weights: {show_bytes(size)} in {dtype}{before}"
    if info and info.family.measured:
        line += f"; an H100 needed {info.family.measured} (docs/gpus.md)"
    return line
