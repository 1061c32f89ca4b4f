"""Well-known models by short names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .families import families
from .families.named import NamedModel

NAMED = tuple(
    replace(model, pipeline=model.pipeline or family.pipelines[0]) for family in families() for model in family.named
)
"""The models with short names, each with its pipeline."""
REAL = "sd1.5"
"""The smallest of these models that draw photographs."""
EMBEDDED = {
    "mini": Path(__file__).parent / "mini" / "weights",
    "mini-dit": Path(__file__).parents[3] / "recipes" / "weights" / "mini-dit",
}
"""Name → folder, for two small models that draw simple scenes. `mini` is in the package; `mini-dit` serves
measurements and is only in the repository."""
EMBEDDED_LICENCE = "MIT"
"""The licence of their weights."""
EMBEDDED_PIPELINES = {"mini": "StableDiffusionPipeline", "mini-dit": "StableDiffusion3Pipeline"}

BY_NAME = {named.name: named for named in NAMED}


def named_model(name: str) -> NamedModel | None:
    """The model of the table with this short name or hub id; None if the table lacks it."""
    return BY_NAME.get(name) or next((named for named in NAMED if name == named.hub_id), None)
