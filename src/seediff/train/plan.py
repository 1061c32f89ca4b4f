"""Turns datasets of any format into the stages of a training, with a common class list, and keeps samples for
validation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.train import TrainConfig, with_device
from ..dataset.dataset import Dataset
from ..dataset.merge import renumber, renumber_table
from ..dataset.rows import check_class_list
from ..dataset.sample import Sample
from ..dataset.split import assign_splits
from ..errors import UserError
from ..files.messages import show_bytes
from .data import Stage

Data = Dataset | Path | str
"""Training data: a dataset, or its folder."""


@dataclass(frozen=True)
class Plan:
    """The data of a training."""

    classes: tuple[str, ...]
    stages: tuple[Stage, ...]
    validation: tuple[Sample, ...]


def plan_training(
    data: Sequence[Data],
    *,
    epochs: float | None = None,
    steps: int | None = None,
    mix: Sequence[int] = (),
    finetune: Sequence[Data] = (),
    finetune_epochs: float | None = None,
    finetune_steps: int | None = None,
    validation: Data | None = None,
    validation_share: float | None = None,
    classes: Sequence[str] | None = None,
) -> Plan:
    """Open datasets and make the stages `train` and, with `finetune`, `finetune`.

    mix: a ratio for each dataset in `data`; without it, every sample is used equally often. validation: a dataset for
    validation; if it has a `val` part, only that is used. validation_share: the share of the first dataset that is kept
    for validation. Without both, the `val` parts of all datasets are for validation. classes: None: the first
    dataset's. Classes of other datasets are matched by name. Raises UserError.
    """
    if not data:
        raise UserError("no data: name the folder of a dataset")
    if mix and (len(mix) != len(data) or min(mix) < 1):
        ratios = ":".join(map(str, mix))
        raise UserError(
            "mix",
            f"{ratios} must be {len(data)} whole numbers of at least 1, one for each dataset",
            "such as 3:1 for two",
        )
    if validation is not None and validation_share is not None:
        problem = f"{validation_share} is given beside other validation sets"
        raise UserError("validation_share", problem, "give one of the two")
    opened = [_opened(source) for source in data]
    names = tuple(classes) if classes is not None else opened[0].classes
    check_class_list(names)
    if not names:
        raise UserError(f"{data[0]}: has no classes besides the background")
    sets = [as_classes(dataset, names) for dataset in opened]
    real = [as_classes(_opened(source), names) for source in finetune]
    kept = [*map(training_part, sets)]
    if validation is not None:
        validating = _opened(validation)
        items = as_classes(validating, names)
        held = validation_part(items) or items
        if not held:
            raise UserError("validation", f"{validating.path or validation} has no samples")
    elif validation_share is not None:
        kept[0], held = split_off(sets[0], validation_share, opened[0].path or "data")
    else:  # once, if both stages train on a dataset
        marked = [item for items in (*sets, *real) for item in validation_part(items)]
        held = list({(item.source, item.name): item for item in marked}.values())
    for path, items in zip(data, kept, strict=True):
        if not items:
            raise UserError(f"{path}: has no samples to train on")
    counted = tuple((len(items), ratio) for items, ratio in zip(kept, mix, strict=True)) if mix else ()
    if epochs is None and steps is None:
        epochs = 10.0
    stages = [Stage([item for items in kept for item in items], names, epochs, steps, counted)]
    if finetune:
        if finetune_epochs is None and finetune_steps is None:
            finetune_epochs = 10.0
        items = [item for items in real for item in training_part(items)]
        if not items:
            raise UserError("finetune", "has no samples to train on")
        stages.append(Stage(items, names, finetune_epochs, finetune_steps, name="finetune"))
    elif finetune_epochs is not None or finetune_steps is not None:
        raise UserError("finetune_epochs and finetune_steps", "need a second stage", "name its datasets as finetune")
    return Plan(names, tuple(stages), tuple(held))


def check_stages(stages: Sequence[Stage], validation: Sequence[Sample] = ()) -> list[str]:
    """A digest of the samples of each stage, and of those for validation, if there are any: of their names, the sizes
    in bytes of their pictures, and their label maps.

    Raises UserError if stages differ in classes, or if labels cannot be read, have unknown ids or show no class at all.
    Reads every label map once, which is quick compared with training."""
    if not stages:
        raise UserError("nothing to train on: no stage")
    classes = stages[0].classes
    for stage in stages:
        if stage.classes != classes:
            raise UserError(
                f"stage '{stage.name}': its classes are not those of stage '{stages[0].name}': {', '.join(classes)}"
            )
    digests = []
    checked = [(f"stage '{stage.name}'", stage.items) for stage in stages]
    for what, items in [*checked, *([("validation", validation)] if validation else [])]:
        digest, shows_a_class = hashlib.blake2b(digest_size=6), False
        for item in items:  # all of them, to find every fault now
            labels = item.labels(len(classes))
            shows_a_class |= bool(((labels > 0) & (labels < 255)).any())
            size = len(source) if isinstance(source := item.stored(), bytes) else source.stat().st_size
            digest.update(f"{item.name}\n{size} {labels.shape}\n".encode("utf-8", "surrogatepass") + labels.tobytes())
        if not shows_a_class:
            raise UserError(f"{what}: none of its {len(items)} label maps shows a class: there is nothing to learn")
        digests.append(digest.hexdigest())
    return digests


def describe_stage(stage: Stage, config: TrainConfig) -> dict[str, Any]:
    """Everything about a stage but its samples that decides the training, for the checkpoint and the card."""
    return {
        "name": stage.name,
        "samples": len(stage.items),
        "classes": list(stage.classes),
        "steps": stage.step_count(config.batch_size),
        "mix": [list(part) for part in stage.mix],
    }


def _opened(data: Data) -> Dataset:
    return data if isinstance(data, Dataset) else Dataset.open(data)


def training_part(items: Sequence[Sample]) -> list[Sample]:
    """The samples whose rows do not assign them to validation or testing."""
    return [item for item in items if item.metadata.get("split") not in ("val", "test")]


def validation_part(items: Sequence[Sample]) -> list[Sample]:
    """The samples whose rows assign them to validation."""
    return [item for item in items if item.metadata.get("split") == "val"]


def as_classes(dataset: Dataset, names: Sequence[str]) -> list[Sample]:
    """A dataset's samples with label maps renumbered to `names`. Raises UserError for a class that is not in
    `names`.
    """
    if unknown := [name for name in dataset.classes if name not in names]:
        fix = "name all classes of all datasets as classes, or rename this one"
        raise UserError(dataset.path or "data", f"class '{unknown[0]}' is none of {', '.join(names)}", fix)
    ids = renumber_table(dataset.classes, names)
    return [renumber(item, ids, len(dataset.classes)) for item in dataset.samples]


def split_off(items: Sequence[Sample], share: float, where: Data) -> tuple[list[Sample], list[Sample]]:
    """Samples for training and, chosen by a hash of their names, the share for validation; none that are for
    testing.
    """
    items = [item for item in items if item.metadata.get("split") != "test"]
    splits = assign_splits([item.name for item in items], [item.metadata for item in items], share)
    pairs = list(zip(items, splits, strict=True))
    parts = {name: [item for item, split in pairs if split == name] for name in ("train", "val")}
    if share and not parts["val"]:
        raise UserError(
            "validation_share", f"{share} leaves none of the {len(items)} samples of {where} for validation"
        )
    return parts["train"], parts["val"]


def describe(config: TrainConfig, plan: Plan, out: Path) -> str:
    """The description of a training for a dry run: network, stages, steps, settings, memory of the weights.

    Loads no weights and writes nothing. Raises UserError if the training would fail at once.
    """
    from .models import check_weights, count_parameters, with_queries  # importing transformers takes seconds

    config = with_device(config)
    if Path(config.weights).is_dir():  # weights on the hub are not checked
        check_weights(config)
        config = with_queries(config)
    check_stages(plan.stages, plan.validation)
    parameters = count_parameters(config, plan.classes)
    lines = [
        f"Would train: {config.architecture}, backbone {config.backbone}, {parameters / 1e6:.1f} million parameters",
        f"Classes: the background and {len(plan.classes)}: {', '.join(plan.classes)}",
    ]
    for stage in plan.stages:
        count = stage.step_count(config.batch_size)
        mixed = " : ".join(f"{ratio} of {size}" for size, ratio in stage.mix)
        lines.append(
            f"Stage {stage.name}: {len(stage.items)} samples{f' (mixed {mixed})' if mixed else ''}, {count} steps of "
            f"{config.batch_size} images ({count * config.batch_size / len(stage.items):.1f} epochs)"
        )
    checkpoint = show_bytes((12 + 4 * bool(config.ema)) * parameters)
    lines += [
        f"Validation: {f'{len(plan.validation)} samples' if plan.validation else 'none; the last weights are kept'}",
        *config.source_lines(),
        f"Memory of weights, gradients and moments: {show_bytes(16 * parameters)}; in {out}: "
        f"{show_bytes(4 * parameters)}, and {checkpoint} of checkpoint while unfinished",
    ]
    return "\n".join(lines)
