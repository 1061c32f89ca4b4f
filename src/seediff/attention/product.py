"""Sees the products of attention while a layer runs: the very queries, keys and mask that its output is computed of.

    watch = Watch(attention, see, places())   # when the layer begins
    watch.end()                               # when it ends, also with an error

A `Watch` puts a function of its own around whatever computes attention at that moment, which is called with its
arguments untouched: the output stays the same to the bit, and functions that others put there, before or after, keep
working. It looks only in its own thread and until its layer ends. What has ended lets everything through, and is taken
away as soon as it is on top.

Shape letters: B images, H heads, N queries, T keys, D channels per head.
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
    """One product of attention. query: (B, H, N, D). key: (B, H, T, D), or with fewer heads, which several heads of the
    queries share. mask: to be broadcast to (B, H, N, T): bool, False where a column is hidden, or numbers that are
    added to the scores; None: no mask. A product without a dimension for the heads (B·H, N, D) may be a piece of one.
    sums: (B, H, N) log-sum-exps of the scores, if attention has computed them.
    """

    query: torch.Tensor
    key: torch.Tensor
    mask: torch.Tensor | None
    scale: float
    sums: torch.Tensor | None = None


Read = Callable[..., Product]
"""The arguments of a function that computes attention → the product."""


def _read_torch(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, **_more: Any,
) -> Product:  # fmt: skip
    """`torch.nn.functional.scaled_dot_product_attention`."""
    if is_causal:
        attn_mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    elif attn_mask is not None and not isinstance(attn_mask, torch.Tensor):
        problem = f"attention with a {type(attn_mask).__name__} cannot be captured"
        raise UserError("attention", problem, "call set_attention_backend('native') first")
    return Product(query, key, attn_mask, query.shape[-1] ** -0.5 if scale is None else scale)


def _read_dispatched(
    query: Any, key: Any, value: Any, attn_mask: Any = None, _parallel_config: Any = None, **more: Any
) -> Product:
    """A backend of diffusers, with heads as the third dimension, and masks that may be (B, T)."""
    if _parallel_config is not None:
        raise UserError("attention", "is divided over several GPUs (context parallel)", "draw without it")
    if isinstance(attn_mask, torch.Tensor) and attn_mask.shape == (query.shape[0], key.shape[1]):
        attn_mask = attn_mask[:, None, None]
    return _read_torch(query.transpose(1, 2), key.transpose(1, 2), value, attn_mask, **more)


def _read_xformers(
    query: Any, key: Any, value: Any, attn_bias: Any = None, p: float = 0.0, scale: float | None = None, **_more: Any
) -> Product:
    """`xformers.ops.memory_efficient_attention`: (B·H, N, D), or with heads as the third dimension."""
    if query.ndim == 4:
        query, key = query.transpose(1, 2), key.transpose(1, 2)
    return _read_torch(query, key, value, attn_bias, scale=scale)


SCORES = "get_attention_scores"


def _read_scores(attention: Any, query: Any, key: Any, attention_mask: Any = None) -> Product:
    """The method SCORES of an attention module of diffusers, (B·H, N, D)."""
    return Product(query, key, attention_mask, attention.scale)


class Place(NamedTuple):
    """Where something that computes attention is looked up at each call: an attribute of a module or a class. wrap:
    (watch, what is there) → what is put there instead."""

    owner: Any
    name: str
    wrap: Callable[[Watch, Any], Any]


def places() -> list[Place]:
    """Those of PyTorch, of diffusers' dispatcher, and of xformers if it is in use."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    found = [
        Place(torch.nn.functional, "scaled_dot_product_attention", partial(_looking, _read_torch)),
        Place(Registry, "_backends", _Backends),
    ]
    if "xformers.ops" in sys.modules:
        xformers = sys.modules["xformers.ops"]
        found.append(Place(xformers, "memory_efficient_attention", partial(_looking, _read_xformers)))
    return found


def _looking(read: Read, watch: Watch, under: Any) -> Any:
    """A function around `under`, whose sums are taken, too, if it is PyTorch's own and can return them."""

    def attend(*args: Any, **kwargs: Any) -> Any:
        if not watch.is_here:
            return under(*args, **kwargs)
        found = attend_with_sums(*args, **kwargs) if under is TORCHS else None
        if found is None:
            watch.look(read, *args, **kwargs)
            return under(*args, **kwargs)
        result, sums = found
        watch.look(lambda *given, **more: read(*given, **more)._replace(sums=sums), *args, **kwargs)
        return result

    attend.watch, attend.under = watch, under  # type: ignore[attr-defined]  # a function may have attributes
    return attend


class _Backends(Mapping[Any, Any]):
    """diffusers' table of backends, each of which is looked at where nothing inside of it was: most call PyTorch's
    function."""

    def __init__(self, watch: Watch, under: Mapping[Any, Any]) -> None:
        self.watch, self.under = watch, under

    def __getitem__(self, name: Any) -> Any:
        return partial(self.attend, self.under[name])

    def __iter__(self) -> Iterator[Any]:
        return iter(self.under)

    def __len__(self) -> int:
        return len(self.under)

    def attend(self, backend: Any, *args: Any, **kwargs: Any) -> Any:
        watch = self.watch
        if not watch.is_here:
            return backend(*args, **kwargs)
        if kwargs.get("_parallel_config") is not None:  # each GPU has some of the rows
            watch.look(_read_dispatched, *args, **kwargs)
        before = watch.count
        found = backend(*args, **kwargs)
        if watch.count == before:
            watch.look(_read_dispatched, *args, **kwargs)
        return found


_lock = threading.Lock()


class Watch:
    """One call of one layer. see: is called with a reader and the arguments of each product. count: how many there
    were."""

    def __init__(self, attention: Any, see: Callable[..., None], where: Sequence[Place]) -> None:
        self.count, self.has_ended = 0, False
        self._see, self._where, self._thread = see, where, threading.get_ident()
        with _lock:
            for owner, name, wrap in where:
                setattr(owner, name, wrap(self, _alive(getattr(owner, name))))
        self._attention = attention if hasattr(attention, SCORES) else None
        if self._attention is not None:  # a method, which no other layer looks up
            below = _alive(getattr(attention, SCORES))
            vars(attention)[SCORES] = _looking(partial(_read_scores, attention), self, below)

    @property
    def is_here(self) -> bool:
        """Whether the layer runs, in this thread."""
        return not self.has_ended and self._thread == threading.get_ident()

    def look(self, read: Read, *args: Any, **kwargs: Any) -> None:
        self.count += 1
        self._see(read, *args, **kwargs)

    def end(self) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        take_away(self._where)
        attention = self._attention
        if attention is None:
            return
        alive = _alive(getattr(attention, SCORES))
        vars(attention)[SCORES] = alive
        if alive == getattr(type(attention), SCORES).__get__(attention):  # the class's own
            del vars(attention)[SCORES]


def take_away(where: Sequence[Place]) -> None:
    """Take away what has ended and is on top."""
    with _lock:
        for owner, name, _ in where:
            top = getattr(owner, name)
            alive = _alive(top)
            if alive is not top:
                setattr(owner, name, alive)


def _alive(top: Any) -> Any:
    """What stands in a place below all watches that have ended and are on top."""
    while getattr(getattr(top, "watch", None), "has_ended", False):
        top = top.under
    return top
