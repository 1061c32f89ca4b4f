"""`NamedModel`: a well-known model of a family, which `--model` knows by a short name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes per number."""
APACHE = "Apache-2.0"
OPENRAIL_PLUS = "OpenRAIL++-M"


@dataclass(frozen=True)
class NamedModel:
    """A well-known model with a short name."""

    name: str
    hub_id: str
    what: str
    """What it draws: the size of its images, and what is special, such as "1024², few steps"."""
    billions: float
    """Billions of parameters."""
    licence: str
    """The licence that its page named when this was written, with remarks if the hub wants it accepted first, or if
    sources disagree."""
    steps: int | None = None
    guidance_scale: float | None = None
    """Steps and guidance scale that the model's page advises, if they differ from the family's."""
    pipeline: str = ""
    """diffusers' class of the pipeline; "" for the family's first one."""
    peaks: Mapping[int, float] = field(default_factory=dict, hash=False)
    """Pictures per batch → GB of a GPU's memory while they are drawn in bfloat16 and all maps are captured, as
    `benchmarks/gpu.py` measured it."""

    def weight_bytes(self, dtype: str) -> float:
        """The approximate number of bytes of the weights. dtype: their number format."""
        return BYTES[dtype] * 1e9 * self.billions
