"""Captures the attention of a network while it runs, as a running mean, whose memory does not grow with the number of
denoising steps.

    plan = plan_capture(SD, SD.layers(pipe.unet))
    with record_attention(pipe.unet, plan, prompt=Encoded()) as recorder, hear_prompt(pipe, arguments, recorder):
        image = pipe(**arguments).images[0]
    maps = recorder.maps([{"dog": (5,)}], ["a photo of a dog"])[0]

The network's own attention processors still compute its output, so an image is bit-identical to one made without
capture. Capture computes the probabilities of the picture's queries a second time:

    pipe(prompt)
      network(latents)                hook: AttentionRecorder.begin_call, end_call (scripts: Recording.before_network)
        layer(hidden states)          hook: LayerRecorder.begin, end
          attention(query, key, …)    product._attend ─▶ LayerRecorder.record ─▶ RunningMaps.add
    recorder.maps                     ─▶ AttentionMaps
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch

from ..models.hooks import Hook, hear_calls, intercept
from ..models.layers import KINDS, Kind
from .layers import LayerRecorder
from .plan import CapturePlan
from .recorder import AttentionRecorder
from .which_rows import Encoded, encoded_prompt

_captured: WeakSet[torch.nn.Module] = WeakSet()
"""The networks that are being captured."""


@contextmanager
def record_attention(
    network: Any,
    plan: CapturePlan,
    *,
    prompt: Encoded | None = None,
    total_steps: int | None = None,
    text_states: torch.Tensor | None = None,
) -> Iterator[AttentionRecorder]:
    """Record the attention of every network call inside the `with` block. Afterwards the network is always restored.

    network: a UNet2DConditionModel, or a transformer of a family in `models/families`. plan: from `plan_capture` with
    this network's layers. prompt: the encoded prompts of the images, whose rows are recorded; `Encoded()` if the
    pipeline will encode them, in `hear_prompt`; None: every row is recorded. total_steps: the number of calls with the
    prompt; `steps="second-half"` needs it. text_states: (B, T, C) text encoder states of another text for each image:
    cross-attention is captured with the keys of that text, and the network's own result does not change. None: the
    prompt's keys.

    Raises RuntimeError if this network is already being captured, UserError for attention that this capture does not
    understand.
    """
    recorder = AttentionRecorder(plan, prompt=prompt, total_steps=total_steps, text_states=text_states)
    with attach_recorder(network, recorder), hear_calls(network, recorder.begin_call):
        yield recorder


@contextmanager
def hear_prompt(pipe: Any, arguments: Mapping[str, Any], recorder: AttentionRecorder) -> Iterator[None]:
    """Inside the `with` block, tell a recorder the encoded prompt, unless it knows it: what the pipeline first encodes
    with the prompt of its call. arguments: those of the call, by name; the call must not change them."""

    def encode(given: Mapping[str, Any], call: Callable[[], Any]) -> Any:
        output = call()
        known = recorder.prompt
        try:
            if known is not None and known.is_pending:
                recorder.prompt = encoded_prompt(pipe, arguments, given, output, known)
        except Exception as error:
            recorder.fail(error, "the pipeline's encode_prompt")
        return output

    if not hasattr(pipe, "encode_prompt"):
        yield
        return
    with intercept(pipe, "encode_prompt", encode):
        yield


@contextmanager
def attach_recorder(network: Any, recorder: AttentionRecorder) -> Iterator[None]:
    """Inside the `with` block, a `LayerRecorder` for each layer of the plan reports its attention to a recorder. The
    recorder hears of the network's calls from `hear_calls`, or in scripts from `Recording`. Raises RuntimeError if
    the network is already being captured."""
    plan = recorder.plan
    if network in _captured:
        raise RuntimeError(
            "the attention of this network is already being captured: end the first `with` block before the next"
        )
    handles: list[Any] = []
    _captured.add(network)
    try:
        handles.append(network.register_forward_hook(Hook(lambda *_: recorder.end_call()), always_call=True))
        for name, layer in plan.all_layers.items():
            kinds: list[Kind] = [kind for kind in KINDS if name in plan.layers[kind] and plan.wants(kind, layer.level)]
            if kinds:
                handles += LayerRecorder(name, layer, kinds, network.get_submodule(name), recorder).hook()
        yield
    finally:
        for handle in handles:
            handle.remove()
        recorder.end_call()
        _captured.remove(network)
