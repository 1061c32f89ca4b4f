"""Finds a pipeline's network and its family, and lets what torch compiled run as it is."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch

from ..errors import Notice, UserError
from ..models.families import families, network_family, pipeline_family
from ..models.families.family import NETWORK_PARTS, Family

NO_COLUMNS = "cannot be captured", "words enter as tokens of the picture, so they have no columns"
CANNOT = {
    "PAGMixin": ("perturbed-attention guidance adds attention of its own", "use the pipeline without PAG"),
    "ModularPipeline": (
        "modular pipelines do not say which text each network call receives",
        "capture(pipe.transformer, prompt='…', tokenizer=…, states=…), with the states that the network is given",
    ),
    "GlmImagePipeline": NO_COLUMNS,
    "GlmImageTransformer2DModel": NO_COLUMNS,
}
"""Class of a pipeline or network, or a class it inherits from → two parts of a UserError: the problem, and either a way
out or, where there is no way out, the reason. Families have more, for their networks."""


def find_networks(pipe: Any) -> tuple[list[Any], Family]:
    """(networks, family) of a pipeline. networks: the pipeline's network, or `pipe` itself if it is a network. Wan 2.2
    has two networks: one for the first steps, one for the last. Raises UserError for a pipeline or network that cannot
    be captured."""
    # 1. The pipeline
    bases = [base.__name__ for base in type(pipe).__mro__]
    called = bases[0]
    for name in bases:
        if name in CANNOT:
            raise UserError(f"a {called}", *CANNOT[name])
        for family in families():
            if name in family.cannot:
                raise UserError(f"a {called}", "cannot be captured", family.cannot[name])

    # 2. Its networks
    parts = own_networks(pipe)
    if not parts and not hasattr(pipe, "forward"):
        raise UserError(f"a {called}", "has no unet and no transformer", "give a diffusers pipeline, or its network")
    networks = [*map(not_compiled, parts or [pipe])]
    named = next(filter(None, map(pipeline_family, bases)), None)

    # 3. Its family
    family = named or network_family(networks[0]).of_tokenizer(getattr(pipe, "tokenizer", None))
    if family.frames_dimension and parts:
        if {*bases}.isdisjoint(family.pipelines):
            raise UserError(f"a {called}", "cannot be captured", f"use a {family.pipelines[0]}")
        for name in ("free_init", "free_noise"):  # clips that are drawn several times, or from several texts
            if getattr(pipe, f"{name}_enabled", False):
                raise UserError(f"{name}_enabled", "such clips cannot be captured", f"call pipe.disable_{name}() first")
    if family is pipeline_family("StableDiffusionPipeline") and getattr(pipe, "tokenizer_2", None) is not None:
        family = pipeline_family("StableDiffusionXLPipeline") or family
    for network in networks:
        if family.class_name not in [base.__name__ for base in type(network).__mro__]:
            name = f"pipe.{family.network_part}"
            problem = f"is a {type(network).__name__}, and only a {family.class_name} can be captured"
            fix = f"{name} = {name}.get_base_model() with PEFT, or accelerator.unwrap_model({name})"
            raise UserError(name, problem, fix)
    return networks, family


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
        text = "the network runs without compilation while it is captured: pictures may differ in their last bits"
        warnings.warn(Notice(text), stacklevel=4)  # the script's `with`, behind `capture` and contextlib


@contextmanager
def without_compilation() -> Iterator[None]:
    """Inside the block, what torch compiled runs as it is, because compiled code calls no hooks."""
    if "torch._dynamo" not in sys.modules:  # nothing was compiled
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
