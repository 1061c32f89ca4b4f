"""What a training will do, before it begins: its defaults, and the lines of a dry run.

An unfinished training keeps its backbone; otherwise the machine and the pictures decide. Classes with sides decide
whether pictures are mirrored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from ..config.class_names import lone_sides
from ..config.train import TINY_WEIGHTS, TrainConfig, make_config, with_device
from ..files.messages import plural, show_bytes
from ..files.outputs import check_writable, free_bytes
from .record import find_begun
from .stages import TrainingData, data_fingerprint

SMALL = 256
"""The longest side in pixels of small pictures, for which the backbone `tiny` is made."""
AS_BEGUN = ("backbone", "device", "dtype")
"""Fields that keep their values when a training continues, perhaps on another machine, unless the user names them."""


def choose_defaults(
    values: Mapping[str, Any], file: Path | None, data: TrainingData, out: Path
) -> tuple[TrainConfig, list[str]]:
    """(configuration, lines) of a training. lines: what was chosen for these data and this machine, and why: not to
    mirror images, and the backbone `tiny`.

    values, file: what the user gave, as for `make_config`; nothing of it is changed. data: to train on. out: the
    training's folder; a training that has begun there keeps its backbone. Raises UserError.
    """
    config = make_config(values, file)
    begun = find_begun(out)
    chosen = dict[str, Any]()
    lines = list[str]()
    alone = lone_sides(data.classes)
    if alone and config.flip and "flip" not in config.given:
        chosen["flip"] = False
        lines.append(f"images are not mirrored, because the other side of {alone} is no class; --flip mirrors them")
    if begun is not None and begun.architecture == config.architecture:
        chosen |= {name: getattr(begun, name) for name in AS_BEGUN}
    elif "backbone" not in config.given and (
        "weights" not in config.given or config.weights in TINY_WEIGHTS[config.architecture]
    ):
        why = _why_tiny(config, data)
        if why:
            chosen["backbone"] = "tiny"
            lines.append(f"backbone tiny, because {why}; --backbone {config.backbone} is for large images and a GPU")
    return make_config(values, file, chosen), lines


def _why_tiny(config: TrainConfig, data: TrainingData) -> str:
    from ..devices import default_device  # imports torch

    if (config.device or default_device()) == "cpu":
        return "the training runs on the cpu"
    items = chain.from_iterable(stage.items for stage in data.stages)
    if all(max(item.size()) <= SMALL for item in items):
        return f"no image has more than {SMALL} pixels a side"
    return ""


def describe_training(
    config: TrainConfig, data: TrainingData, out: Path, validate_every: int | None = None, verbose: bool = True
) -> Iterator[str]:
    """The lines of a dry run: network, classes, stages, validation, memory and output. The first lines come at once,
    the others take seconds. validate_every: as in `train`. verbose: also all settings.

    Loads no weights and writes nothing. Raises UserError if the training would fail before its first step, also because
    another training is in `out`.
    """
    check_writable(out)
    yield f"Would train: {config.architecture}, backbone {config.backbone}"
    yield f"Classes: the background and {len(data.classes)}: {', '.join(data.classes)}"
    for stage in data.stages:
        count = stage.step_count(config.batch_size)
        samples = plural(len(stage.items), "sample")
        epochs = count * config.batch_size / len(stage.items)
        length = f"{plural(count, 'step')} of {plural(config.batch_size, 'image')} ({epochs:.1f} epochs; whole steps)"
        yield f"Stage {stage.name}: {samples}, {length}"
    # Importing torch and transformers takes seconds.
    from .models import count_parameters, find_weights
    from .record import TrainingProgress, find_state

    config = with_device(config)
    if Path(config.weights).exists():  # weights on the hub are not checked
        find_weights(config)
    facts = data_fingerprint(data, config.batch_size, validate_every)
    find_state(out, config, TrainingProgress(data=facts))  # refuses another training
    parameters = count_parameters(config, data.classes)
    checkpoint = show_bytes(12 * parameters)  # the weights and two moments, in float32
    validation = "none; the last weights are kept"
    if data.validation:
        validation = plural(len(data.validation), "sample")
    yield f"Validation: {validation}"
    yield f"Memory: {show_bytes(16 * parameters)} for {parameters / 1e6:.1f} million parameters, gradients and moments"
    yield from config.lines() if verbose else ["All settings: with --verbose"]
    saved = f"{show_bytes(4 * parameters)}, and {checkpoint} of checkpoint while unfinished"
    yield f"Output: {out}, {saved}; {show_bytes(free_bytes(out))} free"
