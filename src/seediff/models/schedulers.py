"""Schedulers by short names, and what weights that were distilled to a few steps need, by what their files are called."""

from __future__ import annotations

import inspect
import re
from collections.abc import Container
from typing import Any

from ..errors import UserError, first_line
from ..files.messages import meant, printable
from .families.base import SCHEDULERS, Family, FlowMatching

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
"""Short name → class of diffusers, and what differs in it from the model's own configuration. Names of classes are taken, too."""

DISTILLED = (
    ("lightning", "euler-trailing", 0.0),
    ("hyper", "ddim-trailing", 0.0),
    ("dmd2", "lcm", 0.0),
    ("lcm", "lcm", 1.0),
    ("tcd", "tcd", 0.0),
)
"""In a file's name, what UNets distilled so are called → their scheduler and guidance, as their pages have them."""
STEPS = re.compile(r"(?<!\d)(\d{1,2})[-_ ]?steps?", re.IGNORECASE)
USUAL_STEPS = 4
FLOW_STEPS = 8
"""Of transformers distilled so, whose scheduler and guidance stay."""


def scheduler_class(name: str) -> tuple[str, dict[str, Any]]:
    """diffusers' class, and what differs in its configuration. Raises UserError for a name that is none."""
    if name in SCHEDULERS:
        return name, {}
    if name not in NAMES:
        raise UserError(f"scheduler '{name}'{meant(name, NAMES)}: known are {', '.join(NAMES)}, and classes of diffusers that models have")
    return NAMES[name]


def check_scheduler(family: Family, name: str) -> None:
    """Raise UserError for a scheduler that a family cannot be drawn with."""
    kind, _ = scheduler_class(name)
    if isinstance(family, FlowMatching) != kind.startswith("FlowMatch"):
        which = [short for short, (other, _) in NAMES.items() if other.startswith("FlowMatch") == isinstance(family, FlowMatching)]
        raise UserError(f"scheduler '{name}': {family.title} was trained for others: {', '.join(which)}")
    if family.pipelines == ("LatentConsistencyModelPipeline",) and kind != "LCMScheduler":
        raise UserError(f"scheduler '{name}': {family.title} is drawn with lcm alone; leave it out")


def use_scheduler(pipe: Any, family: Family, name: str) -> None:
    """Give a pipeline the scheduler of that name, with the configuration of its own. Raises UserError."""
    import diffusers

    check_scheduler(family, name)
    kind, options = scheduler_class(name)
    try:
        scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config, **options)
    except Exception as error:  # a library that it needs, a configuration that it does not take
        raise UserError(f"scheduler '{name}': cannot be made of the model's own ({printable(first_line(error))[:200]})") from error
    if family.gives_sigmas and "sigmas" not in inspect.signature(scheduler.set_timesteps).parameters:
        raise UserError(f"scheduler '{name}': {family.title} gives it the noise levels, which it does not take; use flow-euler")
    pipe.scheduler = scheduler


def follow_marks(pipe: Any, names: Container[str]) -> None:
    """What a single file says by empty tensors of its own: that the network predicts v, and was trained to start from noise alone. names:
    of its tensors."""
    if "v_pred" not in names:
        return
    zero_snr = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "ztsnr" in names else {}
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, prediction_type="v_prediction", **zero_snr)


def distilled_defaults(family: Family, source: str) -> dict[str, Any]:
    """`scheduler`, `steps` and `guidance_scale` for weights that were distilled to a few steps, by what their file or hub id is called;
    empty for others. A name that says CFG keeps the guidance."""
    name = "/".join(re.split(r"[/\\]", source)[-2:]).lower()
    called = next(((scheduler, guidance) for part, scheduler, guidance in DISTILLED if part in name), None)
    counted = STEPS.search(name)
    if isinstance(family, FlowMatching):
        few = called is not None or "turbo" in name
        return {"steps": int(counted[1]) if counted else FLOW_STEPS} if few else {}
    if called is None:
        return {}
    values = {"scheduler": called[0], "steps": int(counted[1]) if counted else USUAL_STEPS, "guidance_scale": called[1]}
    return {key: value for key, value in values.items() if key != "guidance_scale" or "cfg" not in name}
