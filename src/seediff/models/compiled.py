"""A network whose blocks of attention are compiled by torch, with taps where capture listens.

A compiled graph holds the hooks that were there when it was made and does not notice later ones. So every attention layer gets hooks for
good, its tap, before anything is compiled. A tap hands over what it saw by an operation that the compiler does not look into; who listens,
if anybody, is looked up when that runs. A block is one graph, as without taps; blocks alike share it, and it is the same whatever is
captured.

Every shape of input has a graph of its own, and none is chosen by timing: through which graph an image goes follows from the configuration
alone, so that a continued run has the bytes of an unbroken one.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from functools import partial, wraps
from typing import Any
from weakref import WeakValueDictionary

import torch

from ..errors import UserError, first_line
from .families.base import Family, Joint, Layer

BACKEND = "inductor"
"""What makes programs of graphs; torch's own names."""
MOST_GRAPHS = 256
"""Of one class of blocks, in one process. torch would go on uncompiled beyond, with other rounding: here it is an error."""
MARK = "_seediff_tap"
"""Attribute of a module: (its layer's tap, which of its modules it is). Of a compiled network: ()."""

Hook = Callable[..., Any]
Listen = Callable[..., Any]
"""`listen` of one network."""


class Tap:
    """The hooks of one attention layer. Modules are those that make its queries and keys, and last the attention module itself."""

    def __init__(self, attention: Any, layer: Layer) -> None:
        joint = isinstance(layer, Joint)
        paths = (*layer.queries, *layer.keys) if joint else (layer.query, layer.key)
        self.modules = [*map(attention.get_submodule, paths), attention]
        self.names = (layer.rotary, layer.mask) if joint else ("attention_mask",)
        """Arguments of the attention module that listeners read."""
        number = next(_numbers)
        self.ticket = torch.tensor(number)  # on the CPU always; a tensor, so that layers alike share one graph
        self.listeners: list[dict[int, tuple[Hook, bool]]] = [{} for _ in self.modules]
        for which, module in enumerate(self.modules):
            setattr(module, MARK, (self, which))
            if module is attention:
                module.register_forward_hook(self.done, with_kwargs=True)
            else:
                module.register_forward_hook(partial(self.made, which))
        _taps[number] = self

    def made(self, which: int, _module: Any, _args: Any, output: torch.Tensor) -> None:
        torch.ops.seediff.hear(self.ticket, [output], which, "")

    def done(self, _attention: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> None:
        heard, layout = [output[0] if isinstance(output, tuple) else output], ""
        for name in self.names:
            value = kwargs.get(name)
            if isinstance(value, torch.Tensor):
                heard, layout = [*heard, value], f"{layout}{name} 1,"
            elif value is not None:
                heard, layout = [*heard, *value], f"{layout}{name} {len(value)},"
        torch.ops.seediff.hear(self.ticket, heard, len(self.modules) - 1, layout)

    def tell(self, which: int, heard: list[torch.Tensor], layout: str) -> None:
        """Call the listeners of a module with its output, and with those arguments that `layout` says are behind it: name and number, where
        1 is a tensor and not a tuple of one."""
        if not self.listeners[which]:
            return
        output, *rest = heard
        kwargs: dict[str, Any] = {}
        for name, count in (item.split() for item in layout.split(",")[:-1]):
            values, rest = rest[: int(count)], rest[int(count) :]
            kwargs[name] = values[0] if count == "1" else tuple(values)
        if which < len(self.modules) - 1:
            output = output.clone()  # listeners keep it, and the graph writes over it as soon as it has no more use for it
        for hook, with_kwargs in list(self.listeners[which].values()):
            if with_kwargs:
                hook(self.modules[which], (), kwargs, output)
            else:
                hook(self.modules[which], (), output)


_numbers = itertools.count()
_taps: WeakValueDictionary[int, Tap] = WeakValueDictionary()


@torch.library.custom_op(
    "seediff::hear",
    mutates_args=("ticket",),  # so it is never left out, and a layer's come in order
    schema="(Tensor(a!) ticket, Tensor[] heard, int which, str layout) -> ()",
)
def _hear(ticket, heard, which, layout):  # type: ignore[no-untyped-def]
    _taps[int(ticket)].tell(which, heard, layout)


@_hear.register_fake
def _(ticket, heard, which, layout):  # type: ignore[no-untyped-def]
    return None


class _Handle:
    def __init__(self, listeners: dict[int, tuple[Hook, bool]]) -> None:
        self.listeners = listeners

    def remove(self) -> None:
        self.listeners.pop(id(self), None)


def listen(network: Any, module: Any, hook: Hook, *, with_kwargs: bool = False) -> Any:
    """`module.register_forward_hook`, also where the network is compiled. Returns the handle.

    A compiled network hands over no arguments but those by name that attention has of rotary and mask, and of several outputs the first.
    Raises UserError when a module of a compiled network has no tap: it came later, as with a LoRA.
    """
    if not hasattr(network, MARK):
        return module.register_forward_hook(hook, with_kwargs=with_kwargs)
    if not hasattr(module, MARK):
        raise UserError("the network was changed after it was compiled (a LoRA?): load a LoRA with the model, or do not compile it")
    tap, which = getattr(module, MARK)
    handle = _Handle(tap.listeners[which])
    tap.listeners[which][id(handle)] = hook, with_kwargs
    return handle


def check_compile(device: str, offload: str) -> None:
    """Raise UserError where a network is not compiled: on mps, and where single layers are offloaded."""
    if device.startswith("mps"):
        raise UserError("compile: is not supported on mps; leave it out")
    if offload == "sequential":
        raise UserError("compile: does not work with offload sequential; use offload model, or leave one of them out")


def compile_network(network: Any, family: Family, device: str) -> None:
    """Have the blocks around a network's attention be compiled when they first see a shape of input. LoRAs are loaded before.

    Raises UserError where torch cannot compile for the device: no compiler of C++ for the cpu, no Triton or too old a GPU for cuda. The
    network raises it where it sees more shapes than MOST_GRAPHS allow.
    """
    from torch._inductor import config as inductor

    options = {"deterministic": True} if BACKEND == "inductor" and hasattr(inductor, "deterministic") else None  # since torch 2.9
    settings: dict[str, Any] = {"backend": BACKEND, "dynamic": False, "options": options}
    try:
        torch.compile(_trial, **settings)(torch.zeros(64, device=device))
    except Exception as error:  # whatever is missing, torch has an error of its own for it
        why = first_line(getattr(error, "inner_exception", error))
        raise UserError(f"compile: torch cannot compile for {device} here ({why}); leave it out") from error
    layers = family.layers(network)
    for name, layer in layers.items():
        Tap(network.get_submodule(name), layer)
    setattr(network, MARK, ())
    for block in dict.fromkeys(name.rpartition(".")[0] for name in layers):
        network.get_submodule(block).compile(**settings)
    logging.getLogger("torch._dynamo.convert_frame").addFilter(_unless_error)
    network.forward = limited(network.forward)


def limited(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A network's forward within the limit of graphs. torch keeps such settings for each thread; they hold in whichever calls it, until it
    is left: programs that the user compiles keep their own. Raises UserError beyond the limit."""
    from torch._dynamo import config as dynamo
    from torch._dynamo.exc import FailOnRecompileLimitHit

    @wraps(forward)
    def within(*args: Any, **kwargs: Any) -> Any:
        # Made anew for each call: one that is shared would mix up what several threads had before.
        limits = dynamo.patch(recompile_limit=MOST_GRAPHS, accumulated_recompile_limit=MOST_GRAPHS, fail_on_recompile_limit_hit=True)
        try:
            with limits:
                return forward(*args, **kwargs)
        except FailOnRecompileLimitHit as error:
            raise UserError(
                f"compile: too many shapes: torch has made {MOST_GRAPHS} graphs of one class of blocks, the most there may be in one "
                "process; the same command continues; for fewer shapes use --fit resize or --batch-size 1, or "
                "leave out --compile"
            ) from error

    return within


def _unless_error(record: logging.LogRecord) -> bool:
    """Leaves out of torch's log that a limit was hit where an error says so."""
    from torch._dynamo import config as dynamo

    return not (dynamo.fail_on_recompile_limit_hit and str(record.msg).startswith("torch._dynamo hit config."))


def _trial(values: torch.Tensor) -> torch.Tensor:
    return values.sin() + 1
