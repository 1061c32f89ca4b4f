"""Default values for weights that were distilled to draw in a few steps.

A model's configuration may say that it was distilled (`Family.says_distilled`). Otherwise the name of the model or
file decides. It decides only about defaults: nothing is refused because of a name."""

from __future__ import annotations

import re
from typing import Any

from .families.family import Family, FlowMatching, PartConfig

UNGUIDED = re.compile(r"turbo|lightning|schnell|hyper-?sd|klein-\d+b", re.IGNORECASE)
"""Matches names of models that were distilled to draw without guidance. It does not match FLUX.2-klein-base-4B and
the like, which have guidance."""

RECIPES = {
    "lightning": ("euler-trailing", 0.0),
    "hyper[-_ ]?(sd|flux)": ("ddim-trailing", 0.0),
    "dmd2": ("lcm", 0.0),
    "lcm": ("lcm", 1.0),
    "tcd": ("tcd", 0.0),
}
"""Pattern in a file's name, in small letters → (scheduler, guidance scale) that the pages of such UNets recommend."""
STEPS = re.compile(r"(?<!\d)(\d{1,2})[-_ ]?steps?", re.IGNORECASE)
UNET_STEPS, FLOW_STEPS = 4, 8
"""Default steps of a distilled UNet, and of a distilled transformer, if the file's name does not say the number."""


def values_of_model(family: Family, config: PartConfig, name: str) -> dict[str, Any]:
    """`steps` and `guidance_scale` of a model that was distilled to draw without guidance; empty for other models.

    config: the network's configuration. name: the model's name. Its last part decides if the configuration says
    nothing: `owner/sdxl-turbo` is distilled, `turbo/sdxl` and `sdxl-turbo-cfg` are not."""
    said = family.says_distilled(config)
    if said is None:
        last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
        said = UNGUIDED.search(last) is not None and "cfg" not in last.lower()
    return {"steps": family.few_steps(config), "guidance_scale": 0.0} if said else {}


def values_of_file(family: Family, source: str) -> dict[str, Any]:
    """`scheduler`, `steps` and `guidance_scale` for a distilled LoRA or single file; empty for other files.

    source: the file or hub id, whose name decides: `sdxl_lightning_8step.safetensors` → euler-trailing, 8 steps, no
    guidance. The model's own scheduler stays in families of flow matching. The user's guidance stays if the guidance
    scale is an input of the network, and if the name has `cfg` in it."""
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
