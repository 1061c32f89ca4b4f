"""Which models can be named: what is captured of each, what it takes, under which terms, and which of them are on this machine."""

from __future__ import annotations

from typing import NamedTuple

from ..files.space import show_bytes
from .families import FAMILIES, pipeline_family
from .families.base import Family
from .known import KNOWN, Known, hub_ids
from .registry import EMBEDDED, PIPELINES, cached_folder

HEADINGS = ("--model", "draws", "weights", "on this machine")
"""Of a row's first fields, which stand in one line; the others are in a line of their own."""


class Row(NamedTuple):
    """name: for `--model`. what: it is. memory: of its weights in half precision. here: where it is on this machine, "no" where it is not.
    hub_id: where it is fetched from. licence: and whether it must be accepted first."""

    name: str
    what: str
    memory: str
    here: str
    hub_id: str
    licence: str


def list_models() -> list[tuple[Family, list[Row]]]:
    """Every family, and its models that have a short name; the embedded one first. Asks no network."""
    return [(family, _embedded(family) + [_row(one) for one in KNOWN if pipeline_family(one.pipeline) is family]) for family in FAMILIES]


def _embedded(family: Family) -> list[Row]:
    rows = []
    for name, folder in EMBEDDED.items():
        if pipeline_family(PIPELINES[name]) is family:
            size = show_bytes(sum(path.stat().st_size for path in folder.rglob("*.safetensors")))  # they are in half precision
            here = "in the package" if (folder / "model_index.json").is_file() else "no: the package lacks its weights"
            rows.append(Row(name, "128², 19 of Pascal VOC's classes", size, here, "", "Apache-2.0"))
    return rows


def _row(known: Known) -> Row:
    here = "in the hub's cache" if any(map(cached_folder, hub_ids(known.name))) else "no"
    licence = known.licence + ", not confirmed" * (not known.confirmed) + ", to be accepted on the hub" * known.gated
    return Row(known.name, known.what, show_bytes(known.half_bytes), here, known.ids[0], licence)
