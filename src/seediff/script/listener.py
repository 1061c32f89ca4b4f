"""`Listener`: is called where a captured pipeline draws or its network runs, and begins and ends runs.

pipe(…) ─▶ Listener.draw ─▶ the pipeline's own call, in which
               encode_prompt(…) ─▶ Listener.encode ─▶ Encodings.note                (encodings.py)
               network(…) ─▶ Listener.before_network ─▶ RunRecorder.record          (run_recorder.py)
               image_processor.apply_overlay(…) ─▶ Listener.place ─▶ Placing.note   (placement.py)
           Listener._end ─▶ RunRecorder.close ─▶ Run                                (run.py)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

from ..errors import UserError
from .placement import PLACING
from .run import Run
from .run_recorder import THE_WAY, Block, RunRecorder

Around = Callable[[Mapping[str, Any], Callable[[], Any]], Any]
"""A function that is called in place of a method, and returns what the method's caller gets. Its parameters: the call's
arguments, by name; and a function that calls the method itself with them."""


class Listener:
    """Follows a pipeline and its network inside of the `with` block. arguments, call: the parameters of an `Around`."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.run: RunRecorder | None = None
        """The run in progress."""
        self.passed_over = False
        """Whether the network ran outside of the pipeline's calls: another pipeline drew with it."""
        self._encoded_outside = False
        """Whether the pipeline has encoded a text since its last call: a loop of the script's own is about to draw."""

    def methods(self, pipe: Any) -> list[tuple[Any, str, Around]]:
        """(owner, name, around) of each method that is called through `draw`, `encode` or `place`. pipe: the pipeline,
        or a network alone, which has no such method."""
        processor = getattr(pipe, "image_processor", None)
        found: list[tuple[Any, str, Around]] = [
            (processor, name, partial(self.place, name)) for name in PLACING if hasattr(processor, name)
        ]
        if hasattr(pipe, "encode_prompt"):
            found.append((pipe, "encode_prompt", self.encode))
        if self.block.pipe is not None:
            found.append((pipe, "__call__", self.draw))
        return found

    def draw(self, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let the pipeline draw, and return its result. A call that ends with an error leaves no `Run`."""
        if self.run is not None:
            self.run.check_thread()
            if self.run.prompt.steps:
                raise UserError("the captured pipeline was called before its last call ended; draw one at a time")
        self.run = RunRecorder(self.block, arguments)
        self._encoded_outside = False
        try:
            is_given = self.block.named.states is not None or arguments.get("prompt_embeds") is not None
            if not is_given and not hasattr(self.block.pipe, "encode_prompt"):
                self.run.encodings.encode_own()
            self.run.encode_negative()
            output = call()
        except BaseException:
            self.run = None
            self.block.restart()
            raise
        self._end(output)
        return output

    def encode(self, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let the pipeline encode texts with its `encode_prompt`, and return its result."""
        output, run = call(), self.run
        if run is None or not run.is_here:
            self._encoded_outside = True
        elif not run.prompt.steps:  # a text that a callback encodes is not the prompt
            with run.keeping_errors():
                run.encodings.note(arguments, output)
        return output

    def place(self, name: str, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let an image processor paste or resize the drawn picture with its method `name`, a name in PLACING, and
        return its result."""
        output = call()
        if self.run is not None:
            with self.run.keeping_errors():
                self.run.placing.note(name, arguments)
        return output

    def before_network(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Begin to record a call of the network, which runs next, if the call belongs to a run. Raises UserError for a
        loop of the script's own around a captured pipeline."""
        if self.run is not None:
            self.run.check_thread()
        for recorder in self.block.recorders.values():
            recorder.end_call()  # unless the call turns out to have its text
        if self.run is None and self.block.pipe is not None:
            if self._encoded_outside:
                raise UserError("the network ran outside of the captured pipeline's calls", fix=THE_WAY)
            self.passed_over = True  # another pipeline with the same network
            return
        self.run = self.run or RunRecorder(self.block, {})
        if self.run.prompt.recorder.error is None:
            with self.run.keeping_errors():
                self.run.record(network, args, kwargs)

    def _end(self, output: Any = None) -> None:
        """End the run in progress, if there is one."""
        run, self.run = self.run, None
        if run is not None:
            drawn = run.close(output)
            self.block.restart()
            if drawn is not None:
                self.block.runs.append(drawn)

    @property
    def finished(self) -> list[Run]:
        """The runs that have ended. A network alone has one run, which ends where its results are requested."""
        if self.block.pipe is None:
            self._end()
        return self.block.runs


@contextmanager
def wrap(owner: Any, name: str, around: Around) -> Iterator[None]:
    """Inside the `with` block, Python calls `around` in place of an object's method.

    Until then, the object has a class of the same name, derived from its own, because Python searches for `__call__` in
    the class.
    """
    kind, of_object = type(owner), vars(owner).pop(name, None)
    method = of_object or getattr(owner, name)
    signature = inspect.signature(method)

    @wraps(getattr(kind, name, method))
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not owner:  # a copy that was made inside of the block
            return (of_object or getattr(kind, name).__get__(self))(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        # The method may change a list of prompts (Z-Image writes its template into it).
        copies = {each: list(value) if isinstance(value, list) else value for each, value in bound.arguments.items()}
        return around(copies, partial(method, *args, **kwargs))

    owner.__class__ = type(kind.__name__, (kind,), {name: call, "__module__": kind.__module__})
    try:
        yield
    finally:
        owner.__class__ = kind
        if of_object is not None:
            vars(owner)[name] = of_object
