"""What a training is resumed from: one safetensors file, written atomically, with the network, AdamW's moments, the average and the step.

Random numbers need no state: every step begins with a seed of its own (`step_seed`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import UserError
from ..files.messages import shown
from ..files.outputs import write_tensors
from ..files.tensors import read_header

T = TypeVar("T")
FILE = "checkpoint.safetensors"
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
OTHER_NETWORK = "is the checkpoint of another network; choose another --out"


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


def read_state(path: Path, kind: type[T]) -> T:
    """The `state` of a checkpoint as a dataclass. Raises UserError when the file is none."""
    try:
        return read_header(path).about("state", kind, "the state of a training")
    except UserError as error:
        raise UserError(f"{error}; remove {path} to start again") from error


def read_checkpoint(path: Path, trainee: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor] | None:
    """Fill the trainee and the optimizer, and return the average of the weights, if the checkpoint has one.

    Nothing is filled before every tensor is known to have the network's name, shape and type. Raises UserError.
    """
    header = read_header(path)
    parts: dict[str, dict[str, torch.Tensor]] = {"trainee": {}, "average": {}, "adamw": {}}
    for key, value in header.load("pt").items():
        part, _, name = key.partition(".")
        if part not in parts:
            raise UserError(f"{path}: tensor {shown(key)} is of no part of a checkpoint ({', '.join(parts)})")
        parts[part][name] = value
    trainee_state = trainee.state_dict()
    _check_alike(path, "trainee", parts["trainee"], trainee_state)
    if parts["average"]:
        _check_alike(path, "average", parts["average"], getattr(trainee, "network", trainee).state_dict())
    shapes = dict(enumerate(parameter for group in optimizer.param_groups for parameter in group["params"]))
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in parts["adamw"].items():
        number, _, name = key.partition(".")
        parameter = shapes.get(int(number)) if number.isdecimal() and len(number) < 10 else None
        if parameter is None or name not in MOMENTS or value.shape != (() if name == "step" else parameter.shape):
            raise UserError(f"{path}: {OTHER_NETWORK} (adamw.{shown(key)} {tuple(value.shape)})")
        moments.setdefault(int(number), {})[name] = value
    if (torn := next((number for number, named in moments.items() if set(named) != MOMENTS), None)) is not None:
        raise UserError(f"{path}: adamw.{torn} has {', '.join(sorted(moments[torn]))}, but must have {', '.join(sorted(MOMENTS))}")
    trainee.load_state_dict(parts["trainee"])
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return parts["average"] or None


def _check_alike(path: Path, part: str, tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name in (*expected, *tensors):
        tensor, wanted = tensors.get(name), expected.get(name)
        if tensor is None or wanted is None or tensor.shape != wanted.shape or tensor.dtype != wanted.dtype:
            raise UserError(f"{path}: {OTHER_NETWORK} ({part}.{shown(name)[1:-1]} {_described(tensor)}, not {_described(wanted)})")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{path}: {part}.{name} holds values that are not numbers; remove the file to start again")


def _described(tensor: torch.Tensor | None) -> str:
    return "is not there" if tensor is None else f"is {str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Of the random numbers that a step draws: points of the loss, dropped paths. Another for every step and process."""
    return (seed * 1_000_003 + step) * 64 + rank + 1
