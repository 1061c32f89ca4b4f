"""Finds what torch compiled of a network, and lets it run without compilation.

Compiled code calls no hook that was added later. So capture works inside of it (inside_compiled.py), or the network
runs without compilation.
"""

from __future__ import annotations

import inspect
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

import torch

from ..errors import Notice


class Part(NamedTuple):
    """What torch compiled of a network, with everything inside of it."""

    owner: Any
    """A module, or the wrapper that `torch.compile(module)` returned."""
    name: str
    """The owner's attribute that runs compiled code."""

    def modules(self) -> list[Any]:
        """The modules whose hooks and `forward` are inside of compiled code."""
        own = self.owner if self.name == "forward" else None
        return [module for module in self.owner.modules() if module is not own]


def compiled_parts(network: Any) -> list[Part]:
    """What torch compiled: a network, parts of it, or the `forward` of either; of parts inside of others, the outer."""
    parts, inside = list[Part](), set[Any]()
    for module in network.modules():
        if module in inside:
            continue
        part = None
        if hasattr(module, "_orig_mod") or hasattr(module.forward, "_torchdynamo_orig_callable"):
            part = Part(module, "forward")
        elif getattr(module, "_compiled_call_impl", None) is not None:
            part = Part(module, "_compiled_call_impl")
        if part is not None:
            parts.append(part)
            inside.update(module.modules())
    return parts


def is_called_compiled() -> bool:
    """Whether a function that torch compiled calls the caller."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "torch._dynamo.eval_frame":
            return True
        frame = frame.f_back
    return False


class Shared:
    """A context manager of the whole process that several threads may enter at once: the first enters it, and the last
    leaves it."""

    def __init__(self, enter: Callable[[], AbstractContextManager[Any]]) -> None:
        self._enter, self._inside = enter, 0
        self._stack, self._lock = ExitStack(), threading.Lock()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._stack.enter_context(self._enter())
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._stack.close()


force_eager = Shared(lambda: torch.compiler.set_stance("force_eager"))
"""Inside the block, all that torch compiled runs as it is. torch knows one stance for all threads."""


def tell_compiled(why: str = "") -> None:
    """Say that what torch compiled runs as it is. why: the reason, in parentheses; "": none is told."""
    text = f"the network runs without compilation while it is captured{why}: pictures may differ in their last bits"
    warnings.warn(Notice(text), stacklevel=2)
