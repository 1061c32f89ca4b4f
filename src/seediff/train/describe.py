"""What a training would do, as `--dry-run` says it. Loads no weights and writes nothing."""

from __future__ import annotations

from pathlib import Path

from ..config.train import TrainConfig, with_device
from ..files.space import show_bytes
from .models import check_weights
from .run import check_stages, count_parameters
from .sets import Plan


def describe(config: TrainConfig, plan: Plan, out: Path) -> str:
    """The plan as text: network, stages, steps, settings, memory of the weights. Raises UserError where the training would at once."""
    config = with_device(config)
    if Path(config.weights).is_dir():  # a hub is not asked
        check_weights(config)
    check_stages(plan.stages, plan.validation)
    parameters = count_parameters(config, plan.classes)
    steps = [stage.step_count(config.batch_size) for stage in plan.stages]
    lines = [
        f"Would train: {config.architecture}, backbone {config.backbone}, {parameters / 1e6:.1f} million parameters, "
        f"weights {config.weights}, on {config.device} in {config.dtype}",
        f"Classes: the background and {len(plan.classes)}: {', '.join(plan.classes)}",
    ]
    for stage, count in zip(plan.stages, steps, strict=True):
        mixed = " : ".join(f"{ratio} of {size}" for size, ratio in stage.mix)
        seen = count * config.batch_size
        lines.append(
            f"Stage {stage.name}: {len(stage.items)} samples{f' (mixed {mixed})' if mixed else ''}, "
            f"{count} steps of {config.batch_size} images ({seen / len(stage.items):.1f} epochs)"
        )
    lines += [
        f"Validation: {len(plan.validation)} samples" if plan.validation else "Validation: none; the last weights are kept",
        f"AdamW {config.learning_rate:g} (backbone × {config.backbone_factor:g}), weight decay {config.weight_decay:g}, "
        f"clip {config.clip:g}, {config.schedule} schedule",
        f"Crops of {config.crop} pixels at scales {config.scale[0]:g} to {config.scale[1]:g}",
        f"Memory of weights, gradients and moments: {show_bytes(16 * parameters)}; in {out}: {show_bytes(4 * parameters)}, "
        f"and {show_bytes((12 + 4 * bool(config.ema)) * parameters)} of checkpoint while unfinished",
    ]
    return "\n".join(lines)
