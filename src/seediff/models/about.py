"""What a model's small files say of it before anything is loaded: its family, and the configurations of its parts. Asks no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.documents import read_json
from ..files.reading import SETTINGS
from .families import pipeline_family
from .families.base import Family
from .registry import resolve_name


@dataclass(frozen=True)
class About:
    """family: of the model. network, vae: config.json of the part that has the attention, and of the autoencoder."""

    name: str
    family: Family
    network: Mapping[str, Any]
    vae: Mapping[str, Any]

    def defaults(self) -> dict[str, Any]:
        """The steps and the guidance that its authors recommend; empty where the package's own apply."""
        return self.family.defaults(self.network, self.name)

    def sides(self) -> tuple[int, int] | None:
        """(side of its images in pixels, pixels a position of L); None when its files do not say."""
        try:
            factor = self.family.factor(self.vae)
            return self.family.image_side(factor, self.network), self.family.pixels(factor, self.network)
        except (KeyError, TypeError, ValueError, IndexError):
            return None


def look_up(name: str) -> About | None:
    """What is known of a local model, or of one in the hub's cache; None where there is neither, or no family has its pipeline.

    What is wrong with the files, loading says better.
    """
    try:
        source = resolve_name(name)
    except UserError:
        return None
    folder = source if isinstance(source, Path) else _cached(source)
    pipeline = read_settings(folder, "model_index.json").get("_class_name") if folder else None
    family = pipeline_family(pipeline) if isinstance(pipeline, str) else None
    if folder is None or family is None:
        return None
    return About(name, family, read_settings(folder, f"{family.network}/config.json"), read_settings(folder, "vae/config.json"))


def read_settings(folder: Path, file: str) -> dict[str, Any]:
    """A JSON file of a pipeline's folder; empty when it cannot be read."""
    try:
        return read_json(folder / file, dict[str, Any], limit=SETTINGS)
    except UserError:
        return {}


def _cached(hub_id: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, "model_index.json")
    return Path(found).parent if isinstance(found, str) else None
