"""Checks that need only a model's small files and the devices, before weights are loaded; and the lines of a dry run."""

from __future__ import annotations

from pathlib import Path

from ..attention.expected import Expected, expect_capture, memory_bytes
from ..config.base import GIVEN, RunConfig
from ..config.constants import CaptureConfig, MaskConfig
from ..config.generate import DatasetConfig, GenerateConfig
from ..config.levels import EVERYTHING, Reads, check_divides, check_kinds, check_levels, fit_layers, fit_levels, maps_read
from ..config.methods import BEST, check_capture
from ..config.photographs import MaskPhotosConfig, SegmentPhotosConfig, check_attention, max_area
from ..config.presets import BEST_SOURCE, foreign_constants
from ..config.sizes import check_sides, pixels
from ..errors import UserError
from ..files.messages import show_bytes, shown
from ..models.adapters import check_embedding, check_lora, local_file
from ..models.groups import layers_name
from ..models.hub import check_repository
from ..models.info import ModelInfo, check_known_classes, check_supported, model_info
from ..models.memory import Offload, check_offload
from ..models.quantize import check_quantize
from ..models.schedulers import check_scheduler, scheduler_class
from ..models.sources import find_source

ModelConfig = GenerateConfig | MaskPhotosConfig | SegmentPhotosConfig
"""Configurations of the commands that run a model."""


def check_files(config: ModelConfig) -> None:
    """Raise UserError, without loading the model, for a model of no known family, classes that it does not know, guidance if it draws
    without, levels of attention that it lacks, a size that it does not support, a missing LoRA, and a capture that the method cannot use.

    Nothing is known about a hub id without a short name before it is fetched. Broken files are left to loading, which reports them better.
    """
    if isinstance(config, DatasetConfig):
        check_capture(config.mask.method, config.capture.normalize)
        if config.mask.sam_weights is not None:
            local_file("sam", config.mask.sam_weights)
    check_supported(config.model, config.base)
    info = model_info(config.model, config.base)
    if info and isinstance(config, DatasetConfig):
        check_known_classes(config.model, info.settings.classes, config.classes)
    if info and config.lora is not None:
        check_lora(info.family, config.lora)
    if isinstance(config, GenerateConfig) and config.scheduler is not None:
        check_scheduler(info.family, config.scheduler) if info else scheduler_class(config.scheduler)
    if config.quantize is not None:
        check_quantize(config.quantize, compile=config.compile, quantised=find_source(config.model, config.base).is_gguf)
    if info and config.embedding is not None:
        check_embedding(info.family, config.embedding, config.model)
    for what, source in (("lora", config.lora), ("embedding", config.embedding)):
        if source is not None:
            local_file(what, source)
    if info is None:
        return
    if isinstance(config, DatasetConfig):
        check_kinds(info.family, config.mask)
        if isinstance(config, GenerateConfig):
            if info.network:
                info.family.check_guidance(info.network, config.model, config.guidance_scale)
            info.family.check_negative(config.model, config.negative_prompt)
        if info.network:
            fit_layers(info.network, config.mask, config.capture, info.family)
        if {"down_block_types", "up_block_types"} <= set(info.network):
            check_levels(info.network, config.mask, config.capture, info.family)
    else:
        check_divides(info.family, config.segment, config.model)
    _check_size(config, info)


def _check_size(config: ModelConfig, info: ModelInfo) -> None:
    """Raise UserError for a size that the model does not support, or whose maps do not fit into this computer's memory."""
    rules, sides = info.size_rules(), info.sides()
    if config.size is None or rules is None or sides is None:
        return
    area = None if isinstance(config, GenerateConfig) else max_area(sides[1])
    check_sides(pixels(config.size), "size", config.model, *rules, area)
    if area is not None:
        check_attention(config.size, sides[1])
    expected, there = expected_capture(config), memory_bytes()
    if expected and there and expected.map_bytes > there:
        raise UserError(
            f"size = {config.size}: the attention maps of an image of this size take {show_bytes(expected.map_bytes)}, and this computer "
            f"has {show_bytes(there)} of memory; choose a smaller one (model '{config.model}' has {sides[0]} of its own)"
        )


def check_loading(config: RunConfig, device: str | None, offload: Offload, here: bool = True) -> None:
    """Raise UserError for a device that is not available, and for offload or compile that it does not support, as loading the model
    would. device: as named by the user. here: whether this machine computes; other machines are not checked."""
    device = device or config.device
    if device in (None, "cpu") and offload == "none" and not config.compile:
        return
    from ..devices import check_device, default_device  # imports torch
    from ..models.compiled import check_compile

    if here:
        device = check_device(device or default_device())
    elif device is None:
        return
    check_offload(offload, device)
    if config.compile:
        check_compile(device, offload)


