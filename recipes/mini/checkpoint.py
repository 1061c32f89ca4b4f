"""Checkpoints of training runs: the states of model and optimizers in one safetensors file, replaced atomically."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from seediff.devices import BF16_SWITCH, mixed_dtype
from seediff.errors import UserError, first_line
from seediff.files.outputs import write_tensors
from seediff.files.tensors import read_header

Optimizers = Mapping[str, torch.optim.Optimizer]

FORMAT = "number_format"
"""Header key: the number format in which the steps so far were computed."""


def save_checkpoint(
    path: Path, model: torch.nn.Module, optimizers: Optimizers, step: int, **extra: torch.Tensor
) -> None:
    """Write the model's weights, the named optimizers' tensors, the step and the `extra` tensors to `path`. Without
    optimizers, the weights do not come from steps of this training, so no number format is recorded and training may
    continue in any."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors |= {f"extra.{k}": v for k, v in extra.items()}
    tensors["step"] = torch.tensor(step)
    # Copied, because safetensors refuses tensors that share storage.
    write_tensors(
        path,
        {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()},
        {FORMAT: _format(model)} if optimizers else {},
    )


def load_checkpoint(
    path: Path, model: torch.nn.Module, optimizers: Optimizers, extra: Mapping[str, torch.Tensor] | None = None
) -> int:
    """Restore in place what `save_checkpoint` wrote, including the `extra` tensors. Returns the step, 0 without a file.
    Raises UserError for a checkpoint of another training; with optimizers, also for one in another number format,
    because its result would differ."""
    if not path.is_file():
        return 0
    file = read_header(path)
    trained_in = file.metadata.get(FORMAT)
    if optimizers and trained_in not in (None, here := _format(model)):
        switch = int(trained_in == "bfloat16")
        raise UserError(
            f"{path}: was trained in {trained_in}, and here is {here}; {BF16_SWITCH}={switch} goes on as it began"
        )
    tensors = file.load("pt")
    try:
        _restore(tensors, model, optimizers, extra or {})
        return int(tensors["step"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        why = first_line(error)
        raise UserError(
            f"{path}: is no checkpoint of this training ({why}); remove it to begin again, or use another --out"
        ) from error


def _restore(
    tensors: Mapping[str, torch.Tensor],
    model: torch.nn.Module,
    optimizers: Optimizers,
    extra: Mapping[str, torch.Tensor],
) -> None:
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    for name, optimizer in optimizers.items():
        state: dict[int, dict[str, torch.Tensor]] = {}
        prefix = f"optimizer.{name}."
        for key, value in tensors.items():
            if key.startswith(prefix):
                index, field = key.removeprefix(prefix).split(".", 1)
                state.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for name, tensor in extra.items():
        tensor.copy_(tensors[f"extra.{name}"])


def _format(model: torch.nn.Module) -> str:
    return str(mixed_dtype(next(model.parameters()).device)).removeprefix("torch.")
