"""Hears calls from outside: `hear_calls` those of a network, `intercept` those of a method, which it may answer itself.
Both end with their `with` block, and leave no trace in copies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial, wraps
from inspect import signature
from typing import Any

NetworkInputs = Mapping[str, Any]
"""The inputs of one network call: name → value."""


class Hook(partial[Any]):
    """A hook of a module. In a copy of the module, pickled or not, it does nothing."""

    def __reduce__(self) -> Any:
        return Hook, (_do_nothing,)


def _do_nothing(*_: Any) -> None: ...


@contextmanager
def hear_calls(network: Any, hear: Callable[[Any, NetworkInputs], None], *, first: bool = False) -> Iterator[None]:
    """Inside the `with` block, call `hear(network, inputs)` before each call of the network. inputs: those of the call.
    first: whether `hear` comes before all hooks of the network; otherwise behind them. Copies of the network are not
    heard."""

    def before(module: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if module is network:
            hear(network, named_inputs(network, args, kwargs))

    handle = network.register_forward_pre_hook(Hook(before), with_kwargs=True, prepend=first)
    try:
        yield
    finally:
        handle.remove()


def named_inputs(network: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> NetworkInputs:
    """Name → value, for all inputs of a network call. args, kwargs: the arguments of the call."""
    return {**dict(zip(_parameters(type(network)), args, strict=False)), **kwargs}


@lru_cache(maxsize=8)
def _parameters(network: type) -> list[str]:
    """The names of the inputs of a network class, in order."""
    inputs = signature(network.forward).parameters.values()
    return [each.name for each in inputs if each.kind is each.POSITIONAL_OR_KEYWORD][1:]


Around = Callable[[Mapping[str, Any], Callable[[], Any]], Any]
"""A function that Python calls in place of a method. Its parameters: the call's arguments, by name, and a function
without parameters that runs the method itself. It returns what the method's caller gets."""
_intercepted: dict[tuple[type, str], tuple[Any, list[tuple[int, Around]]]] = {}
"""(class, name of its method) → the class's own method, None if it is inherited; and for each intercepted object, its
`id` and what is called. The class has one wrapper for all of them, from the first to the last."""
_lock = threading.Lock()


@contextmanager
def intercept(owner: Any, name: str, around: Around) -> Iterator[None]:
    """Inside the `with` block, Python calls `around` in place of a method, of this one object of its class. Blocks for
    several objects may overlap, also in several threads. (With a class of its own, the object could not be pickled in
    the block, and copies would keep that class.)"""
    cls = type(owner)
    entry = id(owner), around
    with _lock:
        if (cls, name) not in _intercepted:
            _intercepted[cls, name] = vars(cls).get(name), []
            setattr(cls, name, _wrapper(getattr(cls, name), _intercepted[cls, name][1]))
        own_method, entries = _intercepted[cls, name]
        entries.append(entry)
    try:
        yield
    finally:
        with _lock:
            entries.remove(entry)
            if not entries:
                del _intercepted[cls, name]
                if own_method is None:
                    delattr(cls, name)
                else:
                    setattr(cls, name, own_method)


def _wrapper(method: Any, entries: Sequence[tuple[int, Around]]) -> Any:
    """What a class has in place of a method while objects are intercepted. entries: as in `_intercepted`."""
    parameters = signature(method)
    further = next((one.name for one in parameters.parameters.values() if one.kind is one.VAR_KEYWORD), "")

    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        around = next((around for owner, around in entries if owner == id(self)), None)
        if around is None:
            return method(self, *args, **kwargs)
        bound = parameters.bind(self, *args, **kwargs)
        bound.apply_defaults()
        named = {**bound.arguments, **bound.arguments.get(further, {})}
        # The method may change a list of prompts (Z-Image writes its template into it).
        given = {each: list(value) if isinstance(value, list) else value for each, value in named.items()}
        return around(given, partial(method, self, *args, **kwargs))

    return call
