"""`capture`: records the attention of a pipeline that runs in a script, by the words of its prompt.

    with seediff.capture(pipe) as seen:
        image = pipe("a dog and a car on grass").images[0]
    seen.heatmap("dog").save("dog.png")

The contract: diffusers' own pipelines, called with a prompt. What is drawn by other ways (loops and pipelines of one's
own, embeddings, a prompt that a callback changes, the negative prompt) is captured if the script names the encoded
text that the network is given, `states=`. Nothing else is inferred.

Inside the block, SeeDiff wraps the pipeline's call and its `encode_prompt`, and puts hooks on its network
(attention/capture.py). The pictures are the same, bit for bit, as without capture.

`Listener`: is called by the captured pipeline and its network. It begins a run, passes on what happens in it, and
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any, Literal, get_args

import torch

from ..attention.capture import (
    attach_recorder,
    find_networks,
    not_compiled,
    own_networks,
    tell_compiled,
    without_compilation,
)
from ..attention.plan import CapturePlan, plan_capture, plan_segments
from ..attention.recorder import AttentionRecorder
from ..attention.running_maps import Apart
from ..config.methods import EVERYTHING, METHOD_FACTS, CaptureConfig, SegmentConfig
from ..errors import UserError
from ..models.families import named_readers
from ..models.families.family import Family
from ..models.families.inputs import NetworkInputs, hear_calls
from ..models.layers import Layer
from .captured import Captured
from .heatmap import pipeline_constants
from .run_recorder import Block, RunRecorder
from .which_rows import NAME_STATES, Named, copied, listed


@contextmanager
def capture(
    pipe: Any,
    *,
    keep: str = "all",
    prompt: str | Sequence[str] | None = None,
    tokenizer: Any = None,
    states: Any = None,
    steps: Literal["all"] | int = "all",
    apart: Apart | None = None,
    normalize: bool = True,
    layers: str = "all",
) -> Iterator[Captured]:
    """Record the attention of a diffusers pipeline while it draws inside the `with` block, and return a `Captured`.

    pipe: a pipeline whose network is of a known family (docs/models.md). Or its network alone (`pipe.unet`,
    `pipe.transformer`), for a loop of your own. Then the whole block draws one picture, or one for each row of a batch
    with the prompt.

    keep: what to capture. "all": self- and cross-attention at every level. The name of a method of masks ("seediff",
    "ca_sa", …): only the maps that the method reads, in the layers that the model's folder names for it. "segments":
    self-attention alone, as `segment` captures it of photographs.

    prompt: the text, where the pipeline is not given it: one, or one per picture, as the tokenizer reads it,
    without weights, and with the word BREAK between the chunks of a long text. tokenizer: its tokenizer, or a list of
    tokenizers if several have columns, for a network alone, or for a pipeline without tokenizers. states: the encoded
    text as the network is given it, (B, T, D) or a list of (T, D): each row of the network's batch that has one of
    them, bit for bit, is a picture. A network alone needs them.

    steps: "all", or a number k to record every k-th step. apart: also keep the maps of each "step" or of each "layer",
    for `heatmaps_apart` and `maps_apart`; memory grows with their number. normalize: whether to divide each layer's
    and step's map by its maximum (SeeDiff, eq. 5). layers: as in `CaptureConfig`.

    Raises UserError for options that cannot be used, for a network of no known family, for an IP-Adapter, and for a
    method that does not work with the model. Raises RuntimeError if this network is already being captured.
    """
    given = getattr(pipe, "pipe", pipe)  # a Model from `load_model` has a pipeline
    pipe = not_compiled(given)
    networks, family = find_networks(pipe)
    is_alone = pipe is networks[0]
    config = CaptureConfig(normalize=normalize, steps=steps, layers=layers)
    plan = plan_pipeline(keep, pipe, family, family.layers(networks[0]), config)
    if is_alone and states is None:
        raise UserError("a network alone", "does not say which text is the prompt", NAME_STATES)
    if apart not in (None, *get_args(Apart)):
        raise UserError("apart", f"{apart!r} must be step or layer")
    if apart and (family.frames_dimension or plan.capture.mean == "geometric"):
        problem = f"{apart}: not with clips, or a method with a geometric mean of layers"
        raise UserError("apart", problem, "leave one of them out")
    readers = None
    if tokenizer is not None:
        readers = named_readers(family, tokenizer if isinstance(tokenizer, list | tuple) else [tokenizer])
    if torch.is_tensor(states):
        states = list(states) if states.ndim > 2 else [states]
    if states is not None:
        if not states or not all(torch.is_tensor(state) and state.ndim > 1 for state in states):
            raise UserError("states", "must be a tensor (T, D) or (B, T, D), or a list of (T, D)")
        states = copied(states)
    named = Named(listed(prompt), readers, states)
    recorder = AttentionRecorder(plan, guidance=False, apart=apart, keeps_errors=True)
    listener = Listener(Block(None if is_alone else pipe, family, named, recorder))
    tell_compiled(own_networks(pipe) or [given])
    with ExitStack() as stack:
        for each in networks:
            stack.enter_context(attach_recorder(each, recorder))
            stack.enter_context(hear_calls(each, listener.before_network))
        if is_alone:
            listener.run = RunRecorder(listener.block, {})
            stack.enter_context(without_compilation())
        else:
            stack.enter_context(wrap(pipe, "__call__", listener.draw))
            if hasattr(pipe, "encode_prompt"):
                stack.enter_context(wrap(pipe, "encode_prompt", listener.encode))
        yield Captured(listener.block, pipe, plan, keep if keep in METHOD_FACTS else None)
        listener.end_run()


def plan_pipeline(
    keep: str, pipe: Any, family: Family, all_layers: Mapping[str, Layer], capture: CaptureConfig
) -> CapturePlan:
    """The plan of what is captured of a pipeline: layers, levels and steps.

    keep: as in the function `capture`. family: the network's family. all_layers: name → layer of the network. capture:
    the script's options. Raises UserError for attention that the network does not have, and for options that cannot be
    used.
    """
    if capture.steps == "second-half":
        problem = "second-half: the number of steps is unknown before the pipeline runs"
        raise UserError("steps", problem, "use a number k for every k-th")
    if keep == "all":
        return plan_capture(family, all_layers, capture, reads=EVERYTHING)
    if keep == "segments":
        plain = replace(capture, normalize=False)
        return plan_segments(family, all_layers, SegmentConfig(), type(pipe).__name__, plain)
    if keep not in METHOD_FACTS:
        raise UserError("keep", f"{keep!r} must be all, segments or a method of masks ({', '.join(METHOD_FACTS)})")

    # What a method reads: the script's options come before constants of the model's folder, and these before the
    # method's own.
    mask, of_folder = pipeline_constants(pipe, keep)
    given = {name: value for name, value in vars(capture).items() if value != getattr(CaptureConfig, name)}
    own = {**METHOD_FACTS[keep].defaults.get("capture", {}), **of_folder, **given, "steps": capture.steps}
    return plan_capture(family, all_layers, replace(capture, **own), mask=mask)


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
