"""The checkpoint of a training, and its views for people: losses.csv, the chart and the model card.

A checkpoint is one safetensors file with the network, AdamW's moments, the progress and the losses of every step. A
training continues from it alone; the views are written from its contents. Random numbers need no state, because every
step has its own seed.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from torch import nn

from ..config.settings import differences
from ..config.train import DAMAGED, TrainConfig, find_begun, with_device
from ..dataset.native import CARD
from ..dataset.sample import Sample
from ..drawing.charts import Lines, line_charts
from ..errors import UserError, first_line
from ..files.messages import show_json
from ..files.outputs import write_atomic, write_tensors
from ..files.reading import read_json, read_lines
from ..files.tensors import read_header
from ..version import __version__
from .stages import Stage, image_digest

LOSSES = "losses.csv"
CHART = "losses.png"
RECORD = "training.json"
TRAINED_ON = "trained_on.txt"
"""A file with the `image_digest` of a picture in each line."""
NUMBERS: dict[str, str] = {
    **dict.fromkeys(("learning_rate", "class", "mask", "dice", "auxiliary", "loss", "gradient_norm"), ".6g"),
    "miou": ".4f",
}
"""Column of losses.csv, behind the columns `step` and `stage` → the format of its numbers."""
CHECKPOINT, OF_CHECKPOINT = "checkpoint.safetensors", "the state of a training"
HISTORY = "history"
"""A checkpoint's tensor (steps, len(NUMBERS)) float64 with the numbers of every step, rounded as in losses.csv; NaN: no
number."""
StepNumber = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


@dataclass
class TrainingProgress:
    """The progress of a training."""

    step: StepNumber = 0
    best: Annotated[float, msgspec.Meta(ge=-1, le=1)] = -1.0
    """The mIoU of the network in the folder; −1: not measured yet."""
    best_step: StepNumber = 0
    data: dict[str, Any] = field(default_factory=dict)
    """The facts from `check_stages`. A training continues only if they are equal."""


def step_numbers(rate: float, losses: Mapping[str, float], norm: float, miou: float | None) -> list[float]:
    """A step's row of the history. rate: the learning rate. losses: name → loss. norm: of the gradient. miou: None: not
    measured after this step."""
    numbers = {"learning_rate": rate, **losses, "loss": sum(losses.values()), "gradient_norm": norm}
    if miou is not None:
        numbers["miou"] = miou
    return [float(format(numbers.get(name, math.nan), form)) for name, form in NUMBERS.items()]


def losses_csv(history: np.ndarray, stages: Sequence[Stage], batch_size: int) -> bytes:
    """The bytes of losses.csv. history: see HISTORY."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["step", "stage", *NUMBERS])
    for step, (stage, numbers) in enumerate(zip(stage_of_steps(stages, batch_size), history, strict=False), 1):
        columns = zip(numbers.tolist(), NUMBERS.values(), strict=True)
        cells = ["" if math.isnan(number) else format(number, form) for number, form in columns]
        rows.writerow([step, stage.name, *cells])
    return text.getvalue().encode()


def columns_of(history: np.ndarray) -> dict[str, np.ndarray]:
    """Column of losses.csv → (steps,): its numbers. history: see HISTORY, of at least one step."""
    return dict(zip(NUMBERS, history.T, strict=True))


def stage_of_steps(stages: Sequence[Stage], batch_size: int) -> list[Stage]:
    """The stage of each step of a training."""
    return list(chain.from_iterable([stage] * stage.step_count(batch_size) for stage in stages))


def write_trained_on(out: Path, samples: Iterable[Sample]) -> None:
    """Write trained_on.txt, by which `evaluate` recognises the pictures of these samples under any name."""
    digests = sorted({image_digest(sample) for sample in samples})
    write_atomic(out / TRAINED_ON, "".join(f"{digest}\n" for digest in digests).encode())


def read_trained_on(folder: Path) -> frozenset[str]:
    """The digests in trained_on.txt; empty without that file."""
    path = folder / TRAINED_ON
    if not path.is_file():
        return frozenset()
    return frozenset(read_lines(path))


def draw_losses(history: np.ndarray, stages: Sequence[Stage], batch_size: int) -> bytes:
    """The bytes of a PNG with charts of the losses and of the mIoU in percent, by epoch. A point of a loss is its mean
    over one of at most 200 equal parts of the training. history: see HISTORY, of at least one step."""
    columns = columns_of(history)
    steps = len(history)
    at = stage_of_steps(stages, batch_size)[:steps]
    epochs = np.cumsum([batch_size / len(stage.items) for stage in at])
    begins = [number for number in range(1, steps) if at[number] is not at[number - 1]]
    borders = [float(epochs[number - 1]) for number in begins]
    label = "epochs"
    if borders:
        label += f"; the line is the beginning of stage {stages[-1].name}"
    parts = np.array_split(np.arange(steps), min(200, steps))
    ends = np.array([epochs[part[-1]] for part in parts])
    lines: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    charts: dict[str, Lines] = {"losses": lines}
    for name in ("loss", "class", "mask", "dice", "auxiliary"):
        if not np.isnan(columns[name]).any():
            lines[name] = (ends, np.array([columns[name][part].mean() for part in parts]))
    measured = ~np.isnan(columns["miou"])
    if measured.any():
        charts["mIoU of validation, %"] = {"mIoU": (epochs[measured], 100 * columns["miou"][measured])}
    return line_charts(charts, label, borders)


