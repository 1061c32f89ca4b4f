"""A training's records: losses.csv and the model card for people, and checkpoints to continue from.

A checkpoint is one safetensors file, written atomically, with the network, AdamW's moments, the moving average and the
step. Random numbers need no state, because every step has its own seed.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from torch import nn

from .. import __version__
from ..config.base import differences
from ..config.resolve import load_config
from ..config.train import TrainConfig, with_device
from ..dataset import native
from ..errors import UserError
from ..files.documents import parse_csv, read_json
from ..files.messages import show_json
from ..files.outputs import append, write_atomic, write_tensors
from ..files.reading import read_lines, read_text
from ..files.tensors import read_header

LOSSES, RECORD = "losses.csv", "training.json"
FIELDS = ("step", "stage", "learning_rate", "class", "mask", "dice", "auxiliary", "loss", "gradient_norm", "miou")
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


@dataclass
class State:
    """The progress of a training. `best` is the mIoU of the network in the folder."""

    step: Count = 0
    best: Annotated[float, msgspec.Meta(ge=-1, le=1)] = -1.0
    best_step: Count = 0
    stages: list[dict[str, Any]] = field(default_factory=list)
    validation: list[Count] = field(default_factory=list)
    """The number of samples, then the steps between validations for each stage: these decide which network is kept."""
    data: list[str] = field(default_factory=list)
    """The digests of `check_stages`."""


class Losses:
    """losses.csv, one row per step. Cells are empty for losses that the network does not have, and for miou in steps
    without validation.
    """

    def __init__(self, path: Path, steps: int) -> None:
        """Keep the first `steps` rows of an earlier run's file, up to its checkpoint. Raises UserError if they are
        none.
        """
        rows = (
            read_lines(path)[1 : steps + 1] if steps and path.exists() else []
        )  # a killed run's half line comes after these
        text = "".join(line + "\n" for line in (",".join(FIELDS), *rows))
        parse_csv(text, FIELDS, path)
        write_atomic(path, text.encode())
        self.path = path

    def add(
        self, step: int, stage: str, rate: float, losses: Mapping[str, float], norm: float, miou: float | None
    ) -> None:
        numbers = {"learning_rate": rate, **losses, "loss": sum(losses.values()), "gradient_norm": norm}
        values = {name: f"{value:.6g}" for name, value in numbers.items()}
        values |= {"step": str(step), "stage": stage, "miou": "" if miou is None else f"{miou:.4f}"}
        line = io.StringIO()
        csv.DictWriter(line, list[str](FIELDS), restval="", lineterminator="\n").writerow(values)
        append(self.path, line.getvalue().encode())


def read_losses(path: Path) -> list[dict[str, str]]:
    """The rows of losses.csv. Raises UserError naming a line that is none."""
    return [row for _, row in parse_csv(read_text(path), FIELDS, path)]


def model_card(config: TrainConfig, state: State, rows: Sequence[Mapping[str, str]], parameters: int) -> str:
    """The text of a trained network's README.md."""
    stages, names = state.stages, state.stages[0]["classes"]
    earlier = sum(stage["steps"] for stage in stages[:-1])
    measured = [row for row in rows[earlier:] if row["miou"]]  # each stage starts its own search for the best
    kept = "the last step. No validation set was given."
    if measured:
        stage = f" in stage {stages[-1]['name']}" if earlier else ""
        kept = f"step {state.best_step}, the best of {len(measured)} measured{stage}."
        kept += f" Validation mIoU, with the background: **{state.best:.4f}**."
    # Of a local folder only the last part, so that cards do not reveal its location.
    local = os.path.isdir(config.weights)
    first = os.path.basename(os.path.abspath(config.weights)) if local else config.weights
    table = [
        f"| {s['name']} | {s['samples']} | {s['steps']} | {'of the stage before' if i else first} |"
        for i, s in enumerate(stages)
    ]
    return f"""---
library_name: transformers
pipeline_tag: image-segmentation
tags: [semantic-segmentation, seediff]
---

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
pixels, {config.dtype}, seed {config.seed}; seediff.toml has it all. `losses.csv` shows how it went.

```python
from seediff.train.predict import load_segmenter

label_maps = load_segmenter("FOLDER").label_maps([image])  # (H, W, 3) uint8 → (H, W) uint8
```
"""


