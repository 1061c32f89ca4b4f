"""Schedulers by short names, and settings for weights that were distilled to a few steps, by their file names."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from ..errors import UserError, first_line
from ..files.messages import did_you_mean
from .families.family import Family, FlowMatching
from .trust import import_diffusers

NAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddim-trailing": ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    "dpm++": ("DPMSolverMultistepScheduler", {}),
    "dpm++-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpm++-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "euler-trailing": ("EulerDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "tcd": ("TCDScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "flow-euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow-heun": ("FlowMatchHeunDiscreteScheduler", {}),
}
"""Short name → diffusers' class, and the settings that replace those of the model's own configuration. Names of
diffusers' classes are accepted, too."""

DISTILLED = {
    "lightning": ("euler-trailing", 0.0),
    # Hyper-SD and Hyper-FLUX, also abbreviated to "Hyper"; not "HyperRealistic" or "hypernetwork".
    "hyper[-_ ]?(sd|flux)|hyper(?-i:(?![a-z]))(?![-_ ]?real)": ("ddim-trailing", 0.0),
    "dmd2": ("lcm", 0.0),
    "lcm": ("lcm", 1.0),
    "tcd": ("tcd", 0.0),
}
"""Pattern in a file's name → the scheduler and guidance scale that model pages give for such UNets, which were
distilled to a few steps."""
STEPS = re.compile(r"(?<!\d)(\d{1,2})[-_ ]?steps?", re.IGNORECASE)
USUAL_STEPS = 4
FLOW_STEPS = 8
"""Default steps of distilled transformers, which keep the model's scheduler."""


def scheduler_class(name: str) -> tuple[str, dict[str, Any]]:
    """(diffusers' class, settings that replace those of the model's configuration). Raises UserError for an unknown
    name."""
    if name in NAMES:
        return NAMES[name]
    if name.endswith("Scheduler"):
        import_diffusers()
        import diffusers

        if hasattr(diffusers, name):
            return name, {}
    choices = f"known: {', '.join(NAMES)}, and diffusers' classes"
    raise UserError("scheduler", f"{name}: is not known{did_you_mean(name, NAMES)}", choices)


def check_scheduler(family: Family, name: str) -> None:
    """Raise UserError for an unknown name, and for a scheduler that the family cannot use."""
    kind, _ = scheduler_class(name)
    flows = isinstance(family, FlowMatching)
    if flows != kind.startswith("FlowMatch"):
        which = [short for short, (other, _) in NAMES.items() if other.startswith("FlowMatch") == flows]
        raise UserError(
            "scheduler", f"{name}: {family.title} was trained for other schedulers", f"use {', '.join(which)}"
        )


def use_scheduler(pipe: Any, name: str) -> None:
    """Replace a pipeline's scheduler by the one of this name, configured like the old one. Raises UserError."""
    import diffusers

    kind, options = scheduler_class(name)
    try:
        pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config, **options)
    except Exception as error:  # a missing library, an unsuitable configuration
        problem = f"{name}: cannot be made of the model's own ({first_line(error)})"
        raise UserError("scheduler", problem) from error


def follow_marks(pipe: Any, names: Container[str]) -> None:
    """Configure the scheduler by the marks in a single file, which are empty tensors: with `v_pred`, the network
    predicts v; if `ztsnr` is there, too, it was trained to start from pure noise. names: of the file's tensors."""
    if "v_pred" not in names:
        return
    zero_snr = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "ztsnr" in names else {}
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, prediction_type="v_prediction", **zero_snr)


def distilled_defaults(family: Family, source: str) -> dict[str, Any]:
    """`scheduler`, `steps` and `guidance_scale` for weights that were distilled to a few steps, by the name of their
    file or hub id; empty for other weights. Models of flow matching keep their scheduler, and also their guidance if it
    is an input of the network. Weights with `cfg` in their name keep their guidance."""
    name = "/".join(re.split(r"[/\\]", source)[-2:])
    flows, lower = isinstance(family, FlowMatching), name.lower()
    recipe = next((recipe for part, recipe in DISTILLED.items() if re.search(part, name, re.IGNORECASE)), None)

    # What such weights usually need
    values = dict[str, Any]()
    if flows and (recipe or "turbo" in lower):
        values = {"steps": FLOW_STEPS, "guidance_scale": 0.0}
    elif not flows and recipe:
        values = {"scheduler": recipe[0], "steps": USUAL_STEPS, "guidance_scale": recipe[1]}

    # What the name says about these weights
    counted = STEPS.search(name)
    if values and counted:
        values["steps"] = int(counted[1])
    if "cfg" in lower or (flows and family.distilled):
        values.pop("guidance_scale", None)
    return values
