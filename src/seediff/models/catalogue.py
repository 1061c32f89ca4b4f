"""Lists the models that have short names, for `seediff models`."""

from __future__ import annotations

from typing import NamedTuple

from ..files.messages import show_bytes
from .families import families
from .families.family import Family
from .hub import local_folder
from .short_names import EMBEDDED, EMBEDDED_PIPELINES, NAMED

HEADINGS = ("--model", "draws", "weights", "on this machine")
"""Headings of the first four fields of `ModelRow`, which are printed in one line."""


class ModelRow(NamedTuple):
    """A model in the list of `seediff models`."""

    name: str
    what: str
    """What it draws, as in `NamedModel`."""
    memory: str
    """The size of its weights in half precision."""
    here: str
    """Where its weights are on this machine, or "no"."""
    hub_id: str
    licence: str


def list_models() -> list[tuple[Family, list[ModelRow]]]:
    """(family, rows) for every family: one row for each of its models with a short name. The model in the package comes
    first. Asks no hub."""
    size = show_bytes(sum(path.stat().st_size for path in EMBEDDED["mini"].rglob("*.safetensors")))  # half precision
    mini = ModelRow("mini", "128², 19 classes of Pascal VOC", size, "in the package", "", "Apache-2.0")
    rows = [(EMBEDDED_PIPELINES["mini"], mini)]
    for model in NAMED:
        folder = local_folder(model.hub_id)
        here = "in the hub's cache" if folder and any(folder.glob("*/*.safetensors")) else "no"
        size = show_bytes(model.weight_bytes("float16"))
        rows.append((model.pipeline, ModelRow(model.name, model.what, size, here, model.hub_id, model.licence)))
    return [(family, [row for pipeline, row in rows if pipeline in family.pipelines]) for family in families()]
