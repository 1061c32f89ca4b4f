"""What the small files of a local model, and the devices there are, tell before any weights are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..attention.expected import Expected, expect_capture
from ..config.base import RunConfig
from ..config.constants import CaptureConfig, MaskConfig
from ..config.generate import DatasetConfig, GenerateConfig
from ..config.levels import EVERYTHING, Reads, check_divides, check_kinds, check_levels, fit_layers, fit_levels, maps_read
from ..config.methods import check_capture
from ..config.photographs import MaskPhotosConfig, SegmentPhotosConfig, check_attention
from ..config.presets import is_tuned_for
from ..config.sizes import check_sides, pixels
from ..errors import UserError
from ..files.messages import show_bytes
from ..files.places import memory_bytes
from ..models.adapters import check_embedding, check_lora, local_file
from ..models.hub import resolve_name
from ..models.info import ModelInfo, check_known_classes, check_supported, model_info, read_settings
from ..models.memory import Offload, check_offload

if TYPE_CHECKING:
    from .loop import Engine  # imports torch


def check_files(config: GenerateConfig | MaskPhotosConfig) -> None:
    """Raise UserError for a model of no family, classes that it does not know, guidance of one that draws without, levels of attention that
    it lacks, a size that it cannot work on, a LoRA that is not there and a capture that the method cannot work with, without loading it.

    Nothing is known of a hub id without a short name before it is fetched. What is wrong with the files themselves, loading says better.
    """
    check_capture(config.mask.method, config.capture.normalize)
    check_supported(config.model)
    check_known_classes(config.model, read_settings(resolve_name(config.model)).classes, config.classes)
    info = model_info(config.model)
    _check_added(config, info)
    if info is None:
        return
    check_kinds(info.family, config.mask)
    if isinstance(config, GenerateConfig):
        if info.network:
            info.family.check_guidance(info.network, config.model, config.guidance_scale)
        info.family.check_negative(config.model, config.negative_prompt)
    if info.network:
        fit_layers(info.network, config.mask, config.capture, info.family)
    if {"down_block_types", "up_block_types"} <= set(info.network):
        check_levels(info.network, config.mask, config.capture, info.family)
    _check_size(config, info, config.capture, captured_maps(config))


def _check_added(config: RunConfig, info: ModelInfo | None) -> None:
    """Raise UserError for a LoRA or an embedding on this machine that is not there, or of a model that takes none."""
    if info and config.lora is not None:
        check_lora(info.family, config.lora)
    if info and config.embedding is not None:
        check_embedding(info.family, config.embedding, config.model)
    for what, source in (("lora", config.lora), ("embedding", config.embedding)):
        if source is not None:
            local_file(what, source)


def _check_size(
    config: GenerateConfig | MaskPhotosConfig | SegmentPhotosConfig, info: ModelInfo, capture: CaptureConfig, reads: Reads
) -> None:
    """Raise UserError for a size that the model cannot work on, or whose maps this computer could not hold."""
    rules, sides = info.size_rules(), info.sides()
    if config.size is None or rules is None or sides is None:
        return
    shape = pixels(config.size)
    check_sides(shape, "size", config.model, *rules)
    if not isinstance(config, GenerateConfig):
        check_attention(config.size, sides[1])
    expected = _expected(info, shape, sides[1], capture, reads)
    there = memory_bytes()
    if expected and there and expected.map_bytes > there:
        raise UserError(
            f"size = {config.size}: the attention maps of an image of this size take {show_bytes(expected.map_bytes)}, and this computer "
            f"has {show_bytes(there)} of memory; choose a smaller one (model '{config.model}' has {sides[0]} of its own)"
        )


def check_loading(config: RunConfig, device: str | None, offload: Offload, engine: Engine | None) -> None:
    """Raise UserError for a device that is not there, and for offload or compile that it cannot have, as loading the model would. device:
    as the user named it. engine: as in `generate`; machines elsewhere are not asked what they have."""
    device = device or config.device
    if device in (None, "cpu") and offload == "none" and not config.compile:
        return
    from ..devices import check_device, default_device  # imports torch
    from ..models.compiled import check_compile

    if engine is None or engine.here:
        device = check_device(device or default_device())
    elif device is None:
        return
    check_offload(offload, device)
    if config.compile:
        check_compile(device, offload)


def fitted_mask(config: DatasetConfig) -> tuple[MaskConfig, list[str]]:
    """The configuration of the method with levels that the model has, and what was changed, as `levels.fit_levels` says it; as it is where
    nothing is known of the model yet."""
    info = model_info(config.model)
    return fit_levels(info.network, config.mask, config.capture, info.family) if info and info.network else (config.mask, [])


def captured_maps(config: DatasetConfig) -> Reads:
    """The maps that are captured: those that the method reads; all, where they are kept in files."""
    return EVERYTHING if config.keep_attention else maps_read(fitted_mask(config)[0])


def expected_capture(config: DatasetConfig, size: tuple[int, int]) -> Expected | None:
    """What capture will hold of images of size (height, width) in positions of L; None where nothing is known of the model yet."""
    info = model_info(config.model)
    reads = captured_maps(config)
    return expect_capture(info.family, info.network, info.pipeline, size, config.capture.layers, reads) if info else None


def check_segment_files(config: SegmentPhotosConfig) -> None:
    """Raise UserError for a model of no family, and of one that cannot divide photographs, without loading it."""
    check_supported(config.model)
    info = model_info(config.model)
    _check_added(config, info)
    if info:
        check_divides(info.family, config.segment.method, config.model)
        _check_size(config, info, CaptureConfig(), _segment_maps(config))


def _segment_maps(config: SegmentPhotosConfig) -> Reads:
    """The maps that photographs are divided by."""
    return {} if config.segment.facts.divides_features else {"self": None}


def mask_capture_line(config: MaskPhotosConfig) -> list[str]:
    """What capture will hold of a photograph that `mask` looks at, for --dry-run; no line where nothing is known of the model yet."""
    return _capture_line(_photo_maps(config, config.capture, captured_maps(config)))


def segment_capture_line(config: SegmentPhotosConfig, *, named: bool) -> list[str]:
    """The same of `segment`. named: whether segments are called by words, for which attention to text is captured, too."""
    words: Reads = {"cross": None} if named else {}
    if not config.segment.facts.divides_features:
        return _capture_line(_photo_maps(config, CaptureConfig(), {**_segment_maps(config), **words}))
    return _capture_line("features of the UNet's encoder", _photo_maps(config, CaptureConfig(), words) if named else "")


def _capture_line(*parts: str) -> list[str]:
    said = "; ".join(filter(None, parts))
    return [f"Capture: {said}"] if said else []


def _photo_maps(config: MaskPhotosConfig | SegmentPhotosConfig, capture: CaptureConfig, reads: Reads) -> str:
    """Of a photograph that fills the square; others are seen with as many positions, or nearly. Empty where nothing is known of the model
    yet."""
    info = model_info(config.model)
    sides = info.sides() if info else None
    if info is None or sides is None:
        return ""
    expected = _expected(info, pixels(config.size or sides[0]), sides[1], capture, reads)
    return f"{expected}{', nearly as much in other shapes' if config.fit == 'keep' else ''}" if expected else ""


def _expected(info: ModelInfo, shape: tuple[int, int], factor: int, capture: CaptureConfig, reads: Reads) -> Expected | None:
    """What capture will hold of an image of (height, width) pixels, `factor` a position of L."""
    size = shape[0] // factor, shape[1] // factor
    return expect_capture(info.family, info.network, info.pipeline, size, capture.layers, reads)


def untuned_line(config: DatasetConfig) -> list[str]:
    """A line for a model whose constants of masks nobody sought; none where they were, or nothing is known of the model yet."""
    info = model_info(config.model)
    if info is None or is_tuned_for(info, config.mask.method):
        return []
    return [f"Constants: those of masks were never tuned for {info.family.title}; they are the papers', of Stable Diffusion 1 and 2"]
