"""`capture`: records the attention of a pipeline that runs in a script, by the words of its prompt.

    with seediff.capture(pipe) as seen:
        image = pipe("a dog and a cat on a sofa").images[0]
    seen.heatmap("dog").save("dog.png")

Nothing in the pipeline is replaced permanently. Inside the block, SeeDiff wraps its call, its `encode_prompt`, its
scheduler's `step`, and the methods that encode and edit pictures (listener.py has a drawing), and puts hooks on its
network (attention/capture.py). The pictures are the same, bit for bit, as without capture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

from ..attention.capture import attach_recorder, hook_calls
from ..attention.compiled import force_eager
from ..attention.networks import check_processors, find_networks, not_compiled
from ..attention.plan import CapturePlan, plan_capture, plan_segments
from ..attention.recorder import AttentionRecorder
from ..attention.running_maps import Apart
from ..config.method_constants import EVERYTHING, CaptureConfig, Reads, SegmentConfig
from ..config.methods import METHOD_FACTS
from ..errors import UserError
from ..models.families.family import Family
from ..models.families.layers import Layer
from .captured import Captured
from .constants import pipeline_constants
from .encodings import NamedText
from .listener import Listener, wrap
from .run import TextKind, fit_of_shown, shown_name
from .run_recorder import THE_WAY
from .text_recording import Block


@contextmanager
def capture(
    pipe: Any,
    *,
    keep: str = "all",
    prompt: str | Sequence[str] | None = None,
    tokenizer: Any = None,
    states: Any = None,
    negative: bool = False,
    shown: int = 0,
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

    prompt: the prompt, if the pipeline is given only embeddings: one text, or one per picture. Write it without
    weights, and with the word BREAK between the chunks of a long text. tokenizer: the tokenizer of this text, or a list
    of tokenizers if several have columns, for a network alone, or for a pipeline without tokenizers. states: the
    encoded prompt, as the network is given it: (T, D), or for several pictures (B, T, D) or a list. It is needed for a
    network alone that is also given other texts.

    negative: whether to capture attention to the negative prompt, too, for `heatmap(word, of="negative")`. shown: the
    number of shown pictures (`image=`) whose attention to the prompt is captured, too, for `heatmap(word, of="shown")`,
    or "shown 2" for the second; True is 1. steps: "all", or a number k to record every k-th step. apart: also keep the
    maps of each "step" or of each "layer", for `heatmaps_apart` and `maps_apart`; memory grows with their number.
    normalize: whether to divide each layer's and step's map by its maximum (SeeDiff, eq. 5). layers: as in
    `CaptureConfig`.

    Raises UserError for options that cannot be used, for a network of no known family, for attention in addition to the
    network's own (perturbed-attention guidance, IP-Adapters, GLIGEN), for a traced network, and for a method that does
    not work with the model; before the first step also for maps that do not fit into memory. Raises RuntimeError if
    this network is already being captured.
    """
    # 1. What is captured
    pipe = not_compiled(getattr(pipe, "pipe", pipe))  # a Model from `load_model` has a pipeline
    networks, family = find_networks(pipe)
    for network in networks:
        check_processors(network, family)
    network = networks[0]
    is_alone = pipe is network
    if not is_alone and not callable(pipe):
        raise UserError(f"a {type(pipe).__name__}", "cannot be called", THE_WAY)
    config = CaptureConfig(normalize=normalize, steps=steps, layers=layers)
    plan = plan_pipeline(keep, pipe, family, family.layers(network), config)
    _check_together(plan, keep, is_alone=is_alone, negative=negative, apart=apart)
    if not isinstance(shown, int) or shown < 0:
        raise UserError("shown", f"{shown!r} must be True, or a number of pictures")
    if shown and (is_alone or "cross" not in plan.reads or family.fits_shown == {}):
        problem = f"a {type(pipe).__name__} with keep='{keep}' has no pictures that attend to words"
        raise UserError("shown", problem, "capture a pipeline that edits (not Qwen-Image 2.1), with keep='all'")
    if shown:
        fit_of_shown(pipe, family)
    named = NamedText.of(family, prompt, tokenizer, states)

    kind = type(pipe)
    is_known = kind.__name__ in family.pipelines and kind.__module__.startswith("diffusers.")
    knows_order = is_known and not family.is_modular

    # 2. What records it: recorders, and the listener that the pipeline and its networks call
    with ExitStack() as stack:
        new_recorder = partial(AttentionRecorder, guidance=False, keeps_errors=True)
        recorders: dict[TextKind, AttentionRecorder] = {"prompt": new_recorder(plan, apart=apart)}
        if negative:
            recorders["negative"] = new_recorder(replace(plan, reads={"cross": plan.reads["cross"]}))
        for number in range(shown):
            of_text = replace(plan, reads={"cross": plan.reads["cross"]})
            recorders[shown_name(number)] = new_recorder(of_text, shown=number)
        listener = Listener(Block(None if is_alone else pipe, family, networks, named, recorders, knows_order))
        stack.callback(listener.close)
        if is_alone:  # a loop around the network may be compiled; of a pipeline's network `Listener.draw` is sure
            stack.enter_context(force_eager())
        for owner, name, around in listener.methods():
            stack.enter_context(wrap(owner, name, around))
        for each in networks:
            stack.enter_context(hook_calls(each, listener.before_network))
            for recorder in recorders.values():
                stack.enter_context(attach_recorder(each, recorder))
        yield Captured(listener, pipe, plan, keep if keep in METHOD_FACTS else None, int(shown))


def _check_together(plan: CapturePlan, keep: str, *, is_alone: bool, negative: bool, apart: Apart | None) -> None:
    """Raise UserError for options that exclude each other, or that cannot be used with the captured network. plan: what
    is captured. is_alone: whether the script captures a network alone. The other options: as in `capture`."""
    if negative and is_alone:
        raise UserError("negative", "a network alone does not say what it is", "capture the pipeline")
    if negative and "cross" not in plan.reads:
        raise UserError("negative", f"keep='{keep}' captures no attention to text", "use keep='all'")
    if apart not in (None, *get_args(Apart)):
        raise UserError("apart", f"{apart!r} must be step or layer")
    if apart and (plan.family.frames_dimension or plan.capture.mean == "geometric"):
        problem = f"{apart}: not with clips, or a method with a geometric mean of layers"
        raise UserError("apart", problem, "leave one of them out")


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
        reads: Reads = {"cross": None} if family.no_self_attention else EVERYTHING
        return plan_capture(family, all_layers, capture, reads=reads)
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