def fitted_mask(config: DatasetConfig) -> tuple[MaskConfig, list[str]]:
    """The configuration of masks with levels that the model has, and notes on the changes, from `levels.fit_levels`; unchanged if nothing
    is known about the model yet."""
    info = model_info(config.model, config.base)
    return fit_levels(info.network, config.mask, config.capture, info.family) if info and info.network else (config.mask, [])


def captured_maps(config: ModelConfig) -> Reads:
    """The maps to capture: those that the method reads, or all if they are saved."""
    if isinstance(config, DatasetConfig):
        return EVERYTHING if config.keep_attention else maps_read(fitted_mask(config)[0])
    return {} if config.segment.divides_features else {"self": None}


def expected_capture(config: ModelConfig, reads: Reads | None = None, sides: tuple[int, int] | None = None) -> Expected | None:
    """The expected capture of an image, or of a photograph that fills the square; None if nothing is known about the model yet.

    reads: instead of those of the method. sides: the model's image side in pixels, and pixels per position, if its files do not say.
    """
    info = model_info(config.model, config.base)
    sides = (info.sides() if info else None) or sides
    if info is None or sides is None:
        return None
    height, width = (side // sides[1] for side in pixels(config.size or sides[0]))
    capture = config.capture if isinstance(config, DatasetConfig) else CaptureConfig()
    reads = captured_maps(config) if reads is None else reads
    return expect_capture(info.family, info.network, info.pipeline, (height, width), capture, reads)


def model_line(config: RunConfig, offload: Offload) -> str:
    """The line about the model that will be loaded, and how. Raises UserError for a name that is no model's."""
    source, info = find_source(config.model, config.base), model_info(config.model, config.base)
    where = "found" if isinstance(source.whole, Path) else "fetched from the hub unless it is in the cache"
    if info is None and not isinstance(source.whole, Path):
        check_repository(source.whole)
        where = "not known: it is not on this machine, and the hub says nothing of it; the run would refuse what is not supported"
    if info and not source.is_whole:
        where = f"{info.family.title}: {source.parts_line(info.family)}, {where}"
    loading = [(name, value) for name, value in config.loading.items() if value is not None and value is not False]
    given = [name if value is True else f"{name} {value}" for name, value in loading]
    return ", ".join([f"Model: {config.model} ({where})", *given, *([f"offload {offload}"] if offload != "none" else [])])


def mask_lines(config: DatasetConfig, expected: str) -> list[str]:
    """Describes how masks will be made: the method, the attention, the capture's contents, replaced levels, and untuned constants."""
    mask, capture, info = config.mask, config.capture, model_info(config.model, config.base)
    steps = {"all": "all steps", "second-half": "the second half of the steps"}.get(str(capture.steps), f"one step in {capture.steps}")
    means = "maps divided by their maxima" if capture.normalize else "plain means"
    mean = ", geometric mean over layers" if capture.mean == "geometric" else ""
    share = ", a word's share of the text alone" if capture.text_share == "text" else ""
    share += f", words of '{capture.prompt}'" if capture.prompt is not None else ""
    share += ", mirrored too" * capture.flip
    way = f"{mask.method}, alpha {mask.alpha}, beta {mask.beta}"
    extra = [
        *(["classes compete"] if mask.compete else []),
        *([f"outlines by {mask.sam}"] if mask.sam is not None else []),
    ]
    lines = [
        ", ".join([f"Masks: {way}, PAMR {'on' if mask.pamr else 'off'}", *extra]),
        f"Attention: {means}, {layers_name(capture.layers)}, {steps}{mean}{share}",
        *capture_line(expected),
        *(f"Levels: {note}" for note in fitted_mask(config)[1]),
    ]
    asked = BEST if config.source("mask.method").startswith(BEST_SOURCE) else mask.method
    if info and (whose := foreign_constants(info, asked)):
        lines.append(f"Constants: those of masks were never tuned for {info.family.title}; they are {whose}")
    return lines


def capture_line(*parts: str) -> list[str]:
    return [f"Capture: {said}"] if (said := "; ".join(filter(None, parts))) else []


def photo_capture(config: ModelConfig, reads: Reads | None = None) -> str:
    """The contents of the capture for a photograph, for `capture_line`; photographs of other shapes have nearly as many positions."""
    expected = expected_capture(config, reads)
    return f"{expected}{', nearly as much in other shapes' if getattr(config, 'fit', '') == 'keep' else ''}" if expected else ""


def source_lines(config: RunConfig) -> list[str]:
    """The sources of values that are not defaults, one line per source, with the values that were not given."""
    flat, sources = config.flat(), config.sources()
    given = [f"Given: {', '.join(sources.pop(GIVEN))}"] if GIVEN in sources else []
    return given + [f"From {source}: {', '.join(f'{name} = {shown(flat[name])}' for name in names)}" for source, names in sources.items()]
