"""Simulates an accelerator on a CPU: tensors that claim to be on another device, and a count of what would make the
host wait for it.

    with Pretended() as device:
        maps = {side: device.put(tensor) for side, tensor in on_cpu.items()}
        rows = aggregate(maps, 64)
    assert device.waits <= 10

Arithmetic is the CPU's. The rest is as on a real device: an operation on tensors of two devices fails (a CPU tensor
without dimensions is allowed), and the host waits when it needs a tensor's values or the size of a result: for a value
that is read, a copy to or from the CPU, positions of nonzero values (also by indexing with a mask), unique values, and
counts of values.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("lazy", 0)
"""The only kind of device that torch lets programs name and copy to without having it."""

WAITING = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "bincount",
    "equal",
    "histc",
)
"""Operations for which the host needs the result or its size."""
BY_MASK = ("index", "index_put", "index_put_", "_unsafe_index")


class _There(torch.Tensor):
    """A tensor on the simulated device; `held` has its values."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False) -> Any:
        """requires_grad: accelerate makes weights by `type(weight)(values, requires_grad=…)`; on the meta device,
        ordinary parameters.
        """
        if isinstance(held, _There):
            return held
        if held.device.type == "meta":
            return torch.nn.Parameter(held, requires_grad=requires_grad)
        there = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        there.held = held
        return there

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} outside the block of its device")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __repr__(self, **_: Any) -> str:
        return f"there({self.held!r})"


class Pretended(TorchDispatchMode):
    """The simulated device. waits: how often the host waited; operations: their number. `waited` and `done` count them
    by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waited: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    @property
    def waits(self) -> int:
        return self.waited.total()

    @property
    def operations(self) -> int:
        return self.done.total()

    def put(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy of a tensor on the device; not counted."""
        return _There(tensor.clone())

    def take(self, tensor: torch.Tensor) -> torch.Tensor:
        """The values of a tensor of any device; not counted."""
        return tensor.held if isinstance(tensor, _There) else tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        flat, _ = tree_flatten((args, kwargs))
        tensors = [one for one in flat if isinstance(one, torch.Tensor)]
        there = [one for one in tensors if isinstance(one, _There)]
        asked = kwargs.get("device")
        name = func._schema.name.partition("::")[2]
        onto = torch.device(asked).type == DEVICE.type if asked is not None else bool(there)
        if not there and not onto:
            return func(*args, **kwargs)
        if name in ("_to_copy", "copy_"):
            if name == "copy_":
                onto = isinstance(args[0], _There)
            if onto != bool(there) or len(there) not in (0, len(tensors)):
                self.waited[f"{name} {'to' if onto else 'from'} the device"] += 1
        elif foreign := [one for one in tensors if not isinstance(one, _There) and one.ndim]:
            raise AssertionError(f"{name}: tensors of two devices, one of them {tuple(foreign[0].shape)} on the CPU")
        self.done[name] += 1
        if name in WAITING or (
            name in BY_MASK and any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1])
        ):
            self.waited[name] += 1
        if name == "repeat_interleave" and kwargs.get("output_size") is None:
            self.waited[name] += 1
        given = {**kwargs, "device": torch.device("cpu")} if onto and "device" in kwargs else kwargs
        found = func(*tree_map(self.take, args), **tree_map(self.take, given))
        if not onto:
            return found
        written = {
            id(self.take(one)): one for one in there
        }  # a tensor changed in place, or given as `out`, stays the same object

        def back(one: Any) -> Any:
            if not isinstance(one, torch.Tensor) or isinstance(one, _There):
                return one
            return written.get(id(one)) if id(one) in written else _There(one)

        return tree_map(back, found)
