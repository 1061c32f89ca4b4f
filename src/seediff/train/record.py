"""The records of a training: losses.csv, its chart and the model card for people, and checkpoints to continue from.

A checkpoint is one safetensors file with the network, AdamW's moments and the step. Random numbers need no state,
because every step has its own seed.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import torch
from torch import nn

from .. import __version__
from ..config.settings import differences
from ..config.train import TrainConfig, with_device
from ..dataset.native import CARD
from ..dataset.sample import Sample
from ..drawing.charts import Lines, line_charts
from ..errors import UserError, first_line
from ..files.documents import parse_csv, read_json
from ..files.messages import show_json
from ..files.outputs import append, write_atomic, write_tensors
from ..files.reading import read_lines, read_text
from ..files.tensors import read_header
from ..models.audit import stored_problem
from .defaults import DAMAGED, find_begun
from .stages import Stage, image_digest

LOSSES, CHART, RECORD = "losses.csv", "losses.png", "training.json"
TRAINED_ON = "trained_on.txt"
"""A file with the `image_digest` of a picture in each line."""
FIELDS = ("step", "stage", "learning_rate", "class", "mask", "dice", "auxiliary", "loss", "gradient_norm", "miou")
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


@dataclass
class State:
    """The progress of a training."""

    step: Count = 0
    best: Annotated[float, msgspec.Meta(ge=-1, le=1)] = -1.0
    """The mIoU of the network in the folder; −1: not measured yet."""
    best_step: Count = 0
    data: dict[str, Any] = field(default_factory=dict)
    """The facts from `check_stages`. A training continues only if they are equal."""


def start_losses(path: Path, steps: int) -> None:
    """Cut losses.csv off after the checkpoint, or begin it. steps: the number of rows to keep, one per step up to the
    checkpoint. Raises UserError for damaged rows."""
    rows: list[str] = []
    if steps and path.exists():
        rows = read_lines(path)[1 : steps + 1]  # without a killed run's half line
    text = "".join(line + "\n" for line in (",".join(FIELDS), *rows))
    parse_csv(text, FIELDS, path)
    write_atomic(path, text.encode())


def add_losses(
    path: Path, step: int, stage: str, rate: float, losses: Mapping[str, float], norm: float, miou: float | None
) -> None:
    """Append a step's row to losses.csv. stage: its name. rate: the learning rate. losses: name → loss. norm: of the
    gradient. miou: None: not measured after this step, so the cell is empty."""
    numbers = {"learning_rate": rate, **losses, "loss": sum(losses.values()), "gradient_norm": norm}
    values = {name: f"{value:.6g}" for name, value in numbers.items()}
    values |= {"step": str(step), "stage": stage}
    if miou is not None:
        values["miou"] = f"{miou:.4f}"
    line = io.StringIO()
    csv.DictWriter(line, list[str](FIELDS), restval="", lineterminator="\n").writerow(values)
    append(path, line.getvalue().encode())


def read_losses(path: Path) -> list[dict[str, str]]:
    """The rows of losses.csv, each column → text. Raises UserError naming a damaged line."""
    return [row for _, row in parse_csv(read_text(path), FIELDS, path)]


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


def draw_losses(rows: Sequence[Mapping[str, str]], stages: Sequence[Stage], batch_size: int) -> bytes:
    """The bytes of a PNG with charts of the losses and of the mIoU in percent, by epoch. A point of a loss is its mean
    over one of at most 200 equal parts of the training. rows: of losses.csv, at least one."""
    per_step = {stage.name: batch_size / len(stage.items) for stage in stages}
    epochs = np.cumsum([per_step[row["stage"]] for row in rows])
    begins = [number for number in range(1, len(rows)) if rows[number]["stage"] != rows[number - 1]["stage"]]
    borders, label = [float(epochs[number - 1]) for number in begins], "epochs"
    if borders:
        label += f"; the line is the beginning of stage {stages[-1].name}"
    parts = np.array_split(np.arange(len(rows)), min(200, len(rows)))
    ends = np.array([epochs[part[-1]] for part in parts])
    lines: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    charts: dict[str, Lines] = {"losses": lines}
    for name in ("loss", "class", "mask", "dice", "auxiliary"):
        if rows[0][name]:
            values = np.array([float(row[name]) for row in rows])
            lines[name] = (ends, np.array([values[part].mean() for part in parts]))
    measured = [number for number, row in enumerate(rows) if row["miou"]]
    if measured:
        miou = np.array([100 * float(rows[number]["miou"]) for number in measured])
        charts["mIoU of validation, %"] = {"mIoU": (epochs[measured], miou)}
    return line_charts(charts, label, borders)


def model_card(
    config: TrainConfig,
    stages: Sequence[Stage],
    state: State,
    rows: Sequence[Mapping[str, str]],
    parameters: int,
    chart: bool,
) -> str:
    """The text of a trained network's README.md. rows: of losses.csv. parameters: how many the network has. chart:
    whether the file CHART exists."""
    names, steps = stages[0].classes, [stage.step_count(config.batch_size) for stage in stages]
    earlier = sum(steps[:-1])
    measured = [row for row in rows[earlier:] if row["miou"]]  # each stage starts its own search for the best
    kept, index = "the last step. No validation set was given.", ""
    if measured:
        index = f"""model-index:
