"""Watches the products of attention while a layer runs: the very queries, keys and mask that make its output.

    watch = Watch(layers)                  # when the network's first layer begins
    watch.begin(attention, on_product)     # when a layer begins
    watch.pause()                          # when it ends, also with an error
    watch.end()                            # when the network ends

Whoever computes attention with PyTorch's function `scaled_dot_product_attention` reaches its operator in the end. While
a watch runs, PyTorch calls `_attend` before this operator, only in the watch's thread. So the function itself stays in
its place, for all who ask whether a call is one of it, and what is seen is what the operator computes:

    F.scaled_dot_product_attention ─▶ modes that others put there ─▶ the operator:  _attend ─▶ PyTorch's own
                                      (may change the call, or leave it out)           │
                                                                                       └▶ report

Others have no operator: functions that somebody put in the place of PyTorch's, backends of diffusers, methods. Callers
fetch these from an attribute, which a `Watch` sets to a `Watched`. It reports the product in its arguments, and passes
the arguments on untouched. So the output stays the same to the bit, and functions that others put there, before or
after, keep working:

    no network runs:             name ─▶ theirs
    watch A:                     name ─▶ Watched(A) ─▶ theirs
    another program wraps it:    name ─▶ other ─▶ Watched(A) ─▶ theirs
    a layer begins:              name ─▶ Watched(B) ─▶ other ─▶ Watched(A) ─▶ theirs
                                 because A has no longer all calls: it ends, and only passes calls on
    B ends:                      name ─▶ other ─▶ Watched(A) ─▶ theirs

Two watches nest if two threads run a network at once. Each reports only the products of its own thread:

    A begins, then B:            name ─▶ Watched(B) ─▶ Watched(A) ─▶ theirs
    A ends first:                the same; A is not on top, and only passes calls on
    B ends:                      name ─▶ theirs; both have ended, so both are removed

Shape letters: B members of attention's batch (calls.py), H heads, N queries, T keys, D channels per head.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch.overrides import _get_current_function_mode_stack as function_modes

from ..errors import UserError


class Product(NamedTuple):
    """One product of attention. A product without a dimension for the heads, (B·H, N, D), may be a piece of a whole
    one."""

    query: torch.Tensor
    """(B, H, N, D)"""
    key: torch.Tensor
    """(B, H, T, D), or with fewer heads, each of which several heads of the queries share."""
    mask: torch.Tensor | None
    """Is broadcast to (B, H, N, T): bool, False where a column is hidden, or numbers that are added to the scores.
    None: nothing is hidden."""
    scale: float
    """The factor of the scores."""


# How each function is given its product


def read_torch(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, **_more: Any,
) -> Product:  # fmt: skip
    """The product in a call of `torch.nn.functional.scaled_dot_product_attention`, from the call's arguments."""
    if is_causal or not isinstance(attn_mask, torch.Tensor | None):
        given = "causal mask" if is_causal else type(attn_mask).__name__
        problem = f"attention with a {given} cannot be captured"
        raise UserError("attention", problem, "call set_attention_backend('native') first")
    return Product(query, key, attn_mask, query.shape[-1] ** -0.5 if scale is None else scale)


def _read_backend(
    query: Any, key: Any, value: Any, attn_mask: Any = None, _parallel_config: Any = None, **more: Any
) -> Product:
    """The product in a call of a diffusers backend. Its heads are the third dimension, and its mask may be (B, T)."""
    if _parallel_config is not None:
        raise UserError("attention", "is divided over several GPUs (context parallel)", "draw without it")
    if isinstance(attn_mask, torch.Tensor) and attn_mask.shape == (query.shape[0], key.shape[1]):
        attn_mask = attn_mask[:, None, None]
    return read_torch(query.transpose(1, 2), key.transpose(1, 2), value, attn_mask, **more)


def _read_xformers(
    query: Any, key: Any, value: Any, attn_bias: Any = None, p: float = 0.0, scale: float | None = None, **_more: Any
) -> Product:
    """The product in a call of `xformers.ops.memory_efficient_attention`, whose states are (B·H, N, D), or have heads
    as the third dimension."""
    if query.ndim == 4:
        query, key = query.transpose(1, 2), key.transpose(1, 2)
    return read_torch(query, key, value, attn_bias, scale=scale)


def _read_scores(attention: Any, query: Any, key: Any, attention_mask: Any = None) -> Product:
    """The product in a call of an attention module's own method SCORES. Its queries and keys are (B·H, N, D)."""
    return Product(query, key, attention_mask, attention.scale)


# PyTorch's operator

