"""Compiles a network's attention blocks with torch, with taps through which attention is captured.

A compiled graph contains the hooks that were registered when it was made and ignores later ones. So every attention
layer gets permanent hooks, its tap, before anything is compiled: an operator that is opaque to the compiler passes on
the tensors to the listeners, if there are any when it runs. Blocks alike share a graph, whatever is captured.

Every input shape has a graph of its own, and no graph is chosen by timing, so that a continued run has the same bytes
as an uninterrupted one.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch.utils.hooks import RemovableHandle

from ..errors import UserError, first_line
from .families.family import Family, Joint, Layer

BACKEND = "inductor"
MOST_GRAPHS = 256
"""The most graphs per class of blocks in one process; torch would continue uncompiled, with other rounding."""
MARK = "_seediff_tap"
"""Attribute of a module with a tap: (the tap, the module's index in it); of a compiled network: ()."""

Hook = Callable[..., Any]
Listen = Callable[..., Any]
"""`listen` with its first argument, the network, already given."""


class Tap:
    """The permanent hooks of one attention layer. modules: those that make queries and keys, then the layer itself."""

    def __init__(self, attention: Any, layer: Layer) -> None:
        joint = isinstance(layer, Joint)
        paths = (*layer.queries, *layer.keys) if joint else (layer.query, layer.key)
        self.modules = [*map(attention.get_submodule, paths), attention]
        self.names = (layer.rotary, layer.mask) if joint else ("attention_mask",)
        """Arguments of the attention module that listeners read."""
        number = next(_numbers)
        self.ticket = torch.tensor(number)  # always on the CPU; a tensor, so that identical layers share one graph
        self.listeners: list[OrderedDict[int, tuple[Hook, bool]]] = [OrderedDict() for _ in self.modules]
        for which, module in enumerate(self.modules):
            setattr(module, MARK, (self, which))
            module.register_forward_hook(partial(self.hear, which), with_kwargs=True)
        _taps[number] = self

    def hear(self, which: int, _module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> None:
        heard, layout = [output[0] if isinstance(output, tuple) else output], ""
        for name in self.names:
            value = kwargs.get(name)
            if isinstance(value, torch.Tensor):
                heard, layout = [*heard, value], f"{layout}{name} 1,"
            elif value is not None:
                heard, layout = [*heard, *value], f"{layout}{name} {len(value)},"
        torch.ops.seediff.hear(self.ticket, heard, which, layout)

    def tell(self, which: int, heard: list[torch.Tensor], layout: str) -> None:
        """Call the listeners of a module. heard: its output, then the tensors of its keyword arguments. layout: the
        name of each argument and its number of tensors; 1 means a tensor, not a tuple of one."""
        if not self.listeners[which]:
            return
        output, *rest = heard
        kwargs: dict[str, Any] = {}
        for name, count in (item.split() for item in layout.split(",")[:-1]):
            values, rest = rest[: int(count)], rest[int(count) :]
            kwargs[name] = values[0] if count == "1" else tuple(values)
        if which < len(self.modules) - 1:
            output = output.clone()  # listeners keep it, but the graph overwrites it as soon as it no longer needs it
        for hook, with_kwargs in list(self.listeners[which].values()):
            hook(self.modules[which], (), *([kwargs] if with_kwargs else []), output)


_numbers = itertools.count()
_taps: WeakValueDictionary[int, Tap] = WeakValueDictionary()


@torch.library.custom_op(
    "seediff::hear",
    mutates_args=("ticket",),  # so that no call is dropped, and calls of a layer keep their order
    schema="(Tensor(a!) ticket, Tensor[] heard, int which, str layout) -> ()",
)
def _hear(ticket, heard, which, layout):  # type: ignore[no-untyped-def]
    _taps[int(ticket)].tell(which, heard, layout)


@_hear.register_fake
def _(ticket, heard, which, layout):  # type: ignore[no-untyped-def]
    return None


def listen(network: Any, module: Any, hook: Hook, *, with_kwargs: bool = False) -> Any:
    """`module.register_forward_hook` that also works in a compiled network. Returns the handle.

    A compiled network passes on only attention's keyword arguments for rotary and mask, and only the first of several
    outputs. Raises UserError if a module of a compiled network has no tap because it was added later, such as a LoRA's.
    """
    if not hasattr(network, MARK):
        return module.register_forward_hook(hook, with_kwargs=with_kwargs)
    if not hasattr(module, MARK):
        raise UserError(
            "the network was changed after it was compiled (a LoRA?): load a LoRA with the model, or do not compile it"
        )
    tap, which = getattr(module, MARK)
    handle = RemovableHandle(tap.listeners[which])
    tap.listeners[which][handle.id] = hook, with_kwargs
    return handle


def check_compile(device: str, offload: str) -> None:
    """Raise UserError where networks are not compiled: on mps, and with sequential offload."""
    if device.startswith("mps"):
        raise UserError("compile", "is not supported on mps", "leave it out")
    if offload == "sequential":
        raise UserError("compile", "does not work with offload sequential", "use offload model, or leave it out")


def compile_network(network: Any, family: Family, device: str) -> None:
    """Set up the blocks around a network's attention to be compiled when they first see an input shape. LoRAs must be
    loaded before. Raises UserError if torch cannot compile for the device; the network raises it later, when it sees
    more shapes than MOST_GRAPHS allows."""
    from torch._inductor import config as inductor

    has = BACKEND == "inductor" and hasattr(inductor, "deterministic")  # since torch 2.9
    settings: dict[str, Any] = {"backend": BACKEND, "dynamic": False}
    settings["options"] = {"deterministic": True} if has else None
    try:
        torch.compile(lambda values: values.sin() + 1, **settings)(torch.zeros(64, device=device))
    except Exception as error:  # torch raises a different error for each missing tool
        why = first_line(getattr(error, "inner_exception", error))
        raise UserError("compile", f"torch cannot compile for {device} here ({why})", "leave it out") from error
    layers = family.layers(network)
    for name, layer in layers.items():
        Tap(network.get_submodule(name), layer)
    setattr(network, MARK, ())
    for block in dict.fromkeys(name.rpartition(".")[0] for name in layers):
        network.get_submodule(block).compile(**settings)
    network.forward = limit_graphs(network.forward)


def limit_graphs(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A network's `forward` that raises UserError beyond MOST_GRAPHS graphs. torch keeps these limits per thread; they
    are set only during a call: the user's own programs keep theirs."""
    from torch._dynamo import config as dynamo
    from torch._dynamo.exc import FailOnRecompileLimitHit

    @wraps(forward)
    def within(*args: Any, **kwargs: Any) -> Any:
        # One patch per call: a shared patch would mix up the previous limits of several threads.
        limits = dynamo.patch(
            recompile_limit=MOST_GRAPHS, accumulated_recompile_limit=MOST_GRAPHS, fail_on_recompile_limit_hit=True
        )
        try:
            with limits:
                return forward(*args, **kwargs)
        except FailOnRecompileLimitHit as error:
            problem = f"too many shapes: torch has made {MOST_GRAPHS} graphs of one class of blocks"
            fix = "run the same command to continue; for fewer shapes use --fit resize or --batch-size 1"
            raise UserError("compile", problem, fix) from error

    return within
