"""Checkpoints of training runs: the states of model and optimizers in one safetensors file, replaced atomically."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from seediff.files.tensors import read_header, write_tensors

Optimizers = Mapping[str, torch.optim.Optimizer]


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimizers: Optimizers, step: int, **extra: torch.Tensor
) -> None:
    """Write the model's weights, the named optimizers' tensors, the step and the `extra` tensors to `path`."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors |= {f"extra.{k}": v for k, v in extra.items()} | {"step": torch.tensor(step)}
    # Copied, because safetensors refuses tensors that share storage.
    write_tensors(path, {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, {})


def load_checkpoint(
    path: Path, model: torch.nn.Module, optimizers: Optimizers, extra: Mapping[str, torch.Tensor] | None = None
) -> int:
    """Restore in place what `save_checkpoint` wrote, including the `extra` tensors. Returns the step, 0 without a
    file."""
    if not path.is_file():
        return 0
    tensors = read_header(path).load("pt")
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, torch.Tensor]] = {}
        prefix = f"optimizer.{name}."
        for key in (key for key in tensors if key.startswith(prefix)):
            index, field = key.removeprefix(prefix).split(".", 1)
            state.setdefault(int(index), {})[field] = tensors[key]
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for name, tensor in (extra or {}).items():
        tensor.copy_(tensors[f"extra.{name}"])
    return int(tensors["step"])
