"""A stand-in for CUDA graphs on a CPU: notes every operation of a call with its tensors, and does them again into the
same memory.

As with CUDA, Python does not run at a replay, and tensors keep their memory: those that the call made, but not those
that it was given, which must outlive the graph. Making one leaves no values: what it
wrote is undone, and what it made is filled with NaN, as is the memory of all other graphs at every replay. Refused
are waits of the host, random numbers, tensors that Python makes of numbers, and operations that the first call did not
have: CUDA would compile or allocate for them.
"""

from contextlib import contextmanager

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

REFUSED = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
OF_THE_HOST = {
    torch.tensor, torch.as_tensor, torch.from_numpy, torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.numpy,
    torch.Tensor.cpu, torch.Tensor.__bool__, torch.Tensor.__int__, torch.Tensor.__float__, torch.Tensor.__index__,
}  # fmt: skip
"""Functions that wait for a GPU, or copy to it from the CPU."""


class NotPermittedError(RuntimeError):
    """operation not permitted when stream is capturing"""


class HostRefused(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in OF_THE_HOST:
            raise NotPermittedError(f"not permitted when stream is capturing: {func.__name__}")
        return func(*args, **(kwargs or {}))


def tensors(value):
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def homes(value):
    return {tensor.untyped_storage().data_ptr() for tensor in tensors(value)}


def alike(func, args, kwargs):
    """An operation and the layout of its tensors."""
    given = tensors((args, kwargs))
    return func, tuple((tensor.dtype, tuple(tensor.shape), tensor.stride()) for tensor in given)


class Given:
    """A tensor that a graph reads or writes, and did not make: its memory is not kept alive here."""

    def __init__(self, tensor):
        self.storage = StorageWeakRef(tensor.untyped_storage())
        self.layout = tensor.storage_offset(), tensor.shape, tensor.stride()
        self.dtype = tensor.dtype

    def tensor(self):
        if self.storage.expired():
            raise RuntimeError("illegal memory access: a replay reads memory that was given back")
        storage = torch.UntypedStorage._new_with_weak_ptr(self.storage.cdata)
        return torch.empty(0, dtype=self.dtype).set_(storage, *self.layout)


class Warm(TorchDispatchMode):
    """Notes which operations ran."""

    def __init__(self, ran):
        super().__init__()
        self.ran = ran

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.ran.add(alike(func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


class Tape(TorchDispatchMode):
    def __init__(self, ran):
        super().__init__()
        self.ran = ran
        self.lines = []
        self.alive = []  # views, whose memory must not be given to others
        self.made = set()
        self.before = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        random = torch.Tag.nondeterministic_seeded in func.tags and "attention" not in str(func)  # whose dropout is 0
        by_mask = any(one.dtype in (torch.bool, torch.uint8) for one in tensors(args[1:2]))
        by_numbers = func is torch.ops.aten.index.Tensor and not by_mask
        if random or (REFUSED & set(func.tags) and not by_numbers):
            raise NotPermittedError(f"not permitted when stream is capturing: {func}")
        for argument, value in zip(func._schema.arguments, [*args, *kwargs.values()], strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._keep(value)
        for argument in func._schema.arguments[len(args) :]:
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._keep(kwargs.get(argument.name))
        found = func(*args, **kwargs)
        if not func._schema.is_mutable and homes(found) <= homes((args, kwargs)):
            self.alive += [view for view in tensors(found) if homes(view) <= self.made]
            return found
        if alike(func, args, kwargs) not in self.ran:
            raise NotPermittedError(f"not run before the stream is capturing: {func}")
        args, kwargs = tree_map_only(torch.Tensor, self._kept, (args, kwargs))
        if func._schema.is_mutable:
            self.lines.append((func, args, kwargs, None))
        else:
            self.lines.append((func, args, kwargs, tensors(found)))
            self.made |= homes(found)
        return found

    def _kept(self, tensor):
        return tensor if homes(tensor) <= self.made else Given(tensor)

    def _keep(self, value):
        for tensor in tensors(value):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.made and storage.data_ptr() not in self.before:
                self.before[storage.data_ptr()] = storage, storage.clone()

    def undo(self):
        for storage, earlier in self.before.values():
            storage.copy_(earlier)

    def spoil(self):
        for *_, made in self.lines:
            for tensor in made or ():
                if tensor.is_floating_point():
                    tensor.fill_(torch.nan)

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, made in self.lines:
            args, kwargs = tree_map_only(Given, Given.tensor, (args, kwargs))
            found = func(*args, **kwargs)
            for own, new in zip(made or (), tensors(found), strict=made is not None):
                own.copy_(new)


class TapeMaker:
    """In the place of `GraphMaker`."""

    def __init__(self, replays_take=0.5):
        """replays_take: seconds of a replay, where an eager call takes one."""
        self.tapes = []
        self.ran = set()
        self.replays = 0
        self.replays_take = replays_take
        self.short_of_memory = False
        self.spoils = False
        """Whether replays leave wrong values."""

    def renew(self):
        self.tapes = []

    def is_short_of_memory(self):
        return self.short_of_memory

    def free_memory(self):
        pass

    def timed(self, call):
        before = self.replays
        found = call()
        return found, self.replays_take if self.replays > before else 1.0

    def run(self, call):
        with Warm(self.ran):
            return call()

    def make(self, call):
        tape = Tape(self.ran)
        try:
            with HostRefused(), tape:
                found = call()
        except BaseException:
            tape.undo()
            raise
        tape.undo()
        tape.spoil()
        self.tapes.append(tape)
        return found, lambda: self._replay(tape)

    def _replay(self, tape):
        self.replays += 1
        for other in self.tapes:
            if other is not tape:
                other.spoil()
        tape.replay()
        if self.spoils:
            next(made for *_, made in reversed(tape.lines) if made)[0].add_(1)


@contextmanager
def graphed(network, maker=None, trial=False, **replaced):
    """The network's graphs by the stand-in, in this block. replaced: of the module's constants."""
    from unittest import mock

    from seediff.models import graphs

    with mock.patch.multiple(graphs, **replaced) if replaced else mock.MagicMock():
        own = graphs.GraphedNetwork(network, maker or TapeMaker(), trial=trial)
        try:
            yield own
        finally:
            own.restore()
