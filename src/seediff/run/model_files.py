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
from ..config.recommended import is_tuned_for
from ..config.sizes import check_sides, pixels
from ..errors import UserError
from ..files.space import memory_bytes, show_bytes
from ..models.about import About, check_supported, look_up
from ..models.adapters import check_embedding, check_lora, local_file
from ..models.memory import Offload, check_offload
from ..models.registry import check_known_classes, read_classes, resolve_name

if TYPE_CHECKING:
    from .engine import Engine  # imports torch


def check_files(config: GenerateConfig | MaskPhotosConfig) -> None:
    """Raise UserError for a model of no family, classes that it does not know, guidance of one that draws without, levels of attention that
    it lacks, a size that it cannot work on, a LoRA that is not there and a capture that the method cannot work with, without loading it.

    Nothing is known of a hub id without a short name before it is fetched. What is wrong with the files themselves, loading says better.
    """
    check_capture(config.mask.method, config.capture.normalize)
    check_supported(config.model)
    check_known_classes(config.model, read_classes(resolve_name(config.model)), config.classes)
    about = look_up(config.model)
    _check_added(config, about)
    if about is None:
        return
    check_kinds(about.family, config.mask)
    if isinstance(config, GenerateConfig):
        if about.network:
            about.family.check_guidance(about.network, config.model, config.guidance_scale)
        about.family.check_negative(config.model, config.negative_prompt)
    if about.network:
        fit_layers(about.network, config.mask, config.capture, about.family)
    if {"down_block_types", "up_block_types"} <= set(about.network):
        check_levels(about.network, config.mask, config.capture, about.family)
    _check_size(config, about, config.capture, captured_maps(config))


def _check_added(config: RunConfig, about: About | None) -> None:
    """Raise UserError for a LoRA or an embedding on this machine that is not there, or of a model that takes none."""
    if about and config.lora is not None:
        check_lora(about.family, config.lora)
    if about and config.embedding is not None:
        check_embedding(about.family, config.embedding, config.model)
    for what, source in (("lora", config.lora), ("embedding", config.embedding)):
        if source is not None:
            local_file(what, source)


def _check_size(
    config: GenerateConfig | MaskPhotosConfig | SegmentPhotosConfig, about: About, capture: CaptureConfig, reads: Reads
) -> None:
    """Raise UserError for a size that the model cannot work on, or whose maps this computer could not hold."""
    rules, sides = about.size_rules(), about.sides()
    if config.size is None or rules is None or sides is None:
        return
    shape = pixels(config.size)
    check_sides(shape, "size", config.model, *rules)
    if not isinstance(config, GenerateConfig):
        check_attention(config.size, sides[1])
    expected = _expected(about, shape, sides[1], capture, reads)
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
    about = look_up(config.model)
    return fit_levels(about.network, config.mask, config.capture, about.family) if about and about.network else (config.mask, [])


def captured_maps(config: DatasetConfig) -> Reads:
    """The maps that are captured: those that the method reads; all, where they are kept in files."""
    return EVERYTHING if config.keep_attention else maps_read(fitted_mask(config)[0])


def expected_capture(config: DatasetConfig, size: tuple[int, int]) -> Expected | None:
    """What capture will hold of images of size (height, width) in positions of L; None where nothing is known of the model yet."""
    about = look_up(config.model)
    reads = captured_maps(config)
    return expect_capture(about.family, about.network, about.pipeline, size, config.capture.layers, reads) if about else None


def check_segment_files(config: SegmentPhotosConfig) -> None:
    """Raise UserError for a model of no family, and of one that cannot divide photographs, without loading it."""
    check_supported(config.model)
    about = look_up(config.model)
    _check_added(config, about)
    if about:
        check_divides(about.family, config.segment.method, config.model)
        _check_size(config, about, CaptureConfig(), _segment_maps(config))


def _segment_maps(config: SegmentPhotosConfig) -> Reads:
    """The maps that photographs are divided by."""
    return {} if config.segment.method == "diffcut" else {"self": None}


def mask_capture_line(config: MaskPhotosConfig) -> list[str]:
    """What capture will hold of a photograph that `mask` looks at, for --dry-run; no line where nothing is known of the model yet."""
    return _capture_line(_photo_maps(config, config.capture, captured_maps(config)))


def segment_capture_line(config: SegmentPhotosConfig, *, named: bool) -> list[str]:
    """The same of `segment`. named: whether segments are called by words, for which attention to text is captured, too."""
    words: Reads = {"cross": None} if named else {}
    if config.segment.method != "diffcut":
        return _capture_line(_photo_maps(config, CaptureConfig(), {**_segment_maps(config), **words}))
    return _capture_line("features of the UNet's encoder", _photo_maps(config, CaptureConfig(), words) if named else "")


def _capture_line(*parts: str) -> list[str]:
    said = "; ".join(filter(None, parts))
    return [f"Capture: {said}"] if said else []


def _photo_maps(config: MaskPhotosConfig | SegmentPhotosConfig, capture: CaptureConfig, reads: Reads) -> str:
    """Of a photograph that fills the square; others are seen with as many positions, or nearly. Empty where nothing is known of the model
    yet."""
    about = look_up(config.model)
    sides = about.sides() if about else None
    if about is None or sides is None:
        return ""
    expected = _expected(about, pixels(config.size or sides[0]), sides[1], capture, reads)
    return f"{expected}{', nearly as much in other shapes' if config.fit == 'keep' else ''}" if expected else ""


def _expected(about: About, shape: tuple[int, int], factor: int, capture: CaptureConfig, reads: Reads) -> Expected | None:
    """What capture will hold of an image of (height, width) pixels, `factor` a position of L."""
    size = shape[0] // factor, shape[1] // factor
    return expect_capture(about.family, about.network, about.pipeline, size, capture.layers, reads)


def untuned_line(config: DatasetConfig) -> list[str]:
    """A line for a model whose constants of masks nobody sought; none where they were, or nothing is known of the model yet."""
    about = look_up(config.model)
    if about is None or is_tuned_for(about, config.mask.method):
        return []
    return [f"Constants: those of masks were never tuned for {about.family.title}; they are the papers', of Stable Diffusion 1 and 2"]