- name: {config.architecture}
  results:
  - task: {{type: image-segmentation}}
    dataset: {{name: validation set, type: seediff}}
    metrics: [{{type: mean_iou, value: {state.best:.4f}}}]
"""
        kept = f"step {state.best_step}, the best of {len(measured)} measured"
        if earlier:
            kept += f" in stage {stages[-1].name}"
        kept += f". Validation mIoU, with the background: **{state.best:.1%}**."
    weights, table = config.weights, []
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


CHECKPOINT = "checkpoint.safetensors"


def write_checkpoint(path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer, state: State) -> None:
    """Write a checkpoint atomically: a killed run leaves the previous one."""
    tensors = {f"trainee.{name}": value for name, value in trainee.state_dict().items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adamw.{number}.{name}": value for name, value in moments.items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_tensors(path, tensors, {"state": json.dumps(asdict(state))})


def load_checkpoint(path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load a checkpoint into the trainee and the optimizer. Raises UserError if its tensors are of another network."""
    weights: dict[str, torch.Tensor] = {}
    moments: dict[int, dict[str, torch.Tensor]] = {}
    file = read_header(path)
    problem = stored_problem(file.tensors)
    if problem:
        raise UserError(path, problem, "choose another --out")
    try:
        for name, value in file.load("pt").items():
            part, _, rest = name.partition(".")
            if part == "trainee":
                weights[rest] = value
            else:  # adamw.NUMBER.KIND
                number, _, kind = rest.partition(".")
                moments.setdefault(int(number), {})[kind] = value
        trainee.load_state_dict(weights)
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    except (KeyError, RuntimeError, ValueError) as error:
        problem = f"is the checkpoint of another network ({first_line(error)})"
        raise UserError(path, problem, "choose another --out") from error


def read_state(path: Path) -> State:
    """The state in a checkpoint. Raises UserError if the file is no checkpoint."""
    return read_header(path).about("state", State, "the state of a training")


def find_state(out: Path, config: TrainConfig, new: State) -> State:
    """The progress of the training in the folder `out`; `new` if none has begun there, or if it has no checkpoint yet.

    config: of the training to run. new: its state at the beginning, with the facts about its data. Raises UserError if
    `out` holds anything but a training with the same configuration on the same data.
    """
    saved, state = find_begun(out), new
    if saved is None:
        return new
    try:
        if (out / CHECKPOINT).exists():
            state = read_state(out / CHECKPOINT)
        elif (out / RECORD).exists() or (out / CARD).exists():
            state = read_json(out / RECORD, State)
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
