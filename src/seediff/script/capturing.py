"""`capture`: records the attention of a pipeline that runs in a script, by the words of its prompt.

    with seediff.capture(pipe) as seen:
        image = pipe("a dog and a cat on a sofa").images[0]
    seen.heatmap("dog").save("dog.png")

Nothing in the pipeline is replaced permanently: inside the block, its call and `encode_prompt` are wrapped, and its
network has hooks (which_calls.py has a drawing). Its pictures are the same, bit for bit, as without capture
(attention/capture.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial, wraps
from types import MethodType
from typing import Any, Literal, get_args

import torch

from ..attention.capture import attach_recorder
from ..attention.networks import check_processors, find_networks
from ..attention.plan import CapturePlan, plan_capture, plan_segments
from ..attention.recorder import Apart, AttentionRecorder
from ..config.method_constants import EVERYTHING, CaptureConfig, Reads, SegmentConfig
from ..config.methods import METHOD_FACTS
from ..config.resolve import own_constants
from ..errors import UserError
from ..models.families.family import Family
from ..models.families.layers import Layer
from ..models.families.readers import Reader
from ..models.graphs import CudaRecording, GraphedNetwork, find_graphs
from ..models.saving_memory import check_graphs
from ..prompts.tokens import find_weight
from .captured import Captured
from .what_size import PLACING
from .which_calls import THE_WAY, Listener
from .which_columns import TextColumns
from .which_rows import ENCODE, listed


@contextmanager
def capture(
    pipe: Any,
    *,
    keep: str = "all",
    prompt: str | Sequence[str] | None = None,
    tokenizer: Any = None,
    states: Any = None,
    negative: bool = False,
    steps: Literal["all"] | int = "all",
    apart: Apart | None = None,
    normalize: bool = True,
    layers: str = "all",
    graphs: bool = False,
) -> Iterator[Captured]:
    """Record the attention of a diffusers pipeline for everything that it draws inside the `with` block.

    pipe: a pipeline whose network is of a known family (docs/models.md). Or its network alone (`pipe.unet`,
    `pipe.transformer`): then the whole block is one run, and every row of a batch with the prompt is a picture.

    keep: what to capture: "all"; the name of a method of masks ("seediff", "ca_sa", …), for only the maps that it
    reads, in the layers that the model's folder names for it; or "segments", for self-attention alone, as it is
    captured of photographs. prompt: the prompt, if the pipeline is given only embeddings: one text, or one per picture,
    without weights, and with the word BREAK between the chunks of a long text. tokenizer: the text's tokenizer, if a
    network alone or a pipeline without tokenizers is given; the text columns must begin with its first token. states:
    the encoded prompt as the network is given it, (T, D); or one for each picture, (B, T, D) or a list. They are needed
    if a network alone is also given other texts. negative: whether to capture attention to the negative prompt, too,
    for `heatmap(word, of="negative")`. steps: "all", or a number k, to record every k-th step. apart: also keep the
    maps of each "step" or "layer" for `heatmaps_apart` and `maps_apart`; memory grows with their number. normalize:
    whether to divide each layer's and step's map by its maximum (eq. 5). layers: as in `CaptureConfig`. graphs: whether
    to replay the network's calls as CUDA graphs, which the block's first picture records. Between pictures, weights,
    LoRAs and attention processors may change, but not the modules' own code.

    Raises UserError, before the first step, for a network of no known family, for attention in addition to the
    network's own (perturbed-attention guidance, IP-Adapters, GLIGEN), for a network that torch compiled, for a method
    that does not work with the model, and for maps that do not fit into memory; RuntimeError if this network is already
    being captured.
    """
    # 1. Whether it can be captured
    pipe = getattr(pipe, "pipe", pipe)  # a Model from `load_model`
    networks, family = find_networks(pipe)
    for network in networks:
        check_processors(network)
    network = networks[0]
    if graphs and family.frames_dimension:
        raise UserError("graphs", "True: calls that draw clips cannot be replayed", "leave it out")
    config = CaptureConfig(normalize=normalize, steps=steps, layers=layers)
    plan = plan_pipeline(keep, pipe, family, family.layers(network), config)
    prompts = tuple(listed(prompt))
    _check_named(prompts, tokenizer, states)
    for text in prompts:
        weight = find_weight(text)
        if weight:
            raise UserError("prompt", f"'{weight}' looks like a weight", "give the text without weights")
    alone = pipe is network
    if not alone and not callable(pipe):
        raise UserError(f"a {type(pipe).__name__}", "cannot be called", THE_WAY)
    if alone and negative:
        raise UserError("negative", "a network alone does not say what it is", "capture the pipeline")
    if apart is not None:
        if apart not in get_args(Apart):
            raise UserError("apart", f"{apart!r} must be step or layer")
        if graphs or family.frames_dimension or plan.capture.mean == "geometric":
            problem = f"{apart}: not with graphs=True, clips, or a method with a geometric mean of layers"
            raise UserError("apart", problem, "leave one of them out")
    if graphs and negative:
        raise UserError("negative", "True: cannot be recorded with graphs=True", "leave one of them out")
    readers = None if tokenizer is None else (Reader("tokenizer", tokenizer, tokenizer.model_max_length),)

    # 2. The listener is told what the pipeline encodes, and what its network is given
    with ExitStack() as stack:
        recordings = stack.enter_context(recorded_calls(network)) if graphs else None
        recorder = AttentionRecorder(plan, guidance=False, graphs=recordings, apart=apart, keeps_errors=True)
        negative_recorder = None
        if negative:
            if "cross" not in plan.reads:
                raise UserError("negative", f"keep='{keep}' captures no attention to text", "use keep='all'")
            text_alone = replace(plan, reads={"cross": plan.reads["cross"]})
            negative_recorder = AttentionRecorder(text_alone, guidance=False, keeps_errors=True)
        owner = None if alone else pipe
        listener = Listener(recorder, negative_recorder, networks, owner, prompts, states)
        encode = next((name for name in ENCODE if hasattr(pipe, name)), None)
        if encode is not None:
            stack.enter_context(wrap_method(pipe, encode, listener.note_encoding))
        processor = getattr(pipe, "image_processor", None)
        for name in PLACING:
            if hasattr(processor, name):
                stack.enter_context(wrap_method(processor, name, partial(listener.note_placing, name)))
        if not alone:
            stack.enter_context(wrap_call(pipe, listener))
        for each in networks:
            stack.enter_context(attach_recorder(each, recorder, listener.before_network))
            if negative_recorder is not None:
                stack.enter_context(attach_recorder(each, negative_recorder, None))
        columns = TextColumns(pipe, family, readers, prompts)
        yield Captured(listener, pipe, plan, keep if keep in METHOD_FACTS else None, columns)


def _check_named(prompts: Sequence[Any], tokenizer: Any, states: Any) -> None:
    """Raise UserError for a prompt, tokenizer or states of a wrong kind."""
    for text in prompts:
        if not isinstance(text, str):
            raise UserError("prompt", f"{text!r}", "give a text, or a list of texts")
    if tokenizer is not None and not hasattr(tokenizer, "model_max_length"):
        raise UserError("tokenizer", f"{tokenizer!r} reads no text", "give the pipeline's, tokenizer=pipe.tokenizer")
    each = states if isinstance(states, list) else [states]
    if states is not None and not (each and all(torch.is_tensor(one) and one.ndim > 1 for one in each)):
        raise UserError("states", "must be a tensor (T, D) or (B, T, D), or a list of (T, D)")


@contextmanager
def recorded_calls(network: Any) -> Iterator[GraphedNetwork]:
    """The network's recordings. They end with the block, unless its model was loaded with them. Raises UserError on a
    device where calls cannot be recorded."""
    loaded = find_graphs(network)
    if loaded is not None:
        yield loaded
        return
    device = next(network.parameters()).device
    check_graphs(str(device))
    recordings = GraphedNetwork(network, CudaRecording(device))
    try:
        yield recordings
    finally:
        recordings.restore()


@contextmanager
def wrap_call(pipe: Any, listener: Listener) -> Iterator[None]:
    """Inside the `with` block, the listener hears of the pipeline's calls: the pipeline has a class of the same name,
    derived from its own, because Python looks for `__call__` in the class."""
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


def plan_pipeline(
    keep: str, pipe: Any, family: Family, all_layers: Mapping[str, Layer], capture: CaptureConfig
) -> CapturePlan:
    """What `keep` captures of a pipeline. Raises UserError for attention that it does not have."""
    if capture.steps == "second-half":
        problem = "second-half: the number of steps is unknown before the pipeline runs"
        raise UserError("steps", problem, "use a number k for every k-th")
    if keep == "all":
        reads: Reads = {"cross": None} if family.no_self_attention else EVERYTHING
        return plan_capture(family, all_layers, capture, reads=reads)
    if keep == "segments":
        plain = replace(capture, normalize=False)
        return plan_segments(family, all_layers, SegmentConfig(), type(pipe).__name__, plain)
    if keep not in METHOD_FACTS:
        raise UserError("keep", f"{keep!r} must be all, segments or a method of masks ({', '.join(METHOD_FACTS)})")

    # What a method reads, captured as the method's and the model's own constants say, and as was asked for
    mask, of_folder = own_constants(pipe, keep)
    own = {**METHOD_FACTS[keep].defaults.get("capture", {}), **of_folder, "steps": capture.steps}
    if capture.layers != "all":
        own["layers"] = capture.layers
    if not capture.normalize:
        own["normalize"] = False
    return plan_capture(family, all_layers, replace(capture, **own), mask=mask)
