"""Sees the products of attention while a layer runs: the very queries, keys and mask that make its output.

PyTorch's function `scaled_dot_product_attention` ends in an operator. While a layer is watched, PyTorch calls `_attend`
before this operator, in the layer's thread only. It reports the product, and passes the call on untouched. So the
output stays the same to the bit, and nothing is put in the place of anything:

    F.scaled_dot_product_attention ─▶ the operator:  _attend ─▶ PyTorch's own
                                                        └▶ LayerRecorder.record

This is the one place where attention is seen. A layer that computes it in another way has no product, and is refused.

Shape letters: B members of attention's batch (calls.py), H heads, N queries, T keys, D channels per head.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch

from ..errors import UserError


class Product(NamedTuple):
    """One product of attention."""

    query: torch.Tensor
    """(B, H, N, D)"""
    key: torch.Tensor
    """(B, H, T, D), or with fewer heads, each of which several heads of the queries share."""
    mask: torch.Tensor | None
    """Is broadcast to (B, H, N, T): bool, False where a column is hidden, or numbers that are added to the scores.
    None: nothing is hidden."""
    scale: float
    """The factor of the scores."""


def product_of(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None, **_more: Any,
) -> Product:  # fmt: skip
    """The product in a call of `torch.nn.functional.scaled_dot_product_attention`, from the call's arguments."""
    if is_causal:
        raise UserError("attention", "with a causal mask cannot be captured")
    return Product(query, key, attn_mask, query.shape[-1] ** -0.5 if scale is None else scale)


OPERATOR: Any = torch.ops.aten.scaled_dot_product_attention.default
KEY_NAME = "TESTING_ONLY_GenericMode"
"""A dispatch key that no tensor has, and no code of PyTorch's uses. A thread in which it is on calls, before each
operator, what is registered for the key: `_attend` for OPERATOR, nothing for all others."""
_every, _of_torch = (torch.library.Library(space, "IMPL") for space in ("_", "aten"))
try:  # torch has it from 2.6 to 2.13 at least
    KEY = torch._C._dispatch_key_parse(KEY_NAME)
    AFTER = torch._C._dispatch_keyset_full_after(KEY)
    _every.fallback(torch.library.fallthrough_kernel, KEY_NAME)
except (AttributeError, RuntimeError) as error:
    problem = f"has no dispatch key {KEY_NAME}, by which attention is captured"
    raise UserError(f"torch {torch.__version__}", problem, "use another version from 2.6 on") from error

Report = Callable[[Callable[[], Product]], None]
"""Called with a function that returns the product."""


class _Here(threading.local):
    report: Report | None = None
    """What hears of the products of the layer that runs in this thread."""


_here = _Here()
_passing: set[str] = set()
"""The names of PyTorch's higher-order operators that run as if KEY were off."""


def watch(report: Report | None) -> None:
    """Report the products that this thread computes from now on. None: report nothing more."""
    operators = torch._ops._higher_order_ops  # in Python, such as flex_attention: the fallback is not theirs
    for name in operators.keys() - _passing:  # more come with modules that are imported later
        operators[name].fallthrough(KEY)
        _passing.add(name)
    _here.report = report
    torch._C._dispatch_tls_set_dispatch_key_included(KEY, report is not None)


def _attend(keys: Any, *args: Any, **kwargs: Any) -> Any:
    """Report the product in a call of OPERATOR, and compute it. keys: the call's dispatch keys."""
    report = _here.report
    _here.report = None  # what is computed meanwhile is no product of the layer
    try:
        if report is not None:
            report(partial(product_of, *args, **kwargs))
        return OPERATOR.redispatch(keys & AFTER, *args, **kwargs)
    finally:
        _here.report = report


_of_torch.impl("scaled_dot_product_attention", _attend, KEY_NAME, with_keyset=True)
