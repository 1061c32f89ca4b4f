"""`Plan`: what a run will do with a model, and the refusal of what cannot work. It is made of the model's small files
before its weights are read, and again of the loaded model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from ..attention.plan import CapturePlan, Expected, plan_capture, plan_segments
from ..config.class_names import other_word, spoken
from ..config.methods import EVERYTHING, Reads, check_capture
from ..config.names_in_texts import content_words
from ..config.runs import DatasetConfig, GenerateConfig, MaskPhotosConfig, SegmentPhotosConfig, check_attention
from ..config.settings import RunConfig
from ..config.sizes import check_sides, shape_of
from ..errors import UserError
from ..files.messages import first_of, show_bytes
from ..models.describe import ModelInfo, check_known_classes
from ..models.hub import locate_weights
from ..models.pipeline import Parts
from ..models.registry import LoadOptions, Model, check_options, load
from ..models.saving_memory import Offload, memory_bytes
from ..models.weights import file_bytes, part_files, weights_fingerprint

ModelConfig = GenerateConfig | MaskPhotosConfig | SegmentPhotosConfig
"""Configurations of the commands that run a model."""


@dataclass(frozen=True)
class Plan:
    """What a run will do with a model."""

    capture: CapturePlan
    """Which attention is captured."""
    expected: Expected
    """The shapes and bytes of one image's attention maps."""
    kept_bytes: int = 0
    """The bytes of the attention maps that the run writes for an image."""


def plan_lines(
    plan: Plan | None, config: RunConfig, info: ModelInfo, offload: Offload, *, verbose: bool
) -> Iterator[str]:
    """Lines of a dry run about the model, its memory and the captured attention. plan: from `plan_model`. config: with
    the device and number format of the run. info: the model. offload: as in `load_model`. verbose: whether lines also
    name captured layers, replaced levels and all settings."""
    size = weight_bytes(config, info)
    yield model_line(config, info, offload, size)
    yield f"Device: {config.device}, computes in {config.dtype}"
    yield memory_line(config, size, plan and plan.expected.map_bytes)
    if not verbose:
        yield "Layers and all settings: with --verbose"
        return
    if plan is None:
        yield "Capture: not known, because the model's configuration is not on this machine"
    else:
        if plan.expected.maps:
            nearly = ", nearly as much in other shapes" if getattr(config, "fit", "") == "keep" else ""
            yield f"Capture: {plan.expected}{nearly}"
        yield from (f"Levels: {note}" for note in plan.capture.notes)
    yield from config.lines()


def plan_model(config: ModelConfig, model: ModelInfo | Model, reads: Reads | None = None) -> Plan | None:
    """The plan of a run, without its texts. None if this machine lacks the configurations of the network or the
    autoencoder.

    config: of the run; `check_values` has accepted it. model: the model, which may have no weights yet. reads: the
    attention that the run captures, if it needs other attention than masks do, for example to name segments; None: what
    the masks or segments need. Raises UserError for attention that the model does not have, and for a size whose maps
    do not fit into memory.
    """
    info = model.info if isinstance(model, Model) else model
    layers = model.layers
    sizes = model.sizes
    if layers is None or sizes is None:
        return None
    height, width = shape_of(config.size or sizes.side)
    lattice = height // sizes.position, width // sizes.position
    if isinstance(config, DatasetConfig):
        kept = EVERYTHING if config.keep_attention else None
        capture = plan_capture(info.family, layers, config.capture, mask=config.mask, reads=kept)
    else:
        capture = plan_segments(info.family, layers, config.segment)
        from ..segments.make_segments import check_positions  # imports torch

        check_positions(config.segment, capture.levels("self"), lattice)
    there = memory_bytes()
    expected = capture.expected(lattice)
    if config.size is not None and there and expected.map_bytes > there:
        needed = f"attention maps of an image of this size take {show_bytes(expected.map_bytes)}"
        problem = f"{config.size}: {needed}, and this computer has {show_bytes(there)} of memory"
        raise UserError("size", problem, "choose a smaller one")
    if reads is not None:
        expected = replace(capture, reads=reads).expected(lattice)
    kept_bytes = 0
    if isinstance(config, DatasetConfig) and config.keep_attention:
        kept_bytes = sum(one.bytes for one in expected.maps)
    return Plan(capture, expected, kept_bytes)


