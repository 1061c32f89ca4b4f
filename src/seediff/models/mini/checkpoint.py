"""Checkpoints of training runs: model and optimizer state in one safetensors file, replaced atomically."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def save_checkpoint(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, **extra: torch.Tensor) -> None:
    """Write model weights, the optimizer's tensors, the step and `extra` tensors to `path`."""
    tensors = {f"model.{k}": v.detach().contiguous() for k, v in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value).contiguous()
    tensors |= {f"extra.{k}": v.detach().contiguous() for k, v in extra.items()}
    tensors["step"] = torch.tensor(step)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    # A copy: shared storage is refused by the format.
    save_file({k: v.clone() for k, v in tensors.items()}, part)
    part.replace(path)


def load_checkpoint(
    path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, extra: dict[str, torch.Tensor] | None = None
) -> int:
    """Restore what `save_checkpoint` wrote, in place; `extra` tensors are copied into. Returns the step, 0 without a file."""
    if not path.is_file():
        return 0
    tensors = load_file(path)
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for name, tensor in (extra or {}).items():
        tensor.copy_(tensors[f"extra.{name}"])
    return int(tensors["step"])