TORCHS: Any = import_module("torch._C._nn").scaled_dot_product_attention
"""PyTorch's own function, also after somebody replaced the attribute of `torch.nn.functional`."""
CALL_OPERATOR: list[Any] = [TORCHS]
"""Functions whose products OPERATOR reports: PyTorch's, and capture's in its place (inside_compiled.py)."""
OPERATOR: Any = torch.ops.aten.scaled_dot_product_attention.default
KEY_NAME = "TESTING_ONLY_GenericMode"
"""A dispatch key that no tensor has, and no code of PyTorch's uses. A thread in which it is on calls, before each
operator, what is registered for the key: `_attend` for OPERATOR, nothing for all others."""
KEY = torch._C._dispatch_key_parse(KEY_NAME)
AFTER = torch._C._dispatch_keyset_full_after(KEY)
turn_on = torch._C._dispatch_tls_set_dispatch_key_included
_every, _of_torch = (torch.library.Library(space, "IMPL") for space in ("_", "aten"))
_every.fallback(torch.library.fallthrough_kernel, KEY_NAME)


class _Here(threading.local):
    watches: tuple[Watch, ...] = ()
    """The watches of this thread: one, or one for the prompts and one for the negative prompts."""


_here = _Here()


def _attend(keys: Any, *args: Any, **kwargs: Any) -> Any:
    """Report the product in a call of OPERATOR, and compute it. keys: the call's dispatch keys."""
    watches, _here.watches = _here.watches, ()  # what is computed meanwhile is no product of the layer
    try:
        for watch in watches:
            if watch.on_product is not None:
                watch.report(partial(read_torch, *args, **kwargs))
        return OPERATOR.redispatch(keys & AFTER, *args, **kwargs)
    finally:
        _here.watches = watches


_of_torch.impl("scaled_dot_product_attention", _attend, KEY_NAME, with_keyset=True)


def modes_of_others() -> list[str]:
    """The names of modes (`TorchFunctionMode`) that see each call of a function of PyTorch's, and may answer it in
    their own way. Devices set by `torch.device` are modes of PyTorch's own, and do not count."""
    if not torch._C._len_torch_function_stack():
        return []
    return [type(mode).__name__ for mode in function_modes() if not type(mode).__module__.startswith("torch.")]


# The functions that report it themselves


@dataclass(eq=False)
class Watched:
    """A function that computes attention, with a watch around it."""

    watch: Watch
    read: Callable[..., Product]
    """Returns the product in the function's arguments."""
    wrapped: Callable[..., Any]
    """The function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.watch.runs_here:
            return self.wrapped(*args, **kwargs)
        return self.attend(partial(self.read, *args, **kwargs), *args, **kwargs)

    def __deepcopy__(self, _memo: Any) -> Watched:
        """This object: a copy of a module shares it, as it would share a function."""
        return self

    def attend(self, read: Callable[[], Product], *args: Any, **kwargs: Any) -> Any:
        """Report the product, and call the function, whose own calls of PyTorch's are parts of it. read: returns the
        product in the arguments. Under modes of others, only the operator proves what is computed."""
        if modes_of_others():
            return self.wrapped(*args, **kwargs)
        self.watch.report(read)
        watches = _here.watches
        _here.watches = tuple(watch for watch in watches if watch is not self.watch)
        try:
            return self.wrapped(*args, **kwargs)
        finally:
            _here.watches = watches


class WatchedMethod(Watched):
    """A method of a class of attention modules, with a watch around it."""

    def __get__(self, owner: Any, _kind: Any = None) -> Any:
        return self if owner is None else MethodType(self, owner)

    def __call__(self, attention: Any, *args: Any, **kwargs: Any) -> Any:
        if attention is not self.watch.attention:
            return self.wrapped(attention, *args, **kwargs)
        return super().__call__(attention, *args, **kwargs)


class WatchedBackend(Watched):
    """A backend of diffusers, with a watch around it."""

    def attend(self, read: Callable[[], Product], *args: Any, **kwargs: Any) -> Any:
        """Call the backend. Most backends call PyTorch's function, whose operator reports the product. If it was not
        reported so, and no mode of others took the function's place, it is reported here."""
        if kwargs.get("_parallel_config") is not None:  # refused: each GPU has some of the rows
            self.watch.report(read)
        before = self.watch.count
        result = self.wrapped(*args, **kwargs)
        if self.watch.count == before and not modes_of_others():
            self.watch.report(read)
        return result


