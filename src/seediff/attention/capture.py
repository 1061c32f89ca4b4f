"""Captures the attention of a network while it runs: a running mean, whose memory does not grow with the number of denoising steps.

    with capture_attention(pipe.unet, CaptureConfig(), guidance=True) as recorder:
        image = pipe("a photo of a dog").images[0]
    maps = recorder.maps([{"dog": (5,)}], ["a photo of a dog"])[0]

The network's own attention processors still compute its output, so an image is bit-identical to one made without capture.
Forward hooks read each layer's queries and keys. When the layer is done, capture computes its probabilities a second time, in blocks
that fit the cache, for the text-conditional half of the batch only. It adds their mean over heads to the running map of that resolution.
The cost is one more QKᵀ and softmax for the captured half.

The network's family (`models/families`) knows its layers, and the modules that compute their queries and keys.

Shape letters: B images, H heads, N = h·w queries, T keys (N in self-attention, tokens in cross-attention), D channels per head.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakSet

import torch

from ..config.constants import CaptureConfig
from ..config.levels import EVERYTHING, Reads
from ..models.compiled import listen
from ..models.families import network_family
from ..models.families.base import Joint
from ..models.groups import by_kind
from .layers import JointLayer, ProjectedLayer
from .recorder import KINDS, AttentionRecorder, Kind

_captured: WeakSet[torch.nn.Module] = WeakSet()


@contextmanager
def capture_attention(
    unet: Any,
    config: CaptureConfig,
    *,
    guidance: bool,
    total_steps: int | None = None,
    per_layer: bool = False,
    reads: Reads = EVERYTHING,
    alone: Collection[Kind] = (),
    asked: torch.Tensor | None = None,
) -> Iterator[AttentionRecorder]:
    """Record the attention of every network call inside the `with` block. Afterwards the network is always restored.

    Args:
        unet: a UNet2DConditionModel, or a transformer of a family in `models/families`. Its attention processors must call the modules
            that compute queries and keys.
        config: normalisation, which steps, which layers.
        guidance: whether the network predicts with and without the prompt, as in classifier-free guidance, in two halves of a batch or
            in two calls. Only predictions with the prompt are recorded. False: all predictions have it.
        total_steps: the number of calls with the prompt; needed for `steps="second-half"`.
        per_layer: keep one running map per layer instead of one per resolution (`AttentionRecorder.layer_maps`).
        reads: the kinds of attention to record, with their levels: {"cross": (4,), "self": (4, 2)} means L/4, and L/4 and L/2
            (`maps_read`).
        alone: in joint attention, the kinds whose softmax is over the picture's columns ("self") or the text's columns ("cross") alone
            instead of the whole row. `config.text_share` sets this for "cross", too.
        asked: (B, T, C) text encoder states of one text per image that replaces the prompt in capture: cross-attention is captured between
            the picture's queries and the keys of these texts. The network's own result does not change. Only for cross-attention layers.

    Raises:
        RuntimeError: this network is already being captured.
        UserError: the model has attention layers of a kind that this capture does not understand.
    """
    family = network_family(unet)
    recorder = AttentionRecorder(
        config,
        family=family,
        guidance=guidance,
        total_steps=total_steps,
        per_layer=per_layer,
        reads=reads,
        alone={*alone, *({"cross"} if config.text_share == "text" else ())},
    )
    recorder.asked = asked
    with listening(unet, recorder, recorder.start_step):
        yield recorder


@contextmanager
def listening(unet: Any, recorder: AttentionRecorder, begin: Callable[..., None]) -> Iterator[None]:
    """Connect a recorder to a network inside the `with` block. begin: forward pre-hook of the network (registered with `with_kwargs`) that
    makes the recorder start each call."""
    if unet in _captured:
        raise RuntimeError(
            "the attention of this network is already being captured: end the first `with capture_attention(...)` before the next"
        )
    family, config = recorder.family, recorder.config
    handles: list[Any] = []
    hear = partial(listen, unet)
    _captured.add(unet)
    try:
        handles.append(unet.register_forward_pre_hook(begin, with_kwargs=True))
        everything = recorder.layers = family.layers(unet)
        groups = by_kind(family.fit_layers(unet.config, config.layers))
        chosen = {kind: family.chosen(list(everything), groups[kind]) for kind in KINDS if kind in recorder.reads}
        for name, layer in everything.items():
            kinds: list[Kind] = [kind for kind in KINDS if name in chosen.get(kind, ())]
            attention = unet.get_submodule(name)
            if isinstance(layer, Joint) and kinds:
                handles += JointLayer(name, layer, recorder, kinds).hook(attention, hear)
            elif not isinstance(layer, Joint) and layer.kind in kinds:
                handles += ProjectedLayer(name, layer, recorder).hook(attention, hear)
        yield
    finally:
        for handle in handles:
            handle.remove()
        _captured.discard(unet)