def check_values(config: ModelConfig, info: ModelInfo) -> None:
    """Raise UserError for values that do not fit each other or the model."""
    check_model(config, info)
    if isinstance(config, SegmentPhotosConfig):
        check_known_classes(config.model, info.settings.words, config.names, "names")
    else:
        if config.mask.sam_weights is not None:
            locate_weights("mask.sam", config.mask.sam_weights)
        check_capture(config.method, config.capture.normalize)
        named = config.classes
        if isinstance(config, GenerateConfig):  # a subclass may be the model's word for a class
            named = tuple(name for name in named if other_word(name) not in config.subclasses)
        check_known_classes(config.model, info.settings.classes, named)


def check_model(config: ModelConfig, info: ModelInfo) -> None:
    """Raise UserError for what the model cannot be loaded with, draw with or see, whatever the words, as far as its
    files say."""
    check_options(LoadOptions.of(config), info)
    if config.lora is not None:
        locate_weights("lora", config.lora)
    if isinstance(config, GenerateConfig):
        info.check_drawing(config.guidance_scale, config.negative_prompt)
    sizes = info.sizes
    if sizes:
        if not isinstance(config, GenerateConfig):
            check_attention(config.size, sizes.position)
        check_sides(shape_of(config.size or sizes.side), "size", config.model, sizes.multiple, sizes.largest)


def strange_words(info: ModelInfo, prompts: Iterable[str]) -> str:
    """A warning about words of prompts that a model was never taught; "" for a model that does not list its words, and
    if it knows all of them. info: the model. prompts: what it will draw."""
    if not info.settings.words:
        return ""
    taught = {*content_words(" ".join(map(spoken, info.settings.words)))}
    used = dict.fromkeys(chain.from_iterable(map(content_words, prompts)))
    strange = [word for word in used if word not in taught]
    if not strange:
        return ""
    return f"Model '{info.name}' was never taught some words: {first_of(strange)}; with them it draws worse"


def load_planned(
    config: RunConfig, info: ModelInfo, plan: Callable[[ModelInfo | Model], Plan | None], offload: Offload = "none"
) -> tuple[Model, str, Plan | None]:
    """(model, weights, plan): the loaded model of a configuration, the fingerprint of its weights, and its plan.
    config: of the run; `check_values` has accepted it. info: the model. plan: makes the plan of a model. offload: as in
    `load_model`. Raises UserError as `plan` and `load` do."""
    plan(info)  # refuses before the weights are read
    sam = ""
    if isinstance(config, DatasetConfig) and config.mask.sam is not None:
        from ..masks.sam import load_sam

        sam = "+" + weights_fingerprint({"sam": load_sam(config.mask.sam)})
    how = LoadOptions.of(config)
    model = load(info, how, device=config.device, dtype=config.dtype, offload=offload)
    return model, model.weights + sam, plan(model)


def model_line(config: RunConfig, info: ModelInfo, offload: Offload, size: int | None) -> str:
    """The line of a dry run about the model. size: bytes of its weights; None: not all weights are on this machine."""
    named = info.files.named
    where = "on this machine"
    if size is None and not isinstance(info.files.whole, Path):
        where = "not on this machine; the run downloads it"
        if named:
            where += f"; licence {named.licence}"
    if not info.files.is_whole:
        where = f"{info.family.title}: {Parts(info.files, info.family, info.files.index()).line}, {where}"
    line = f"Model: {config.model} ({where})"
    if offload != "none":
        line += f", offload {offload}"
    return line


def weight_bytes(config: RunConfig, info: ModelInfo) -> int | None:
    """Bytes of a model's weights in the configuration's number format, by the headers of their files; None if not all
    weights are on this machine."""
    files = info.files
    dtype = str(config.dtype)
    if files.folder is None or not files.are_here:
        return None
    with suppress(UserError):  # loading reports what is wrong with a file
        parts = Parts(files, info.family, files.index())
        weights = [part_files(place, dtype)[1] for place in parts.folders(files.folder).values()]
        if files.file and files.file.path:
            weights.append([files.file.path])
        if parts.all and all(weights):
            return sum(file_bytes(file, dtype) for file in chain.from_iterable(weights))
    return None


def memory_line(config: RunConfig, size: int | None, maps: int | None) -> str:
    """The line of a dry run about memory. size: bytes of the model's weights. maps: bytes of an image's attention maps.
    None for either: not known."""
    line = "Memory: not known, because the weights are not all on this machine"
    if size:
        line = f"Memory: {show_bytes(size)} of weights in {config.dtype}"
        if config.quantize:
            line += f", before {config.quantize}"
    if maps:
        line += f"; {show_bytes(maps)} of attention maps an image"
    return line
