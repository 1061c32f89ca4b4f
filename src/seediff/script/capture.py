"""`capture`: records the attention of a pipeline that runs in a script, by the words of its prompt.

    with seediff.capture(pipe) as seen:
        image = pipe("a dog and a car on grass").images[0]
    seen.heatmap("dog").save("dog.png")

The contract: diffusers' own pipelines, called with a prompt. What is drawn by other ways (loops and pipelines of one's
own, embeddings, a prompt that a callback changes, the negative prompt) is captured if the script names the encoded
text that the network is given, `states=`. Nothing else is inferred.

Inside the block, SeeDiff wraps the pipeline's call and its `encode_prompt`, and puts hooks on its network
(attention/network.py), which call a `Recording` (recording.py). The pictures are the same, bit for bit, as without
capture.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args

import torch

from ..attention.network import attach_recorder
from ..attention.recorder import AttentionRecorder
from ..attention.running_maps import Apart
from ..attention.which_rows import NAME_STATES, copied, listed
from ..config.methods import METHOD_FACTS
from ..errors import Notice, UserError
from ..models.hooks import hear_calls, intercept
from .captured import Captured
from .plan import find_networks, not_compiled, own_networks, plan_pipeline, tell_compiled, without_compilation
from .recording import Recording
from .which_columns import Named, named_readers


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
    normalize: bool | None = None,
    layers: str | None = None,
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
    and step's map by its maximum (SeeDiff, eq. 5). layers: as in `CaptureConfig`. None: what `keep` says, or else True
    and "all".

    Raises UserError for options that cannot be used, for a network of no known family, for an IP-Adapter, and for a
    method that does not work with the model. Raises RuntimeError if this network is already being captured.
    """
    # 1. What is captured
    given = getattr(pipe, "pipe", pipe)  # a Model from `load_model` has a pipeline
    pipe = not_compiled(given)
    networks, family = find_networks(pipe)
    is_alone = pipe is networks[0]
    values = {"normalize": normalize, "steps": steps, "layers": layers}
    options = {name: value for name, value in values.items() if value is not None}
    plan = plan_pipeline(keep, pipe, family, family.layers(networks[0]), options)
    if is_alone and states is None:
        raise UserError("a network alone", "does not say which text is the prompt", NAME_STATES)
    if apart not in (None, *get_args(Apart)):
        raise UserError("apart", f"{apart!r} must be step or layer")
    if apart and (family.frames_dimension or plan.capture.mean == "geometric"):
        problem = f"{apart}: not with clips, or a method with a geometric mean of layers"
        raise UserError("apart", problem, "leave one of them out")

    # 2. What the script itself says about the text
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

    # 3. The block
    recorder = AttentionRecorder(plan, apart=apart, keeps_errors=True)
    recording = Recording(pipe, named, recorder)
    tell_compiled(own_networks(pipe) or [given])
    with ExitStack() as stack:
        for each in networks:
            stack.enter_context(attach_recorder(each, recorder))
            stack.enter_context(hear_calls(each, recording.before_network))
        if is_alone:
            recording.begin({})
            stack.callback(recorder.restart)
            stack.enter_context(without_compilation())
        else:
            stack.enter_context(intercept(pipe, "__call__", recording.draw))
        yield Captured(recording, keep if keep in METHOD_FACTS else None)
        if is_alone:
            recording.end()
        if recording.elsewhere:
            warnings.warn(Notice(recording.elsewhere), stacklevel=3)
