"""Jobs that run a model: what they check before its weights are loaded, what they capture, and the lines of a dry
run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
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
from ..models.fingerprint import weights_fingerprint
from ..models.footprint import Footprint, footprint, largest_batch
from ..models.info import ModelInfo, check_known_classes, model_info
from ..models.memory import Offload, memory_bytes
from ..models.registry import check_additions
from ..models.sources import find_source
from .loop import Captured, Item, Job

if TYPE_CHECKING:
    from ..models.registry import Model

ModelConfig = GenerateConfig | MaskPhotosConfig | SegmentPhotosConfig
"""Configurations of the commands that run a model."""


class ModelJob(Job[Config, Item, Captured]):
    """A job that runs a model. Its configuration is a `ModelConfig`."""

    capture_plan: Any = None
    """The `CapturePlan`; None until the job is checked, or the model loaded if its small files do not say enough."""
    model: Model
    """Once it is loaded."""
    warn: Callable[[str], None] = staticmethod(warnings.warn)
    """Tells a person what makes the results doubtful, before the first batch."""

    def check(self) -> None:
        self.capture_plan = check_inputs(self.config)  # type: ignore[arg-type]  # a ModelConfig

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

    def fitted(self, config: Config) -> Config:
        """With as many pictures per batch as fit into the GPU's memory, unless their number was given."""
        gpu = self._gpu(config)
        if gpu is None or config.source("batch_size") != DEFAULT:
            return config
        self.check()
        size = largest_batch(self.footprint, config.batch_size, gpu[1])
        return config if size == config.batch_size else config.with_batches(size)

    def _gpu(self, config: RunConfig) -> tuple[str, int] | None:
        from ..devices import default_device, find_gpu

        return find_gpu(self.device or config.device or default_device())

    def footprint(self, images: int) -> Footprint | None:
        """What a batch of so many pictures needs of a GPU; None if the model's files do not tell. After `check`."""
        config, plan = self.config, self.capture_plan
        info = model_info(config.model, config.base)
        if info is None or plan is None or plan.size is None:
            return None
        drawn = isinstance(config, GenerateConfig) and config.guidance_scale > 1 and not info.family.distilled
        twice = drawn and info.family.conditional != "first call"
        return footprint(
            info,
            plan.size,
            images=images,
            rows=images * (1 + twice),
            map_bytes=plan.expected.map_bytes if plan.expected else 0,
            dtype=config.dtype or info.family.half,
            offload=self.offload,
            quantize=config.quantize,
        )

    def use(self, model: Model) -> None:
        """Use this model, after checking what only a loaded model can tell."""
        self.model = model
        if self.capture_plan is None or self.capture_plan.size is None:  # its small files did not say enough
            self.capture_plan = check_inputs(self.config, model.info)  # type: ignore[arg-type]

    def settings(self, reads: Reads | None = None) -> list[str]:
        """Lines of a dry run: model, capture, replaced levels, untuned constants, all values. reads: of the capture."""
        config, plan = self.config, self.capture_plan
        lines = [model_line(config, self.offload)]
        if plan is not None:
            expected = replace(plan, reads=plan.reads if reads is None else reads).expected
            nearly = ", nearly as much in other shapes" if getattr(config, "fit", "") == "keep" else ""
            lines += [f"Capture: {expected}{nearly}"] if expected and expected.layers else []
            lines += [f"Levels: {note}" for note in plan.notes]
        if config.device != "cpu" and (need := self.footprint(config.batch_size)):
            gpu = self._gpu(config)
            lines.append(f"GPU memory: {need}" + (f", of {show_bytes(gpu[1])} ({gpu[0]})" if gpu else ""))
        if isinstance(config, DatasetConfig) and (info := model_info(config.model, config.base)):
            asked = BEST if config.source("mask.method").startswith(BEST_SOURCE) else config.mask.method
            if whose := foreign_constants(info, asked):
                lines.append(f"Constants: those for masks were never tuned for {info.family.title}; they are {whose}")
        return [*lines, *config.source_lines()]


def check_inputs(config: ModelConfig, info: ModelInfo | None = None) -> CapturePlan | None:
    """Raise UserError for everything in a configuration that the model's small files show to be wrong; broken files are
    left to loading. Returns the plan of the capture; None if they do not say enough. info: of a loaded model.
    """
    dataset = config if isinstance(config, DatasetConfig) else None
    if info is None:
        info = model_info(config.model, config.base, check=True)
        gguf = (info.source if info else find_source(config.model, config.base)).is_gguf
        check_additions(info.family if info else None, config.model, gguf=gguf, **config.loading)
        sam = dataset and dataset.mask.sam_weights
        for what, source in (("lora", config.lora), ("embedding", config.embedding), ("sam", sam)):
            if source is not None:
                local_file(what, source)
    if dataset:
        check_capture(dataset.mask.method, dataset.capture.normalize)
    if info is None:
        return None
    if dataset:
        check_known_classes(config.model, info.settings.classes, dataset.classes)
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

    if not info.knows_network:
        return None
    if isinstance(config, DatasetConfig):
        reads = EVERYTHING if config.keep_attention else None
        plan = plan_capture(
            info.family,
            info.network,
            config.capture,
            mask=config.mask,
            reads=reads,
            pipeline=info.pipeline,
            size=size,
        )
    else:
        plan = plan_segments(info.family, info.network, config.segment, config.model, pipeline=info.pipeline, size=size)
        if size:
            from ..segments.make_segments import check_positions  # imports torch

            check_positions(config.segment, info.family.levels(info.network), size)
    expected = plan.expected if config.size is not None else None
    if sides and expected and (there := memory_bytes()) and expected.map_bytes > there:
        needed = f"attention maps of an image of this size take {show_bytes(expected.map_bytes)}"
        problem = f"{config.size}: {needed}, and this computer has {show_bytes(there)} of memory"
        raise UserError("size", problem, f"choose a smaller one (model '{config.model}' has {sides[0]} of its own)")
    return plan


def model_line(config: RunConfig, offload: Offload) -> str:
    """The line about the model that will be loaded. Raises UserError for a name that is no model's."""
    source, info = find_source(config.model, config.base), model_info(config.model, config.base)
    here = isinstance(source.whole, Path)
    where = "found" if here else "fetched from the hub unless it is in the cache"
    if info is None and not here:
        where = "not on this machine; the run refuses it if it is not supported"
    if info and not source.is_whole:
        where = f"{info.family.title}: {source.parts_line(info.family)}, {where}"
    return f"Model: {config.model} ({where}){f', offload {offload}' if offload != 'none' else ''}"
