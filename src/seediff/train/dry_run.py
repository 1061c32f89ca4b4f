"""The lines of a training's dry run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..config.train import TrainConfig, with_device
from ..files.messages import plural, show_bytes
from ..files.outputs import check_writable, free_bytes
from .stages import TrainingData, check_stages


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
    facts = check_stages(data.stages, data.validation, config.batch_size, validate_every)
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