def model_card(
    config: TrainConfig,
    stages: Sequence[Stage],
    state: TrainingProgress,
    history: np.ndarray,
    parameters: int,
    chart: bool,
) -> str:
    """The text of a trained network's README.md. history: see HISTORY. parameters: how many the network has. chart:
    whether the file CHART exists."""
    names = stages[0].classes
    steps = [stage.step_count(config.batch_size) for stage in stages]
    earlier = sum(steps[:-1])  # each stage starts its own search for the best
    measured = np.count_nonzero(~np.isnan(columns_of(history)["miou"][earlier:]))
    kept = "the last step. No validation set was given."
    index = ""
    if measured:
        index = f"""model-index:
- name: {config.architecture}
  results:
  - task: {{type: image-segmentation}}
    dataset: {{name: validation set, type: seediff}}
    metrics: [{{type: mean_iou, value: {state.best:.4f}}}]
"""
        kept = f"step {state.best_step}, the best of {measured} measured"
        if earlier:
            kept += f" in stage {stages[-1].name}"
        kept += f". Validation mIoU, with the background: **{state.best:.1%}**."
    weights = config.weights
    table = []
    if os.path.isdir(weights):  # only the last part, so that cards do not reveal its location
        weights = os.path.basename(os.path.abspath(weights))
    for stage, count in zip(stages, steps, strict=True):
        table.append(f"| {stage.name} | {len(stage.items)} | {count} | {weights} |")
        weights = "of the stage before"
    shown = f"\n![losses by epoch; losses.csv has every step]({CHART})\n" if chart else ""
    return f"""---
library_name: transformers
pipeline_tag: image-segmentation
tags: [semantic-segmentation, seediff]
{index}---

# {config.architecture}, backbone {config.backbone}

A semantic segmenter of {len(names)} classes and the background ({parameters / 1e6:.1f} million parameters),
trained by SeeDiff {__version__}. Id 0 is the background, the classes follow in this order:
{", ".join(names)}.

| stage | samples | steps of {config.batch_size} images | first weights |
|---|---|---|---|
{chr(10).join(table)}

Weights of {kept}

AdamW, learning rate {config.learning_rate:g} (backbone × {config.backbone_factor:g}), weight decay \
{config.weight_decay:g}, gradients clipped at {config.clip:g}, {config.schedule} schedule, crops of {config.crop} \
pixels, {config.dtype}, seed {config.seed}; seediff.toml has it all.
{shown}
```python
from seediff.train.predict import load_segmenter

label_maps = load_segmenter("FOLDER").label_maps([image])  # (H, W, 3) uint8 → (H, W) uint8
```
"""


def write_checkpoint(
    path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingProgress, history: np.ndarray
) -> None:
    """Write a checkpoint atomically: a killed run leaves the previous one. history: see HISTORY."""
    tensors = {HISTORY: torch.from_numpy(history)}
    tensors |= {f"trainee.{name}": value for name, value in trainee.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adamw.{number}.{name}": value for name, value in moments.items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_tensors(path, tensors, {"state": json.dumps(asdict(state))})


def load_checkpoint(path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer) -> np.ndarray:
    """The history in a checkpoint, whose other tensors are loaded into the trainee and the optimizer. Raises UserError
    if they are damaged or of another network."""
    weights: dict[str, torch.Tensor] = {}
    moments: dict[int, dict[str, torch.Tensor]] = {}
    file = read_header(path)
    tensors = file.load("pt")
    try:
        history = tensors.pop(HISTORY).numpy()
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            if part == "trainee":
                weights[rest] = value
            else:  # adamw.NUMBER.KIND
                number, _, kind = rest.partition(".")
                moments.setdefault(int(number), {})[kind] = value
        trainee.load_state_dict(weights)
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    except (LookupError, RuntimeError, ValueError) as error:
        problem = f"is damaged, or the checkpoint of another network ({first_line(error)})"
        raise UserError(path, problem, "choose another --out") from error
    return history


def read_state(path: Path) -> TrainingProgress:
    """The state in a checkpoint. Raises UserError if the file is no checkpoint."""
    file = read_header(path)
    state = file.about("state", TrainingProgress, OF_CHECKPOINT)
    file.check(HISTORY, "F64", (state.step, len(NUMBERS)), OF_CHECKPOINT)
    return state


def find_state(out: Path, config: TrainConfig, new: TrainingProgress) -> TrainingProgress:
    """The progress of the training in the folder `out`; `new` if none has begun there, or if it has no checkpoint yet.

    config: of the training to run. new: its state at the beginning, with the facts about its data. Raises UserError if
    `out` holds anything but a training with the same configuration on the same data.
    """
    saved = find_begun(out)
    state = new
    if saved is None:
        return new
    try:
        if (out / CHECKPOINT).exists():
            state = read_state(out / CHECKPOINT)
        elif (out / RECORD).exists() or (out / CARD).exists():
            state = read_json(out / RECORD, TrainingProgress)
    except UserError as error:
        raise UserError(out, f"{DAMAGED} ({error})", "choose another folder") from error
    changed = differences(with_device(saved), config)
    for key in {**state.data, **new.data}:
        before, now = state.data.get(key), new.data.get(key)
        if before != now:
            changed.append(f"{key}: {show_json(before)} → {show_json(now)}")
    has_begun = state is not new or (out / LOSSES).exists()
    if changed and has_begun:
        fix = "choose another folder, or give the same options and data as before"
        raise UserError(out, f"holds another training ({'; '.join(changed)})", fix)
    return state