class WatchedTable(dict[Any, Any]):
    """diffusers' table of backends, which puts a watch around each backend that is looked up. watch, read: as in
    `Watched`. wrapped: the table without watches."""

    def __init__(self, watch: Watch, read: Callable[..., Product], wrapped: Mapping[Any, Any]) -> None:
        super().__init__(wrapped)
        self.watch, self.read, self.wrapped = watch, read, wrapped

    def __getitem__(self, name: Any) -> WatchedBackend:
        return WatchedBackend(self.watch, self.read, super().__getitem__(name))

    def get(self, name: Any, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 (it would call itself)


# Where they are put


class PatchPoint(NamedTuple):
    """An attribute in which callers look up, at each call, what computes attention."""

    owner: Any
    """A module, a class, or an attention module of the network."""
    name: str
    read: Callable[..., Product]
    wrapper: Callable[..., Any] = Watched
    is_inherited: bool = False
    """Whether the owner is a class that has the attribute from another class."""

    def skip_ended(self) -> Any:
        """The attribute's value without the ended watches on top of it: a function, or a table of functions."""
        value = getattr(self.owner, self.name)
        while isinstance(value, WATCHED) and value.watch.has_ended:
            value = value.wrapped
        return value

    def put_watch(self, watch: Watch) -> None:
        """Put a watch around the value, unless it is PyTorch's own function, whose operator is watched."""
        value = self.skip_ended()
        if value not in CALL_OPERATOR:
            setattr(self.owner, self.name, self.wrapper(watch, self.read, value))

    def leads_to(self, watch: Watch) -> bool:
        """Whether callers still reach a watch: nothing but other watches was put around it."""
        value = getattr(self.owner, self.name)
        while value not in CALL_OPERATOR:
            if not isinstance(value, WATCHED):
                return False
            if value.watch is watch:
                return True
            value = value.wrapped
        return True

    def remove_ended(self) -> None:
        """Remove the ended watches on top of the value."""
        value = self.skip_ended()
        setattr(self.owner, self.name, value)
        if self.is_inherited and not isinstance(value, WATCHED):
            delattr(self.owner, self.name)  # callers find the method in the other class again


WATCHED = (Watched, WatchedTable)
SCORES = "get_attention_scores"
"""The method of diffusers' attention modules that returns probabilities."""


def patch_points(layers: Sequence[Any] = ()) -> list[PatchPoint]:
    """The backends of diffusers' dispatcher, PyTorch's function, where somebody may have put another, xformers'
    function if a script imported it, and the method SCORES of these attention modules."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    points = [
        PatchPoint(Registry, "_backends", _read_backend, WatchedTable),
        PatchPoint(torch.nn.functional, "scaled_dot_product_attention", read_torch),
    ]
    if "xformers.ops" in sys.modules:
        points.append(PatchPoint(sys.modules["xformers.ops"], "memory_efficient_attention", _read_xformers))
    for kind in {type(layer) for layer in layers}:
        if hasattr(kind, SCORES):
            points.append(PatchPoint(kind, SCORES, _read_scores, WatchedMethod, SCORES not in vars(kind)))
    for layer in layers:
        if SCORES in vars(layer):  # somebody replaced this module's
            points.append(PatchPoint(layer, SCORES, partial(_read_scores, layer)))
    return points


patching = threading.Lock()
"""Held while these attributes are read and set."""


def unpatch(points: Sequence[PatchPoint]) -> None:
    """Remove the ended watches on top of each attribute."""
    with patching:
        for point in points:
            point.remove_ended()


class Watch:
    """Watches one call of a network, in the thread that makes it, and reports the products of the layer that runs.
    layers: the attention modules that may."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self.attention: Any = None
        """The module that runs; None between layers."""
        self.on_product: Callable[[Callable[[], Product]], None] | None = None
        """Called with a function that returns the product, for each product; None between layers."""
        self.count = 0
        """The number of the layer's products until now."""
        self.has_ended = False
        self._points = patch_points(layers)
        with patching:
            for point in self._points:
                point.put_watch(self)
        _here.watches = (*[watch for watch in _here.watches if not watch.has_ended], self)

    @property
    def runs_here(self) -> bool:
        """Whether a layer runs, and in the thread that asks."""
        return self.on_product is not None and self in _here.watches

    @property
    def sees_all(self) -> bool:
        """Whether all calls still reach it. If not, somebody put another function around it or in its place."""
        return all(point.leads_to(self) for point in self._points)

    def begin(self, attention: Any, on_product: Callable[[Callable[[], Product]], None]) -> None:
        """Report the products of a layer from now on."""
        self.attention, self.on_product, self.count = attention, on_product, 0
        turn_on(KEY, True)  # again: where torch ran a compiled block as it is, it turned everything off afterwards

    def pause(self) -> None:
        """Report nothing until the next layer begins."""
        self.attention = self.on_product = None

    def report(self, read: Callable[[], Product]) -> None:
        """Count a product, and pass it on. read: returns the product."""
        self.count += 1
        if self.on_product is not None:
            self.on_product(read)

    def end(self) -> None:
        """Report nothing more, and remove this watch wherever it is on top."""
        self.pause()
        self.has_ended = True
        _here.watches = tuple(watch for watch in _here.watches if watch is not self)
        turn_on(KEY, bool(_here.watches))
        unpatch(self._points)
