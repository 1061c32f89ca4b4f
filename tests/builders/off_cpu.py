"""Runs a model on a simulated device (`pretended.py`), where any operation that meets a tensor left on the CPU fails.

with elsewhere(model) as (there, device):
    images, maps = generate(there)

`offloaded_elsewhere` keeps the model's parts on the CPU until they run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from typing import Any
from unittest import mock

import torch
from builders.pretended import DEVICE, Pretended
from torch.overrides import TorchFunctionMode

from seediff.models.memory import Offload, place
from seediff.models.registry import Model


class _Made(TorchFunctionMode):
    """Makes tensors of Python numbers, and of lists used as indices, on the CPU and copies them: torch makes them
    unseen by any mode.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        if func in (torch.tensor, torch.as_tensor) and device is not None and torch.device(device).type == DEVICE.type:
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        if func is torch.Tensor.new_tensor and args[0].device.type == DEVICE.type:
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)).to(DEVICE)
        if func is torch.Tensor.__getitem__ and args[0].device.type == DEVICE.type:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = args[0], tuple(torch.tensor(one).to(DEVICE) if isinstance(one, list) else one for one in index)
        return func(*args, **kwargs)


def _without_autocast() -> Any:
    """Replace torch.autocast, which a network switches off, and which does not know the simulated device."""
    return mock.patch.object(torch, "autocast", return_value=nullcontext())


@contextmanager
def elsewhere(model: Model) -> Iterator[tuple[Model, Pretended]]:
    """The model with all weights and buffers on the simulated device, which exists only inside the block."""
    pipe = deepcopy(model.pipe)
    with _without_autocast(), _Made(), Pretended() as device:
        for part in pipe.components.values():
            for module in part.modules() if isinstance(part, torch.nn.Module) else ():
                for name, weight in module._parameters.items():
                    if weight is not None:
                        module._parameters[name] = torch.nn.Parameter(device.put(weight.data), requires_grad=False)
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = device.put(buffer)
        yield dataclasses.replace(model, pipe=pipe, device=str(DEVICE)), device


@contextmanager
def offloaded_elsewhere(model: Model, offload: Offload) -> Iterator[tuple[Model, Pretended, Callable[[], set[str]]]]:
    """The model with its parts moved to the simulated device when they run, the device, and a function that returns
    which other parts were there while the network or the autoencoder ran. Several text encoders may be there together,
    as pipelines have it."""
    pipe = deepcopy(model.pipe)
    parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
    found: set[str] = set()

    def look(at_work: str, *_: Any) -> None:
        others = {name: part for name, part in parts.items() if name != at_work}
        found.update(
            name
            for name, part in others.items()
            if any(weight.device.type == DEVICE.type for weight in part.parameters())
        )

    cache = mock.patch(
        "diffusers.pipelines.pipeline_utils.empty_device_cache"
    )  # torch has no module for the simulated device
    with cache, _without_autocast(), _Made(), Pretended() as device:
        place(pipe, str(DEVICE), offload)
        for name in (model.family.network, "vae"):
            for module in parts[name].children():
                module.register_forward_hook(partial(look, name))
        yield dataclasses.replace(model, pipe=pipe, device=str(DEVICE), offload=offload), device, lambda: found
