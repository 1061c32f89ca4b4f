"""Watches the products of attention while a layer runs: the very queries, keys and mask that make its output.

    watch = Watch(attention, on_product)   # when the layer begins
    watch.end()                            # when it ends, also with an error

A `Watch` puts a function of its own around whatever computes attention at that moment, and passes all arguments on
untouched: the output stays the same to the bit, and functions that others put there, before or after, keep working.

    nobody watches:              F.scaled_dot_product_attention ─▶ torch's
    a layer begins:              F.scaled_dot_product_attention ─▶ attend (watch A) ─▶ torch's
    somebody else wraps it:      F.scaled_dot_product_attention ─▶ theirs ─▶ attend (A) ─▶ torch's
    A ends, the next begins:     F.scaled_dot_product_attention ─▶ attend (B) ─▶ theirs ─▶ attend (A) ─▶ torch's

A watch reports only what its own thread computes, until its layer ends. From then on its function only passes calls on.
It is removed as soon as it is on top; below somebody else's function it must stay, because that function calls it, as
in the last line.

Shape letters: B members of attention's batch (calls.py), H heads, N queries, T keys, D channels per head.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch

from ..errors import UserError
from .own_sums import TORCHS, attend_with_sums


class Product(NamedTuple):
    """One product of attention. One without a dimension for the heads, (B·H, N, D), may be a piece of a product."""

    query: torch.Tensor
    """(B, H, N, D)"""
    key: torch.Tensor
    """(B, H, T, D), or with fewer heads, each of which several heads of the queries share."""
    mask: torch.Tensor | None
    """Is broadcast to (B, H, N, T): bool, False where a column is hidden, or numbers that are added to the scores.
    None: nothing is hidden."""
    scale: float
    """The factor of the scores."""
    sums: torch.Tensor | None = None
    """(B, H, N) log-sum-exps of the scores, if attention has computed them."""


ProductReader = Callable[..., Product]
"""Takes the arguments of a function that computes attention, and returns the product in them."""


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


def _read_dispatched(
    query: Any, key: Any, value: Any, attn_mask: Any = None, _parallel_config: Any = None, **more: Any
) -> Product:
    """The product in a call of a diffusers backend, which has heads as the third dimension, and may have a mask (B,
    T)."""
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


SCORES = "get_attention_scores"
"""The method of diffusers' attention modules that returns probabilities."""


def _read_scores(attention: Any, query: Any, key: Any, attention_mask: Any = None) -> Product:
    """The product in a call of an attention module's own method SCORES. Its queries and keys are (B·H, N, D)."""
    return Product(query, key, attention_mask, attention.scale)


class PatchPoint(NamedTuple):
    """An attribute in which callers look up, at each call, what computes attention."""

    owner: Any
    """A module, a class, or an attention module of the network."""
    name: str
    read: ProductReader

    def running(self) -> Any:
        """The attribute's value, without the functions on top whose watch has ended."""
        value = getattr(self.owner, self.name)
        while getattr(getattr(value, "watch", None), "has_ended", False):
            value = value.wrapped
        return value

    def put_watch(self, watch: Watch) -> None:
        """Put a watch around the attribute's value: a function, or a table of functions."""
        value = self.running()
        wrap = _Backends if isinstance(value, Mapping) else _watched
        setattr(self.owner, self.name, wrap(watch, self.read, value))

    def remove_ended(self) -> None:
        """Remove the functions on top whose watch has ended."""
        value = self.running()
        if value is getattr(self.owner, self.name):
            return
        setattr(self.owner, self.name, value)
        if self.name == SCORES and value == getattr(type(self.owner), SCORES).__get__(self.owner):
            delattr(self.owner, SCORES)  # the method is the class's own again


def patch_points(attention: Any = None) -> list[PatchPoint]:
    """PyTorch's function, the table of diffusers' dispatcher, xformers' function if a script imported it, and an
    attention module's own method SCORES."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    points = [
        PatchPoint(torch.nn.functional, "scaled_dot_product_attention", _read_torch),
        PatchPoint(Registry, "_backends", _read_dispatched),
    ]
    if "xformers.ops" in sys.modules:
        points.append(PatchPoint(sys.modules["xformers.ops"], "memory_efficient_attention", _read_xformers))
    if hasattr(attention, SCORES):
        points.append(PatchPoint(attention, SCORES, partial(_read_scores, attention)))
    return points


def unpatch(points: Sequence[PatchPoint]) -> None:
    """Remove the functions of ended watches that are on top."""
    with _lock:
        for point in points:
            point.remove_ended()


def _watched(watch: Watch, read: ProductReader, wrapped: Any) -> Any:
    """A function that reports the product in its arguments and calls `wrapped`. If `wrapped` is PyTorch's own function,
    the layer's log-sum-exps are reported, too, where they can be had (own_sums.py)."""

    def attend(*args: Any, **kwargs: Any) -> Any:
        if not watch.is_here:
            return wrapped(*args, **kwargs)
        found = attend_with_sums(*args, **kwargs) if wrapped is TORCHS else None
        if found is None:
            watch.report(read, *args, **kwargs)
            return wrapped(*args, **kwargs)
        result, sums = found
        watch.report(lambda *given, **more: read(*given, **more)._replace(sums=sums), *args, **kwargs)
        return result

    attend.watch, attend.wrapped = watch, wrapped  # type: ignore[attr-defined]  # a function may have attributes
    return attend


class _Backends(dict[Any, Any]):
    """diffusers' table of backends, watched."""

    def __init__(self, watch: Watch, read: ProductReader, wrapped: Mapping[Any, Any]) -> None:
        super().__init__({name: partial(_dispatch, watch, read, backend) for name, backend in wrapped.items()})
        self.watch, self.wrapped = watch, wrapped


def _dispatch(watch: Watch, read: ProductReader, backend: Any, *args: Any, **kwargs: Any) -> Any:
    """Call one of diffusers' backends. Most of them call PyTorch's function, which reports the product; the other
    backends' products are reported here."""
    if not watch.is_here:
        return backend(*args, **kwargs)
    if kwargs.get("_parallel_config") is not None:  # refused: each GPU has some of the rows
        watch.report(read, *args, **kwargs)
    before = watch.count
    found = backend(*args, **kwargs)
    if watch.count == before:
        watch.report(read, *args, **kwargs)
    return found


_lock = threading.Lock()


class Watch:
    """Watches one call of one layer. on_product: called with a reader and the arguments of each product."""

    def __init__(self, attention: Any, on_product: Callable[..., None]) -> None:
        self.count = 0
        """The number of products until now."""
        self.has_ended = False
        self._on_product, self._thread = on_product, threading.get_ident()
        self._points = patch_points(attention)
        with _lock:
            for point in self._points:
                point.put_watch(self)

    @property
    def is_here(self) -> bool:
        """Whether the layer runs, in this thread."""
        return not self.has_ended and self._thread == threading.get_ident()

    def report(self, read: ProductReader, *args: Any, **kwargs: Any) -> None:
        """Count a product, and pass it on. args, kwargs: the arguments of the function that computes it."""
        self.count += 1
        self._on_product(read, *args, **kwargs)

    def end(self) -> None:
        """Report nothing more, and remove the functions that are on top."""
        self.has_ended = True
        unpatch(self._points)
