"""Checkpoints of training runs: model and optimizers' state in one safetensors file, replaced atomically."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ...devices import BF16_SWITCH, mixed_dtype
from ...errors import UserError
from ...files.outputs import write_tensors

Optimizers = Mapping[str, torch.optim.Optimizer]

FORMAT = "number_format"
"""In the header: the format in which the steps so far were computed."""


def save_checkpoint(path: Path, model: torch.nn.Module, optimizers: Optimizers, step: int, **extra: torch.Tensor) -> None:
    """Write model weights, the named optimizers' tensors, the step and `extra` tensors to `path`."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors |= {f"extra.{k}": v for k, v in extra.items()}
    tensors["step"] = torch.tensor(step)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Copies: shared storage is refused by the format.
    write_tensors(path, {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, {FORMAT: _format(model)})


def load_checkpoint(path: Path, model: torch.nn.Module, optimizers: Optimizers, extra: Mapping[str, torch.Tensor] | None = None) -> int:
    """Restore what `save_checkpoint` wrote, in place; `extra` tensors are copied into. Returns the step, 0 without a file.
    Raises UserError when it would be continued, with optimizers, in another number format: its end would be another one."""
    if not path.is_file():
        return 0
    with safe_open(path, "pt") as file:
        trained_in = (file.metadata() or {}).get(FORMAT)
    if optimizers and trained_in not in (None, here := _format(model)):
        switch = int(trained_in == "bfloat16")
        raise UserError(f"{path}: was trained in {trained_in}, and here is {here}; {BF16_SWITCH}={switch} goes on as it began")
    tensors = load_file(path)
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, torch.Tensor]] = {}
        prefix = f"optimizer.{name}."
        for key, value in tensors.items():
            if key.startswith(prefix):
                index, field = key.removeprefix(prefix).split(".", 1)
                state.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for name, tensor in (extra or {}).items():
        tensor.copy_(tensors[f"extra.{name}"])
    return int(tensors["step"])


def _format(model: torch.nn.Module) -> str:
    return str(mixed_dtype(next(model.parameters()).device)).removeprefix("torch.")
