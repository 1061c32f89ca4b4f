"""Captures the attention of a network while it runs, as a running mean, whose memory does not grow with the number of
denoising steps.

    plan = plan_capture(SD, SD.layers(pipe.unet))
    with capture_attention(pipe.unet, plan, guidance=True) as recorder:
        image = pipe("a photo of a dog").images[0]
    maps = recorder.maps([{"dog": (5,)}], ["a photo of a dog"])[0]

The network's own attention processors still compute its output, so an image is bit-identical to one made without
capture. Capture computes the probabilities of the picture's queries a second time:

    pipe(prompt)
      network(latents)                hook: AttentionRecorder.begin_call, end_call (scripts: Listener.before_network)
        layer(hidden states)          hook: CapturedLayer.begin, end
          attention(query, key, …)    product._attend ─▶ LayerRun.record ─▶ RunningMaps.add
    recorder.maps                     ─▶ AttentionMaps
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch

from ..models.families.inputs import Hook, hear_calls
from ..models.layer_choice import KINDS, Kind
from .layers import CapturedLayer
from .plan import CapturePlan
from .recorder import AttentionRecorder

_captured: WeakSet[torch.nn.Module] = WeakSet()
"""The networks that are being captured."""


@contextmanager
def capture_attention(
    network: Any,
    plan: CapturePlan,
    *,
    guidance: bool,
    total_steps: int | None = None,
    text_states: torch.Tensor | None = None,
) -> Iterator[AttentionRecorder]:
    """Record the attention of every network call inside the `with` block. Afterwards the network is always restored.

    network: a UNet2DConditionModel, or a transformer of a family in `models/families`. plan: from `plan_capture` with
    this network's layers. guidance: whether the network predicts with and without the prompt, in two halves of a batch
    or in two calls; only predictions with the prompt are recorded. total_steps: the number of calls with the prompt;
    `steps="second-half"` needs it. text_states: (B, T, C) text encoder states of another text for each image:
    cross-attention is captured with the keys of that text, and the network's own result does not change. None: the
    prompt's keys.

    Raises RuntimeError if this network is already being captured, UserError for attention that this capture does not
    understand.
    """
    recorder = AttentionRecorder(plan, guidance=guidance, total_steps=total_steps, text_states=text_states)
    with attach_recorder(network, recorder), hear_calls(network, recorder.begin_call):
        yield recorder


@contextmanager
def attach_recorder(network: Any, recorder: AttentionRecorder) -> Iterator[None]:
    """Inside the `with` block, a `CapturedLayer` for each layer of the plan reports its attention to a recorder. The
    recorder hears of the network's calls from `hear_calls`, or in scripts from `RunRecorder`. Raises RuntimeError if
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
                captured = CapturedLayer(name, layer, kinds, network.get_submodule(name), recorder)
                handles += captured.hook()
        yield
    finally:
        for handle in handles:
            handle.remove()
        recorder.end_call()
        _captured.remove(network)
