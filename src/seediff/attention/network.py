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

`find_networks` finds a pipeline's network and its family. What torch compiled runs as it is.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any
from weakref import WeakSet

import torch

from ..errors import Notice, UserError
from ..models.families import check_pipeline, network_family, pipeline_family
from ..models.families.family import NETWORK_PARTS, Family
from ..models.families.inputs import class_names
from ..models.families.readers import TOKENIZERS
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
        known = recorder.missing_prompt
        try:
            if known is not None:
                recorder.tell_prompt(encoded_prompt(pipe, arguments, given, output, known))
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


def find_networks(pipe: Any) -> tuple[list[Any], Family]:
    """(networks, family) of a pipeline. networks: the pipeline's network, or `pipe` itself if it is a network. Wan 2.2
    has two networks: one for the first steps, one for the last. Raises UserError for a pipeline or network that cannot
    be captured."""
    # 1. The networks
    names = class_names(pipe)
    for name in filter(CANNOT.get, names):
        raise UserError(f"a {names[0]}", "cannot be captured", CANNOT[name])
    parts = own_networks(pipe)
    if not parts and not hasattr(pipe, "forward"):
        raise UserError(f"a {names[0]}", "has no unet and no transformer", "give a diffusers pipeline, or its network")
    networks = [*map(not_compiled, parts or [pipe])]

    # 2. Their family
    family = next(filter(None, map(pipeline_family, names)), None) or network_family(networks[0])
    family = family.of_tokenizers(*(getattr(pipe, name, None) for name in TOKENIZERS))
    check_pipeline(family, pipe, networks)
    return networks, family


NO_COLUMNS = "words enter as tokens of the image, so they have no columns"
SEVERAL = "it draws several images in one, each with maps of its own"
CANNOT = {
    "PAGMixin": "perturbed-attention guidance adds attention of its own: use the pipeline without PAG",
    "ModularPipeline": (
        "modular pipelines do not say which text each network call receives: capture(pipe.transformer, prompt='…',"
        " tokenizer=…, states=…), with the states that the network is given"
    ),
    "Flux2KleinKVPipeline": "it keeps keys of other images from step to step: use a Flux2KleinPipeline",
    "GlmImagePipeline": NO_COLUMNS,
    "GlmImageTransformer2DModel": NO_COLUMNS,
    "KolorsPipeline": "its text encoder is a language model (ChatGLM) whose tokens are not mapped",
    "QwenImageLayeredPipeline": "it draws several layers of an image at once, each with maps of its own",
    "StableDiffusionPanoramaPipeline": "it draws parts that overlap, each with maps of its own",
    "VisualClozePipeline": SEVERAL,
    "VisualClozeGenerationPipeline": SEVERAL,
    "ZImageOmniPipeline": "it reads the prompt in parts, between the images that it shows",
}
"""Class of a pipeline or network, or a class it inherits from → why it cannot be captured, or a way out."""


def own_networks(pipe: Any) -> list[Any]:
    """A pipeline's network, perhaps wrapped by torch.compile, and the second one of Wan 2.2; nothing for a network."""
    parts = (getattr(pipe, part, None) for part in NETWORK_PARTS)
    first = next((part for part in parts if part is not None), None)
    return [part for part in (first, getattr(pipe, "transformer_2", None)) if part is not None]


def not_compiled(network: Any) -> Any:
    """The network inside of what `torch.compile(network)` returned; any other network itself."""
    return getattr(network, "_orig_mod", network)


def tell_compiled(networks: Sequence[Any]) -> None:
    """Give a notice if torch compiled a network, or a part of it. networks: as the pipeline has them."""
    modules = chain.from_iterable(network.modules() for network in networks)
    if any(hasattr(one, "_orig_mod") or one._compiled_call_impl is not None for one in modules):
        text = "the network runs without compilation while it is captured: images may differ in their last bits"
        warnings.warn(Notice(text), stacklevel=4)  # the script's `with`, behind `capture` and contextlib


@contextmanager
def without_compilation() -> Iterator[None]:
    """Inside the block, what torch compiled runs as it is, because compiled code calls no hooks."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
