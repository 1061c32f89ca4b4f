"""Schedulers by short names."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from ..errors import UserError, foreign_errors
from ..files.messages import did_you_mean
from .families.family import Family, FlowMatching
from .libraries import import_diffusers

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
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
    if name in SCHEDULERS:
        return SCHEDULERS[name]
    if name.endswith("Scheduler"):
        import_diffusers()
        import diffusers

        if hasattr(diffusers, name):
            return name, {}
    choices = f"known: {', '.join(SCHEDULERS)}, and diffusers' classes"
    raise UserError("scheduler", f"{name}: is not known{did_you_mean(name, SCHEDULERS)}", choices)


def check_scheduler(family: Family, name: str) -> None:
    """Raise UserError for an unknown scheduler, and for a scheduler that the family cannot use. name: as in
    `scheduler_class`."""
    class_name, _ = scheduler_class(name)
    flows = isinstance(family, FlowMatching)
    if flows != class_name.startswith("FlowMatch"):
        which = [short for short, (other, _) in SCHEDULERS.items() if other.startswith("FlowMatch") == flows]
        raise UserError(
            "scheduler", f"{name}: {family.title} was trained for other schedulers", f"use {', '.join(which)}"
        )
    if family.gives_sigmas and class_name == "FlowMatchHeunDiscreteScheduler":
        problem = f"{name}: does not accept noise levels, which pipelines of {family.title} set"
        raise UserError("scheduler", problem, "use flow-euler")


def use_scheduler(pipe: Any, name: str) -> None:
    """Replace a pipeline's scheduler. The new scheduler gets the old one's configuration. name: as in
    `scheduler_class`. Raises UserError."""
    import diffusers

    class_name, options = scheduler_class(name)
    with foreign_errors("scheduler", f"{name}: cannot be made of the model's own"):
        pipe.scheduler = getattr(diffusers, class_name).from_config(pipe.scheduler.config, **options)


def follow_marks(pipe: Any, names: Container[str]) -> None:
    """Configure a pipeline's scheduler by the marks in a single file, which are tensors without values. `v_pred` means
    that the network predicts v, and `ztsnr` in addition that it was trained to start from pure noise. names: the file's
    tensors."""
    if "v_pred" not in names:
        return
    zero_snr = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "ztsnr" in names else {}
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, prediction_type="v_prediction", **zero_snr)
