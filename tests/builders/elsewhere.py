"""A model on a pretended device (`pretended.py`): whatever meets a tensor that was left on the CPU fails.

with elsewhere(model) as (there, device):
    images, maps = generate(there)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from builders.pretended import DEVICE, Pretended
from torch.overrides import TorchFunctionMode

from seediff.models.registry import Model


class _Made(TorchFunctionMode):
    """Tensors of Python's numbers, also of a list as an index, are made on the CPU and copied: torch makes them where no mode sees it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        if func in (torch.tensor, torch.as_tensor) and device is not None and torch.device(device) == DEVICE:
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        if func is torch.Tensor.new_tensor and args[0].device.type == DEVICE.type:
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)).to(DEVICE)
        if func is torch.Tensor.__getitem__ and args[0].device.type == DEVICE.type:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = args[0], tuple(torch.tensor(one).to(DEVICE) if isinstance(one, list) else one for one in index)
        return func(*args, **kwargs)


@contextmanager
def elsewhere(model: Model) -> Iterator[tuple[Model, Pretended]]:
    """The model with all weights and buffers on the pretended device, which is there inside the block only."""
    pipe = deepcopy(model.pipe)
    with _Made(), Pretended() as device:
        for part in pipe.components.values():
            for module in part.modules() if isinstance(part, torch.nn.Module) else ():
                for name, weight in module._parameters.items():
                    if weight is not None:
                        module._parameters[name] = torch.nn.Parameter(device.put(weight.data), requires_grad=False)
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = device.put(buffer)
        yield dataclasses.replace(model, pipe=pipe, device=str(DEVICE)), device
