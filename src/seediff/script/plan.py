"""What is captured of a pipeline: its networks (`find_networks`), and what of them the script wants, or else the
model's folder; and the constants of its masks."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from ..attention.plan import CapturePlan, fit_mask, plan_capture, plan_segments
from ..config.methods import EVERYTHING, METHOD_FACTS, CaptureConfig, MaskConfig, MethodConstants, SegmentConfig
from ..config.resolve import default_sources
from ..config.runs import MaskPhotosConfig
from ..config.settings import build_tables, check_table, merge
from ..errors import Notice, UserError
from ..models.describe import describe
from ..models.families import check_pipeline, network_family, pipeline_family
from ..models.families.family import NETWORK_PARTS, Family
from ..models.families.inputs import TOKENIZERS, class_names
from ..models.layers import Layer
from ..models.locate import locate


def find_networks(pipe: Any) -> tuple[list[Any], Family]:
    """(networks, family) of a pipeline. networks: the pipeline's network, or `pipe` itself if it is a network. Wan 2.2
    has two networks: one for the first steps, one for the last. Raises UserError for a pipeline or network that cannot
    be captured."""
    # 1. The networks
    names = class_names(pipe)
    parts = own_networks(pipe)
    for given in map(class_names, (pipe, *parts)):
        for name in filter(CANNOT.get, given):
            raise UserError(f"a {given[0]}", "cannot be captured", CANNOT[name])
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
PARALLEL = "give the network inside of it: pipe.unet = pipe.unet.module, or capture(network.module, …)"
CANNOT = {
    "str": "give what draws: capture(seediff.load_model('sd1.5'))",
    "DataParallel": PARALLEL,
    "DistributedDataParallel": PARALLEL,
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
"""Class of what is given, or of its network, or a class it inherits from → why it cannot be captured, or a way out."""


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


def plan_pipeline(
    keep: str, pipe: Any, family: Family, all_layers: Mapping[str, Layer], options: Mapping[str, Any]
) -> CapturePlan:
    """The plan of what is captured of a pipeline: layers, levels and steps.

    keep: as in the function `capture`. family: the network's family. all_layers: name → layer of the network. options:
    those that the script gives, of CaptureConfig. Raises UserError for attention that the network does not have, and
    for options that cannot be used.
    """
    capture = CaptureConfig(**options)
    if capture.steps == "second-half":
        problem = "second-half: the number of steps is unknown before the pipeline runs"
        raise UserError("steps", problem, "use a number k for every k-th")
    if keep == "all":
        return plan_capture(family, all_layers, capture, reads=EVERYTHING)
    if keep == "segments":
        plain = replace(capture, normalize=False)
        return plan_segments(family, all_layers, SegmentConfig(), plain)
    if keep not in METHOD_FACTS:
        raise UserError("keep", f"{keep!r} must be all, segments or a method of masks ({', '.join(METHOD_FACTS)})")

    own = pipeline_constants(pipe, keep, options)
    return plan_capture(family, all_layers, own.capture, mask=own.mask)


def pipeline_constants(pipe: Any, method: str, options: Mapping[str, Any] = {}) -> MethodConstants:
    """The constants of a mask method for a pipeline, and the capture with which they were tuned: the script's options
    come before the constants of the model's folder, and these before the method's own.

    pipe: a diffusers pipeline. method: the mask method. options: fields of CaptureConfig. Raises UserError.
    """
    sources: list[Mapping[str, Any]] = [MaskConfig(method=method).facts.defaults]
    folder = getattr(pipe, "name_or_path", None)  # None if the pipeline was built from its parts
    if folder and Path(folder, "seediff.json").exists():
        model = describe(locate(str(folder)))
        sources = default_sources(MaskPhotosConfig, {"mask.method": method}, model.name, model)
    given = {"mask.method": method} | {f"capture.{name}": value for name, value in options.items()}
    return MethodConstants(**build_tables(MethodConstants, merge(MethodConstants, *sources, given)))


def mask_constants(pipe: Any, plan: CapturePlan, method: str, constants: Mapping[str, Any]) -> MaskConfig:
    """The constants of masks of a captured pipeline: the script's, then those of `pipeline_constants`, with levels that
    the network has. plan: what was captured. constants: fields of MaskConfig. Raises UserError for a method or constant
    that cannot be used."""
    config = replace(pipeline_constants(pipe, method).mask, **check_table(MaskConfig, constants, "masks"))
    return fit_mask(plan.family, plan.all_layers, config, "all")[0]
