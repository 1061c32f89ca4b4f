"""Watches the products of attention while a layer runs: the very queries, keys and mask that make its output.

    watch = Watch(attention, on_product)   # when the layer begins
    watch.end()                            # when it ends, also with an error

At each call, a layer fetches the function that computes attention from an attribute, such as
`torch.nn.functional.scaled_dot_product_attention`. A `Watch` sets this attribute to a `Watched`, which wraps the
function that was there. A `Watched` reports the product in its arguments, and passes the arguments on untouched. So the
output stays the same to the bit, and functions that others put there, before or after, keep working.

    no layer runs:               name ─▶ torch's
    layer A begins:              name ─▶ Watched(A) ─▶ torch's
    another program wraps it:    name ─▶ theirs ─▶ Watched(A) ─▶ torch's
    A ends:                      the same; Watched(A) stays because theirs calls it, and only passes calls on
    layer B begins:              name ─▶ Watched(B) ─▶ theirs ─▶ Watched(A) ─▶ torch's
    B ends:                      name ─▶ theirs ─▶ Watched(A) ─▶ torch's

Two watches nest if two threads run a layer at once. Each reports only the products of its own thread:

    A begins, then B:            name ─▶ Watched(B) ─▶ Watched(A) ─▶ torch's
    A ends first:                the same; A is not on top, and only passes calls on
    B ends:                      name ─▶ torch's; both have ended, so both are removed

Shape letters: B members of attention's batch (calls.py), H heads, N queries, T keys, D channels per head.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MethodType
from typing import Any, NamedTuple

import torch

from ..errors import UserError
from .log_sum_exps import TORCHS, attend_with_log_sum_exps


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
    log_sum_exps: torch.Tensor | None = None
    """(B, H, N) log-sum-exps of the scores, if attention has computed them."""


# How each function is given its product


def _read_torch(
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
    return _read_torch(query.transpose(1, 2), key.transpose(1, 2), value, attn_mask, **more)


def _read_xformers(
    query: Any, key: Any, value: Any, attn_bias: Any = None, p: float = 0.0, scale: float | None = None, **_more: Any
) -> Product:
    """The product in a call of `xformers.ops.memory_efficient_attention`, whose states are (B·H, N, D), or have heads
    as the third dimension."""
    if query.ndim == 4:
        query, key = query.transpose(1, 2), key.transpose(1, 2)
    return _read_torch(query, key, value, attn_bias, scale=scale)


def _read_scores(attention: Any, query: Any, key: Any, attention_mask: Any = None) -> Product:
    """The product in a call of an attention module's own method SCORES. Its queries and keys are (B·H, N, D)."""
    return Product(query, key, attention_mask, attention.scale)


# The functions that report it


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
        """Report the product, and call the function. If it is PyTorch's own, the log-sum-exps that it computes are
        reported, too, where they can be had (log_sum_exps.py). read: returns the product in the arguments."""
        found = attend_with_log_sum_exps(*args, **kwargs) if self.wrapped is TORCHS else None
        if found is None:
            self.watch.report(read)
            return self.wrapped(*args, **kwargs)
        result, log_sum_exps = found
        self.watch.report(lambda: read()._replace(log_sum_exps=log_sum_exps))
        return result


class WatchedBackend(Watched):
    """A backend of diffusers, with a watch around it."""

    def attend(self, read: Callable[[], Product], *args: Any, **kwargs: Any) -> Any:
        """Call the backend. Most backends call PyTorch's function, whose own `Watched` reports the product. If it was
        not reported so, it is reported here."""
        if kwargs.get("_parallel_config") is not None:  # refused: each GPU has some of the rows
            self.watch.report(read)
        before = self.watch.count
        result = self.wrapped(*args, **kwargs)
        if self.watch.count == before:
            self.watch.report(read)
        return result


class WatchedTable(dict[Any, Any]):
    """diffusers' table of backends, with a watch around each backend. watch, read: as in `Watched`. wrapped: the table
    without watches."""

    def __init__(self, watch: Watch, read: Callable[..., Product], wrapped: Mapping[Any, Any]) -> None:
        super().__init__({name: WatchedBackend(watch, read, backend) for name, backend in wrapped.items()})
        self.watch, self.wrapped = watch, wrapped


# Where they are put


class PatchPoint(NamedTuple):
    """An attribute in which callers look up, at each call, what computes attention."""

    owner: Any
    """A module, a class, or an attention module of the network."""
    name: str
    read: Callable[..., Product]
    wrapper: Callable[..., Any] = Watched
    inherited: Any = None
    """The method of this name in the owner's class, which callers find if the owner itself has no such attribute. None:
    the class has no such method."""

    def skip_ended(self) -> Any:
        """The attribute's value without the ended watches on top of it: a function, or a table of functions."""
        value = getattr(self.owner, self.name)
        while isinstance(value, Watched | WatchedTable) and value.watch.has_ended:
            value = value.wrapped
        return value

    def put_watch(self, watch: Watch) -> None:
        """Put a watch around the value."""
        setattr(self.owner, self.name, self.wrapper(watch, self.read, self.skip_ended()))

    def remove_ended(self) -> None:
        """Remove the ended watches on top of the value."""
        value = self.skip_ended()
        setattr(self.owner, self.name, value)
        if value == self.inherited:
            delattr(self.owner, self.name)  # callers find the method in the class again


SCORES = "get_attention_scores"
"""The method of diffusers' attention modules that returns probabilities."""


def patch_points(attention: Any = None) -> list[PatchPoint]:
    """PyTorch's function, the backends of diffusers' dispatcher, xformers' function if a script imported it, and an
    attention module's own method SCORES."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    points = [
        PatchPoint(torch.nn.functional, "scaled_dot_product_attention", _read_torch),
        PatchPoint(Registry, "_backends", _read_backend, WatchedTable),
    ]
    if "xformers.ops" in sys.modules:
        points.append(PatchPoint(sys.modules["xformers.ops"], "memory_efficient_attention", _read_xformers))
    method = getattr(type(attention), SCORES, None)
    if method is not None:
        read, inherited = partial(_read_scores, attention), MethodType(method, attention)
        points.append(PatchPoint(attention, SCORES, read, inherited=inherited))
    return points


_lock = threading.Lock()


def unpatch(points: Sequence[PatchPoint]) -> None:
    """Remove the ended watches on top of each attribute."""
    with _lock:
        for point in points:
            point.remove_ended()


class Watch:
    """Watches one run of one layer. on_product: called with a function that returns the product, for each product."""

    def __init__(self, attention: Any, on_product: Callable[[Callable[[], Product]], None]) -> None:
        self.count = 0
        """The number of products until now."""
        self.has_ended = False
        self._on_product, self._thread = on_product, threading.get_ident()
        self._points = patch_points(attention)
        with _lock:
            for point in self._points:
                point.put_watch(self)

    @property
    def runs_here(self) -> bool:
        """Whether the layer still runs, and in the thread that asks."""
        return not self.has_ended and self._thread == threading.get_ident()

    def report(self, read: Callable[[], Product]) -> None:
        """Count a product, and pass it on. read: returns the product."""
        self.count += 1
        self._on_product(read)

    def end(self) -> None:
        """Report nothing more, and remove this watch wherever it is on top."""
        self.has_ended = True
        unpatch(self._points)
