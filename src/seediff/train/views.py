"""What a training shows people, written from its checkpoint: losses.csv, their chart, and the model card."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from itertools import chain

import numpy as np

from ..config.train import TrainConfig
from ..drawing.charts import Lines, line_charts
from ..version import __version__
from .record import NUMBERS, TrainingProgress
from .stages import Stage, TrainingData

CHART = "losses.png"


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


def draw_losses(history: np.ndarray, stages: Sequence[Stage], batch_size: int) -> bytes:
    """The bytes of a PNG with charts of the losses and of the mIoU in percent, by epoch. A point of a loss is its mean
    over one of at most 200 equal parts of the training. history: see HISTORY, of at least one step."""
    columns = columns_of(history)
    steps = len(history)
    at = stage_of_steps(stages, batch_size)[:steps]
    epochs = np.cumsum([batch_size / len(stage.items) for stage in at])
    borders = [float(epochs[number - 1]) for number in range(1, steps) if at[number] is not at[number - 1]]
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
    config: TrainConfig, data: TrainingData, state: TrainingProgress, history: np.ndarray, parameters: int, chart: bool
) -> str:
    """The text of a trained network's README.md. history: see HISTORY. parameters: how many the network has. chart:
    whether the file CHART exists."""
    stages = data.stages
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

A semantic segmenter of {len(data.classes)} classes and the background ({parameters / 1e6:.1f} million parameters),
trained by SeeDiff {__version__}. Id 0 is the background, the classes follow in this order:
{", ".join(data.classes)}.

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
