"""`Listener`: is called by the captured pipeline and its network. It begins a run, passes on what happens in it, and
ends it.

In one call of the pipeline, from top to bottom:

    the pipeline                   the listener      what it calls
    pipe(…) begins                 draw              RunRecorder(…).begin    (run_recorder.py)
      processor(…) returns         process           Encodings.note_tokens   (encodings.py)
      encode_prompt(…) returns     encode            Encodings.note
      network(…) begins            before_network    RunRecorder.record      (run_recorder.py)
        its layers compute                           AttentionRecorder       (attention/recorder.py)
      scheduler.step(…) begins     step              RunRecorder.step
      vae.decode(…) returns        edit              Drawn.note              (drawn.py)
      apply_overlay(…) returns     edit              Drawn.note
    pipe(…) returns                _end_run          RunRecorder.finish      (run_recorder.py), which makes a `Run`

`capture` wraps these methods of the pipeline, and puts a hook on its network. The pipeline does not know of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from ..attention.capture import run_last
from ..attention.compiled import compiled_parts, is_called_compiled, tell_compiled
from ..attention.inside_compiled import CompiledNetworks
from ..attention.networks import not_compiled, own_networks
from ..errors import UserError
from .drawn import EDITING
from .run import Run
from .run_recorder import THE_WAY, RunRecorder
from .text_recording import Block

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
    ran_outside: bool = False
    """Whether the network ran outside of the pipeline's calls, because another pipeline drew with it."""
    encoded_outside: bool = False
    """Whether the pipeline encoded a text after its last call. Then a loop of the script's own is about to draw."""
    is_open: bool = True
    """Whether the `with` block still runs."""
    look: tuple[Any, Sequence[Run]] = (None, ())
    """The last look at the run of a network alone that goes on: the run and its number of steps, and what was seen."""

    def methods(self) -> Iterator[tuple[Any, str, Around]]:
        """(owner, name, around) of each method to `wrap`, so that Python calls a method of this class in its place;
        nothing for a network alone."""
        pipe = self.block.pipe
        for part, name in EDITING:
            owner = getattr(pipe, part, None)
            if hasattr(owner, name):
                yield owner, name, partial(self.edit, name)
        scheduler = getattr(pipe, "scheduler", None)
        if hasattr(scheduler, "step"):
            yield scheduler, "step", self.step
        processor = getattr(pipe, "processor", None)
        if self.block.family.reads_shown and callable(processor):
            yield processor, "__call__", self.process
        if hasattr(pipe, "encode_prompt"):
            yield pipe, "encode_prompt", self.encode
        if pipe is not None:
            yield pipe, "__call__", self.draw

    def draw(self, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let the pipeline draw, and return its result. A run begins before it and ends after it. A call that ends with
        an error leaves no `Run`."""
        if self.run is not None:
            self.run.check_thread()
            if self.run.prompt.steps:
                raise UserError("the captured pipeline was called before its last call ended; draw one at a time")
        self.run = RunRecorder(self.block, arguments)
        self.encoded_outside = False
        for network in self.block.networks:
            run_last(network)
        try:
            self.run.begin()
            recorders = [*self.block.recorders.values()]
            own = own_networks(self.block.pipe)
            networks = [one for one in own if not_compiled(one) in self.block.networks]  # others were put there later
            with CompiledNetworks(networks, recorders, self.before_network).run():
                output = call()
        except BaseException:
            self.run = None
            self.block.restart()
            raise
        self._end_run(output)
        return output

    def encode(self, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let the pipeline encode texts with its `encode_prompt`, and return its result."""
        output, run = call(), self.run
        if run is None or not run.is_here:
            self.encoded_outside = True
        elif not run.prompt.steps:  # a text that a callback encodes is not the prompt
            with run.raise_or_warn():
                run.encodings.note(arguments, output)
        return output

    def process(self, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let the processor read texts with pictures in them, and return its result."""
        output = call()
        if self.run is not None and self.run.is_here:
            with self.run.raise_or_warn():
                self.run.encodings.note_tokens(arguments, output)
        return output

    def edit(self, name: str, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let a part of the pipeline draw pictures, or paste or resize them, and return its result. name: the name of
        the part's method, in EDITING."""
        output = call()
        if self.run is not None and self.run.is_here:
            with self.run.raise_or_warn():
                self.run.drawn.note(name, arguments, output)
        return output

    def step(self, arguments: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        """Let the scheduler change the latents, and return its result."""
        if self.run is not None and self.run.is_here:
            with self.run.raise_or_warn():
                self.run.step(arguments.get("sample"))
        return call()

    def before_network(self, network: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Begin to record the network call that runs next, if it belongs to a run. args, kwargs: the call's arguments.
        Raises UserError for a loop of the script's own inside of `with capture(pipe)`."""
        if self.run is not None:
            self.run.check_thread()
        for recorder in self.block.recorders.values():
            recorder.end_call()  # record nothing, unless the call turns out to have the recorder's text
        if self.run is None and self.block.pipe is not None:
            if self.encoded_outside:
                raise UserError("the network ran outside of the captured pipeline's calls", fix=THE_WAY)
            self.ran_outside = True  # another pipeline with the same network
            return
        if self.run is None:
            if compiled_parts(network) or is_called_compiled():
                tell_compiled()
            self.run = RunRecorder(self.block, {})
        if self.run.prompt.recorder.error is None:
            with self.run.raise_or_warn():
                self.run.record(network, args, kwargs)

    def _end_run(self, output: Any = None) -> None:
        """End the run in progress, if any. output: what the pipeline returned; None for a network alone."""
        run, self.run = self.run, None
        if run is not None:
            drawn = run.finish(output)
            self.block.restart()
            if drawn is not None:
                self.block.runs.append(drawn)

    @property
    def finished(self) -> Sequence[Run]:
        """The runs that have ended. A network alone has one run, which ends with the block: inside of it, the run as
        far as it has come."""
        run = self.run
        if self.block.pipe is None and run is not None:
            if self.is_open:
                now = run, run.prompt.steps
                if self.look[0] != now:
                    self.look = now, [*filter(None, [run.until_now().finish(None)])]
                return self.look[1]
            self._end_run()
        return self.block.runs

    def clear(self) -> None:
        """Forget all pictures, and the run of a network alone."""
        if self.block.pipe is None:
            self.run, self.look = None, (None, ())
            self.block.restart()
        self.block.runs.clear()

    def close(self) -> None:
        self.is_open, self.look = False, (None, ())


@contextmanager
def wrap(owner: Any, name: str, around: Around) -> Iterator[None]:
    """Inside the `with` block, Python calls `around` in place of an object's method.

    owner: the object. name: the method's name. Python searches for `__call__` in the class, not in the object.
    Therefore, inside the block, the object belongs to a class derived from its own.
    """
    kind = type(owner)
    # Somebody may have set the method on the object itself, where it would hide the class's. It is put back at the end.
    of_object = vars(owner).pop(name, None)
    method = of_object or getattr(owner, name)
    signature = inspect.signature(method)
    further = next((one.name for one in signature.parameters.values() if one.kind is one.VAR_KEYWORD), "")

    @wraps(getattr(kind, name, method))
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is not owner:  # a copy that was made inside of the block: call its own method
            return (of_object or getattr(kind, name).__get__(self))(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        # The method may change a list of prompts (Z-Image writes its template into it).
        given = {**bound.arguments, **bound.arguments.get(further, {})}  # modular pipelines take all by name
        copies = {each: list(value) if isinstance(value, list) else value for each, value in given.items()}
        return around(copies, partial(method, *args, **kwargs))

    derived = type(kind.__name__, (kind,), {name: call, "__reduce_ex__": _reduce, "__module__": kind.__module__})
    object.__setattr__(owner, "__class__", derived)  # `owner.__class__ = …` would change the module that torch compiled
    try:
        yield
    finally:
        object.__setattr__(owner, "__class__", kind)
        if of_object is not None:
            vars(owner)[name] = of_object


def _reduce(owner: Any, _protocol: Any) -> Any:
    """`__reduce_ex__` of a wrapped object: its copy, pickled or not, is of the object's own class."""
    kind = next(each for each in type(owner).__mro__ if vars(each).get("__reduce_ex__") is not _reduce)
    return object.__new__, (kind,), vars(owner)
