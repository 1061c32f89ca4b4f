"""What a training is resumed from: one safetensors file, written atomically, with the network, AdamW's moments, the average and the step.

Random numbers need no state: every step begins with a seed of its own (`step_seed`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..errors import UserError
from ..outputs import write_tensors

FILE = "checkpoint.safetensors"


def write_checkpoint(
    path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, torch.Tensor] | None, state: dict[str, Any]
) -> None:
    """state: what JSON can hold, such as the step. Atomic: a killed run leaves the checkpoint before."""
    tensors = {f"trainee.{name}": value for name, value in trainee.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in (average or {}).items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adamw.{number}.{name}": value for name, value in moments.items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_tensors(path, tensors, {"state": json.dumps(state)})


def read_state(path: Path) -> dict[str, Any]:
    """The `state` of a checkpoint. Raises UserError when the file is none."""
    try:
        with safe_open(str(path), "pt") as file:
            return json.loads((file.metadata() or {})["state"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a checkpoint ({error}); remove it to start again") from error


def read_checkpoint(path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor] | None:
    """Fill the trainee and the optimizer, and return the average of the weights, if the checkpoint has one."""
    parts: dict[str, dict[str, torch.Tensor]] = {"trainee": {}, "average": {}, "adamw": {}}
    with safe_open(str(path), "pt") as file:
        for key in file.keys():  # noqa: SIM118  # no dictionary
            part, _, name = key.partition(".")
            parts[part][name] = file.get_tensor(key)
    try:
        trainee.load_state_dict(parts["trainee"])
    except RuntimeError as error:
        raise UserError(f"{path}: is the checkpoint of another network; choose another --out") from error
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in parts["adamw"].items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return parts["average"] or None


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Of the random numbers that a step draws: points of the loss, dropped paths. Another for every step and process."""
    return (seed * 1_000_003 + step) * 64 + rank + 1
