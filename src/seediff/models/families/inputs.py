"""What pipelines and networks are given: the request to draw, and the inputs of a network call. `hear_calls` and `wrap`
hear such calls from outside; `wrap` may also answer in their place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial, wraps
from inspect import signature
from typing import TYPE_CHECKING, Any

from ...errors import UserError

if TYPE_CHECKING:
    from torch import Generator

NetworkInputs = Mapping[str, Any]
"""The inputs of one network call: name → value."""
LATENTS_INPUTS = ("sample", "hidden_states", "x")
"""Networks' names for the input with the latents."""
PLAIN_ARGUMENTS = {
    "num_images_per_prompt": 1,
    "do_classifier_free_guidance": False,
    "clean_caption": False,
    "use_resolution_binning": False,
}
"""Argument → value, for pipelines and their `encode_prompt`, as far as they have the argument. With these values a
pipeline draws one picture of the requested size, from the unchanged prompt."""


def class_names(thing: Any) -> list[str]:
    """The names of a thing's class and of all classes that it inherits from, its own first."""
    return [kind.__name__ for kind in type(thing).__mro__]


@dataclass(frozen=True)
class DrawRequest:
    """What a pipeline is asked to draw: one image for each prompt, `height` × `width` pixels."""

    prompts: Sequence[str]
    negative_prompt: str
    height: int
    width: int
    steps: int
    guidance_scale: float
    generators: Sequence[Generator]


def plain_arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """The entries of PLAIN_ARGUMENTS that a pipeline's function takes."""
    taken = signature(function).parameters
    return {name: value for name, value in PLAIN_ARGUMENTS.items() if name in taken}


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
_wrapped: dict[tuple[type, str], tuple[Any, list[tuple[int, Around]]]] = {}
"""(class, name of its method) → the class's own method, None if it is inherited; and for each object that is wrapped
now, its `id` and what is called. The class has one wrapper for all of them, from the first to the last."""
_lock = threading.Lock()


@contextmanager
def wrap(owner: Any, name: str, around: Around) -> Iterator[None]:
    """Inside the `with` block, Python calls `around` in place of a method, of this one object of its class. Blocks for
    several objects may overlap, also in several threads. (With a class of its own, the object could not be pickled in
    the block, and copies would keep that class.)"""
    kind = type(owner)
    entry = id(owner), around
    with _lock:
        if (kind, name) not in _wrapped:
            _wrapped[kind, name] = vars(kind).get(name), []
            setattr(kind, name, _wrapper(getattr(kind, name), _wrapped[kind, name][1]))
        own, entries = _wrapped[kind, name]
        entries.append(entry)
    try:
        yield
    finally:
        with _lock:
            entries.remove(entry)
            if not entries:
                del _wrapped[kind, name]
                if own is None:
                    delattr(kind, name)
                else:
                    setattr(kind, name, own)


def _wrapper(method: Any, entries: Sequence[tuple[int, Around]]) -> Any:
    """What a class has in place of a method while objects are wrapped. entries: as in `_wrapped`."""
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


def latents_of(inputs: NetworkInputs) -> Any:
    """The latents among the inputs of a network call."""
    for name in LATENTS_INPUTS:
        if name in inputs:
            return inputs[name]
    raise UserError("the network", f"was given no latents, but {', '.join(inputs)}")
