"""`Listener`: is called by the captured pipeline and its network. It begins a run, passes on what happens in it, and
ends it. In one call of the pipeline, from top to bottom:

    the pipeline                   the listener      what it calls (run_recorder.py)
    pipe(…) begins                 draw              RunRecorder
      encode_prompt(…) returns     encode            RunRecorder.note
      network(…) begins            before_network    RunRecorder.record
        its layers compute                           AttentionRecorder (attention/recorder.py)
    pipe(…) returns                draw              RunRecorder.finish, which makes a `Run`
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from ..attention.networks import without_compilation
from ..models.families.inputs import NetworkInputs
from .run_recorder import Block, RunRecorder

Around = Callable[[Mapping[str, Any], Callable[[], Any]], Any]
"""A function that Python calls in place of a method. Its parameters: the call's arguments, by name, and a function
without parameters that runs the method itself. It returns what the method's caller gets."""


@dataclass
class Listener:
    """Follows a pipeline and its network inside of the `with` block. In its methods, `arguments` and `call` are the
    parameters of an `Around`."""

    block: Block
    run: RunRecorder | None = None
    """The run in progress; None between runs."""

    def draw(self, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let the pipeline draw, and return its result. A call that ends with an error leaves no `Run`."""
        self.run = RunRecorder(self.block, arguments)
        try:
            with without_compilation():
                output = call()
            self.end_run(output)
        finally:
            self.run = None
            self.block.recorder.restart()
        return output

    def encode(self, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let the pipeline encode texts with its `encode_prompt`, and return its result."""
        output = call()
        if self.run is not None:
            with self.run.raise_or_warn():
                self.run.note(arguments, output)
        return output

    def before_network(self, network: Any, inputs: NetworkInputs) -> None:
        """Begin to record the network call that runs next, if it belongs to a run. inputs: the call's."""
        self.block.recorder.end_call()  # record nothing, unless the call turns out to have the prompt
        if self.run is not None and self.block.recorder.error is None:
            with self.run.raise_or_warn():
                self.run.record(network, inputs)

    def end_run(self, output: Any = None) -> None:
        """Keep what the run in progress drew. output: what the pipeline returned; None for a network alone."""
        drawn = self.run and self.run.finish(output)
        if drawn is not None:
            self.block.runs.append(drawn)


@contextmanager
def wrap(owner: Any, name: str, around: Around) -> Iterator[None]:
    """Inside the `with` block, Python calls `around` in place of a method, of this one object of its class."""
    kind = type(owner)
    method, is_own = getattr(kind, name), name in vars(kind)
    signature = inspect.signature(method)
    further = next((one.name for one in signature.parameters.values() if one.kind is one.VAR_KEYWORD), "")

    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not owner:
            return method(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        named = {**bound.arguments, **bound.arguments.get(further, {})}
        # The method may change a list of prompts (Z-Image writes its template into it).
        given = {each: list(value) if isinstance(value, list) else value for each, value in named.items()}
        return around(given, partial(method, self, *args, **kwargs))

    setattr(kind, name, call)
    try:
        yield
    finally:
        if is_own:
            setattr(kind, name, method)
        else:
            delattr(kind, name)
