"""What a listener hears of a pipeline: its calls, what it encodes, and what it does to a picture that was drawn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from types import MethodType
from typing import Any

from .encodings import ENCODE
from .listener import Listener
from .what_size import PLACING


@contextmanager
def heard(pipe: Any, listener: Listener) -> Iterator[None]:
    """Inside the `with` block, the listener hears of what a pipeline does, or a network alone."""
    processor = getattr(pipe, "image_processor", None)
    encode = next((name for name in ENCODE if hasattr(pipe, name)), None)
    with ExitStack() as stack:
        if encode is not None:
            stack.enter_context(wrap_method(pipe, encode, listener.note_encoding))
        for name in PLACING:
            if hasattr(processor, name):
                stack.enter_context(wrap_method(processor, name, partial(listener.note_placing, name)))
        if listener.block.pipe is not None:
            stack.enter_context(wrap_call(pipe, listener))
        yield


@contextmanager
def wrap_call(pipe: Any, listener: Listener) -> Iterator[None]:
    """Inside the `with` block, the listener draws in place of the pipeline's call: the pipeline has a class of the same
    name, derived from its own, because Python looks for `__call__` in the class."""
    kind = type(pipe)
    signature = inspect.signature(kind.__call__)

    @wraps(kind.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not pipe:  # a copy that was made inside of the block
            return kind.__call__(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        return listener.draw(bound.arguments, partial(kind.__call__, self, *args, **kwargs))

    pipe.__class__ = type(kind.__name__, (kind,), {"__call__": call, "__module__": kind.__module__})
    try:
        yield
    finally:
        pipe.__class__ = kind


@contextmanager
def wrap_method(owner: Any, name: str, note: Callable[[Mapping[str, Any], Any], None]) -> Iterator[None]:
    """Inside the `with` block, call `note` after each call of an object's method, with the call's arguments by name and
    its result.
    """
    before, method = vars(owner).get(name), getattr(owner, name)
    signature = inspect.signature(method)

    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not owner:  # a copy that was made inside of the block
            return (before or getattr(type(self), name).__get__(self))(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        # The method may change a list of prompts (Z-Image writes its template into it).
        copies = {name: list(value) if isinstance(value, list) else value for name, value in bound.arguments.items()}
        output = method(*args, **kwargs)
        note(copies, output)
        return output

    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    call.__signature__ = signature.replace(parameters=[itself, *signature.parameters.values()])  # type: ignore[attr-defined]
    vars(owner)[name] = MethodType(call, owner)  # of a deep copy: the copy's
    try:
        yield
    finally:
        if before is None:
            vars(owner).pop(name, None)
        else:
            vars(owner)[name] = before
