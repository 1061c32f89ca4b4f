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
from collections.abc import Callable, Iterator, Mapping, Sequence
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
"""Makes a product of the arguments of a function that computes attention."""


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
    """An attribute of a module or a class in which callers look up, at each call, what computes attention."""

    owner: Any
    name: str
    wrap: Callable[[Watch, Any], Any]
    """(watch, the attribute's value) → the value that takes its place."""


def patch_points() -> list[PatchPoint]:
    """PyTorch's function, the table of diffusers' dispatcher, and xformers' function if a script imported it."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    points = [
        PatchPoint(torch.nn.functional, "scaled_dot_product_attention", partial(_watched, _read_torch)),
        PatchPoint(Registry, "_backends", _Backends),
    ]
    if "xformers.ops" in sys.modules:
        xformers = sys.modules["xformers.ops"]
        points.append(PatchPoint(xformers, "memory_efficient_attention", partial(_watched, _read_xformers)))
    return points


def _watched(read: ProductReader, watch: Watch, wrapped: Any) -> Any:
    """A function that reports its products and calls `wrapped`. PyTorch's own function also returns the sums, if it
    can."""

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


class _Backends(Mapping[Any, Any]):
    """diffusers' table of backends, watched. Most backends call PyTorch's function, which reports the product; the
    table reports the other backends' products."""

    def __init__(self, watch: Watch, wrapped: Mapping[Any, Any]) -> None:
        self.watch, self.wrapped = watch, wrapped

    def __getitem__(self, name: Any) -> Any:
        return partial(self.attend, self.wrapped[name])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.wrapped)

    def __len__(self) -> int:
        return len(self.wrapped)

    def attend(self, backend: Any, *args: Any, **kwargs: Any) -> Any:
        watch = self.watch
        if not watch.is_here:
            return backend(*args, **kwargs)
        if kwargs.get("_parallel_config") is not None:  # each GPU has some of the rows
            watch.report(_read_dispatched, *args, **kwargs)
        before = watch.count
        found = backend(*args, **kwargs)
        if watch.count == before:
            watch.report(_read_dispatched, *args, **kwargs)
        return found


_lock = threading.Lock()


class Watch:
    """Watches one call of one layer. on_product: called with a reader and the arguments of each product."""

    def __init__(self, attention: Any, on_product: Callable[..., None]) -> None:
        self.count = 0
        """The number of products until now."""
        self.has_ended = False
        self._on_product, self._points, self._thread = on_product, patch_points(), threading.get_ident()
        with _lock:
            for owner, name, wrap in self._points:
                setattr(owner, name, wrap(self, _without_ended(getattr(owner, name))))
        self._attention = None
        if hasattr(attention, SCORES):  # a method, which no other layer looks up
            self._attention = attention
            wrapped = _without_ended(getattr(attention, SCORES))
            vars(attention)[SCORES] = _watched(partial(_read_scores, attention), self, wrapped)

    @property
    def is_here(self) -> bool:
        """Whether the layer runs, in this thread."""
        return not self.has_ended and self._thread == threading.get_ident()

    def report(self, read: ProductReader, *args: Any, **kwargs: Any) -> None:
        self.count += 1
        self._on_product(read, *args, **kwargs)

    def end(self) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        unpatch(self._points)
        attention = self._attention
        if attention is None:
            return
        wrapped = _without_ended(getattr(attention, SCORES))
        vars(attention)[SCORES] = wrapped
        if wrapped == getattr(type(attention), SCORES).__get__(attention):  # the class's own
            del vars(attention)[SCORES]


def unpatch(points: Sequence[PatchPoint]) -> None:
    """Remove the functions of ended watches that are on top."""
    with _lock:
        for owner, name, _ in points:
            top = getattr(owner, name)
            below = _without_ended(top)
            if below is not top:
                setattr(owner, name, below)


def _without_ended(function: Any) -> Any:
    """What computes attention, without the functions on top of it whose watch has ended."""
    while getattr(getattr(function, "watch", None), "has_ended", False):
        function = function.wrapped
    return function
