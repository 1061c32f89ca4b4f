"""How models draw: schedulers by short names, and default values for weights that were distilled to draw in few steps.

The network's configuration may say that it was distilled (`Family.says_distilled`). Otherwise the name of the model or
file decides, though only about defaults: nothing is refused because of a name."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Any

from ..errors import UserError, first_line
from ..files.messages import did_you_mean
from .families.family import Family, PartConfig
from .families.flow_matching import FlowMatching
from .no_code import import_diffusers

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
"""Short name → (class in diffusers, settings that replace the model's own). Users may also name a class in
diffusers."""


def scheduler_class(name: str) -> tuple[str, dict[str, Any]]:
    """(class in diffusers, settings that replace the model's own) of a scheduler. name: a short name or a class in
    diffusers. Raises UserError for any other name."""
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
    """Raise UserError for an unknown scheduler, and for a scheduler that the family cannot use. name: as in
    `scheduler_class`."""
    kind, _ = scheduler_class(name)
    flows = isinstance(family, FlowMatching)
    if flows != kind.startswith("FlowMatch"):
        which = [short for short, (other, _) in NAMES.items() if other.startswith("FlowMatch") == flows]
        raise UserError(
            "scheduler", f"{name}: {family.title} was trained for other schedulers", f"use {', '.join(which)}"
        )


def use_scheduler(pipe: Any, name: str) -> None:
    """Replace a pipeline's scheduler. The new scheduler gets the old one's configuration. name: as in
    `scheduler_class`. Raises UserError."""
    import diffusers

    kind, options = scheduler_class(name)
    try:
        pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config, **options)
    except Exception as error:  # a missing library, an unsuitable configuration
        problem = f"{name}: cannot be made of the model's own ({first_line(error)})"
        raise UserError("scheduler", problem) from error


def follow_marks(pipe: Any, names: Container[str]) -> None:
    """Configure a pipeline's scheduler by the marks in a single file, which are tensors without values. `v_pred` means
    that the network predicts v, and `ztsnr` in addition that it was trained to start from pure noise. names: the file's
    tensors."""
    if "v_pred" not in names:
        return
    zero_snr = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "ztsnr" in names else {}
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, prediction_type="v_prediction", **zero_snr)


UNGUIDED = re.compile(r"turbo|lightning|schnell|hyper-?sd|klein-\d+b", re.IGNORECASE)
"""Matches names of models that were distilled to draw without guidance. It does not match FLUX.2-klein-base-4B, which
has guidance."""

RECIPES = {
    "lightning": ("euler-trailing", 0.0),
    "hyper[-_ ]?(sd|flux)": ("ddim-trailing", 0.0),
    "dmd2": ("lcm", 0.0),
    "lcm": ("lcm", 1.0),
    "tcd": ("tcd", 0.0),
}
"""Pattern for a file's name in small letters → (scheduler, guidance scale) that the pages of such UNets recommend."""
STEPS = re.compile(r"(?<!\d)(\d{1,2})[-_ ]?steps?", re.IGNORECASE)
UNET_STEPS, FLOW_STEPS = 4, 8
"""Default steps of a distilled UNet, and of a distilled transformer, if the file's name has no number of steps."""


def values_of_model(family: Family, config: PartConfig, name: str) -> dict[str, Any]:
    """Default `steps` and `guidance_scale` of a model that was distilled to draw without guidance; empty for other
    models.

    family: the model's. config: the network's configuration. name: the model's name, whose last part decides if the
    configuration does not: `owner/sdxl-turbo` is distilled, `turbo/sdxl` and `sdxl-turbo-cfg` are not."""
    is_distilled = family.says_distilled(config)
    if is_distilled is None:
        last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
        is_distilled = UNGUIDED.search(last) is not None and "cfg" not in last.lower()
    return {"steps": family.few_steps(config), "guidance_scale": 0.0} if is_distilled else {}


def values_of_file(family: Family, source: str) -> dict[str, Any]:
    """Default `scheduler`, `steps` and `guidance_scale` for a distilled LoRA or single file; empty for other files.

    family: the model's. source: the file's path or hub id, whose name decides: `sdxl_lightning_8step.safetensors` →
    euler-trailing, 8 steps, no guidance. Families of flow matching get no scheduler. There is no `guidance_scale` for
    names with `cfg`, and for networks that have the guidance scale as an input."""
    name = "/".join(re.split(r"[/\\]", source)[-2:]).lower()
    flows = isinstance(family, FlowMatching)
    recipe = next((recipe for pattern, recipe in RECIPES.items() if re.search(pattern, name)), None)
    if flows and (recipe or "turbo" in name):
        values: dict[str, Any] = {"steps": FLOW_STEPS, "guidance_scale": 0.0}
    elif recipe and not flows:
        values = {"scheduler": recipe[0], "steps": UNET_STEPS, "guidance_scale": recipe[1]}
    else:
        return {}
    counted = STEPS.search(name)
    if counted:
        values["steps"] = int(counted[1])
    if "cfg" in name or (flows and family.distilled):
        del values["guidance_scale"]
    return values
