"""Finds a pipeline's network, and refuses networks whose attention capture could not record completely."""

from __future__ import annotations

import warnings
from typing import Any

from ..errors import Notice, UserError
from ..models.families import SCRIPTS, families, network_family, pipeline_family
from ..models.families.family import NETWORK_PARTS, PROCESSORS, Family
from ..models.families.layers import refuse_adapters

WRAPPERS = {"get_base_model": "get_base_model()", "module": "module"}
"""Attribute of a PeftModel, or of DistributedDataParallel and its like → the network inside."""
OVERLAPPING = "it draws parts that overlap, each with maps of its own"
MODULAR = [pipeline for family in families(SCRIPTS) if family.is_modular for pipeline in family.pipelines]
"""Classes of modular pipelines that can be captured."""
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
        if name in CANNOT and {*MODULAR}.isdisjoint(bases):
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
    for one in networks:
        _check_replaced(one, named)

    # 3. Its family
    family = named or network_family(networks[0]).of_tokenizer(getattr(pipe, "tokenizer", None))
    if (family.frames_dimension or family.is_modular) and parts:
        if {*bases}.isdisjoint(family.pipelines):
            raise UserError(f"a {called}", "cannot be captured", f"use a {family.pipelines[0]}")
        for name in ("free_init", "free_noise"):  # clips that are drawn several times, or from several texts
            if getattr(pipe, f"{name}_enabled", False):
                raise UserError(f"{name}_enabled", "such clips cannot be captured", f"call pipe.disable_{name}() first")
    if family is pipeline_family("StableDiffusionPipeline") and getattr(pipe, "tokenizer_2", None) is not None:
        family = pipeline_family("StableDiffusionXLPipeline") or family
    return networks, family


def own_networks(pipe: Any) -> list[Any]:
    """A pipeline's network, perhaps wrapped by torch.compile, and the second one of Wan 2.2; nothing for a network."""
    parts = (getattr(pipe, part, None) for part in NETWORK_PARTS)
    first = next((part for part in parts if part is not None), None)
    return [part for part in (first, getattr(pipe, "transformer_2", None)) if part is not None]


def leaves_out_half(network: Any) -> bool:
    """Whether diffusers' FasterCache may give the layers the second half of the network's batch only."""
    registry = getattr(network, "_diffusers_hook", None)
    return registry is not None and registry.get_hook("faster_cache_denoiser") is not None


def not_compiled(network: Any) -> Any:
    """The network inside of what `torch.compile(network)` returned; any other network itself."""
    return getattr(network, "_orig_mod", network)


def _check_replaced(network: Any, family: Family | None) -> None:
    """Raise UserError for a network that is wrapped, and for an object in a network's place, such as a traced network
    or an engine. family: the pipeline's family; None: the pipeline's class belongs to no family."""
    bases = {base.__name__ for base in type(network).__mro__}
    for name, inside in WRAPPERS.items():
        if hasattr(network, name):
            fix = f"use the network itself, for example pipe.unet = pipe.unet.{inside}"
            raise UserError("the network", f"is wrapped (it is a {type(network).__name__})", fix)
    if "ScriptModule" in bases or "Module" not in bases or (family is not None and "ModelMixin" not in bases):
        problem = f"the network was traced or replaced (it is a {type(network).__name__}), and ignores hooks"
        raise UserError(problem, fix="capture the network that it was made from")


def check_processors(network: Any, family: Family) -> None:
    """Raise UserError for a diffusers attention processor that does more than the network's own attention. Warn of
    processors from other libraries, and of layers whose `forward` was replaced. They may compute the same attention in
    another way (as SageAttention does), or something else."""
    foreign = {}  # what is foreign → the name of the last such layer
    for name, module in network.named_modules():
        processor = getattr(module, "processor", None)
        cls = type(processor)
        # Hooks of diffusers and accelerate also set `forward`, but with the `__module__` that it had.
        forward = vars(module).get("forward", type(module).forward)
        if processor is not None and not forward.__module__.startswith(("diffusers.", type(module).__module__)):
            foreign["forward of its own"] = name
        if "fuser" in name.split("."):
            raise UserError(f"{name} (GLIGEN) adds attention of its own to the network's; use a pipeline without it")
        if (
            processor is None
            or cls is getattr(type(module), "_default_processor_cls", None)
            or cls.__name__ in PROCESSORS + family.processors
        ):
            continue
        if cls.__module__.startswith("diffusers."):
            refuse_adapters(name, module)
            problem = f"has a {cls.__name__}, whose attention is not only the network's own"
            raise UserError(f"{name} {problem}; use a pipeline without it")
        foreign[cls.__name__] = name
    for what, name in foreign.items():
        captured = "the softmax of the queries and keys that it multiplies, whatever it makes of that afterwards"
        text = f"{name} has a {what}: what is captured is {captured} (as prompt-to-prompt does)"
        warnings.warn(Notice(text), stacklevel=1)