CHECKPOINT = "checkpoint.safetensors"
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}


def write_checkpoint(
    path: Path,
    trainee: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, torch.Tensor] | None,
    state: dict[str, Any],
) -> None:
    """Write a checkpoint, atomically: a killed run leaves the previous one. state: JSON values, such as the step."""
    tensors = {f"trainee.{name}": value for name, value in trainee.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in (average or {}).items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adamw.{number}.{name}": value for name, value in moments.items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_tensors(path, tensors, {"state": json.dumps(state)})


def read_state(path: Path) -> State:
    """The state in a checkpoint. Raises UserError if the file is not a checkpoint."""
    try:
        return read_header(path).about("state", State, "the state of a training")
    except UserError as error:
        raise UserError(f"{error}; remove {path} to start again") from error


def read_checkpoint(path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor] | None:
    """Load the trainee and the optimizer, and return the moving average, if the checkpoint has one.

    First checks that every tensor has the network's name, shape and type. Raises UserError.
    """
    found = read_header(path).load("pt")
    expected = {f"trainee.{name}": value for name, value in trainee.state_dict().items()}
    if any(name.startswith("average.") for name in found):
        network = getattr(trainee, "network", trainee)
        expected |= {f"average.{name}": value for name, value in network.state_dict().items()}
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for number, parameter in enumerate(parameter for group in optimizer.param_groups for parameter in group["params"]):
        keys = {name: f"adamw.{number}.{name}" for name in MOMENTS}
        if not found.keys().isdisjoint(keys.values()):  # a parameter without a gradient has none
            expected |= {key: torch.zeros(()) if name == "step" else parameter for name, key in keys.items()}
            moments[number] = {name: found.get(key, parameter) for name, key in keys.items()}
    kinds, wanted = ({name: (t.shape, t.dtype) for name, t in tensors.items()} for tensors in (found, expected))
    if wrong := [name for name in {**wanted, **kinds} if kinds.get(name) != wanted.get(name)]:
        raise UserError(
            path, f"is the checkpoint of another network (tensor {show_json(wrong[0])})", "choose another --out"
        )
    trainee.load_state_dict({name: found[f"trainee.{name}"] for name in trainee.state_dict()})
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return {
        name.removeprefix("average."): value for name, value in found.items() if name.startswith("average.")
    } or None


def find_state(out: Path, config: TrainConfig, new: State) -> State:
    """The state of the training in `out`, which is `new` if none has begun. Raises UserError if `out` holds anything
    else, or a training with another configuration or on other data."""
    names = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
    if not names:
        return new
    if native.CONFIG not in names:
        raise UserError(out, f"not empty and no training of SeeDiff (it holds {names[0]})", "choose another folder")
    changed = differences(with_device(load_config(out / native.CONFIG, TrainConfig)), config)
    state = new
    if (out / CHECKPOINT).is_file():
        state = read_state(out / CHECKPOINT)
    elif (out / RECORD).is_file():
        state = read_json(out / RECORD, State)
    elif not changed or not (out / LOSSES).is_file():
        return state  # killed before its first checkpoint: start again
    before, after = _facts(state), _facts(new)
    changed += [
        f"{key}: {show_json(before.get(key))} → {show_json(after.get(key))}"
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]
    if changed:
        fix = "choose another folder, or give the same options and data as before"
        raise UserError(out, f"holds another training ({'; '.join(changed)})", fix)
    return state


def _facts(state: State) -> dict[str, Any]:
    """Everything about the data of a training that decides it."""
    facts = {f"{key} of stage '{stage['name']}'": value for stage in state.stages for key, value in stage.items()}
    sets = [*(f"stage '{stage['name']}'" for stage in state.stages), "validation"]
    facts |= {f"samples and masks of {what}": digest for what, digest in zip(sets, state.data, strict=False)}
    return {**facts, "validation (samples, steps between)": state.validation}
