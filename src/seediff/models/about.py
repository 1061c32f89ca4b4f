"""What a model's small files say of it before anything is loaded: its family, and the configurations of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files.documents import read_json
from ..files.reading import SETTINGS
from .families import pipeline_family
from .families.base import Family
from .known import known_model
from .refusals import hub_error, unsupported
from .registry import cached_folder, fetch_file, read_index, resolve_name


@dataclass(frozen=True)
class About:
    """family, pipeline: of the model, and its class in diffusers. network, vae: config.json of the part that has the attention, and of the
    autoencoder; of a model with a short name whose files are not here, what is needed of them; empty where they cannot be read."""

    name: str
    family: Family
    pipeline: str
    network: Mapping[str, Any]
    vae: Mapping[str, Any]

    def defaults(self) -> dict[str, Any]:
        """The steps and the guidance that its authors recommend; empty where the package's own apply."""
        known = known_model(self.name)
        own = {"steps": known.steps, "guidance_scale": known.guidance_scale} if known else {}
        return {**self.family.defaults(self.network, self.name), **{key: value for key, value in own.items() if value is not None}}

    def sides(self) -> tuple[int, int] | None:
        """(side of its images in pixels, pixels a position of L); None when its files do not say."""
        try:
            factor = self.family.factor(self.vae)
            return self.family.image_side(factor, self.network), self.family.pixels(factor, self.network)
        except (KeyError, TypeError, ValueError, IndexError):
            return None

    def size_rules(self) -> tuple[int, int | None] | None:
        """What sides of its images in pixels are multiples of, and the largest, None where there is no rule; None when its files do not
        say."""
        try:
            factor = self.family.factor(self.vae)
            return self.family.multiple(factor, self.network), self.family.largest(factor, self.network)
        except (KeyError, TypeError, ValueError, IndexError):
            return None


def look_up(name: str, *, fetch: bool = False) -> About | None:
    """What is known of a local model, of one in the hub's cache, or of one that the package knows by name; None where there is none of
    these, or no family has its pipeline.

    fetch: ask the hub, once, for the small files of any other hub id. What is wrong with the files, loading says better.
    """
    try:
        source = resolve_name(name)
    except UserError:
        return None
    folder = _here(source)
    known = known_model(name)
    if folder is None and known is None and fetch:
        folder = _fetched(str(source))
    pipeline = _pipeline(folder) if folder else known.pipeline if known else None
    family = pipeline_family(pipeline) if pipeline else None
    if pipeline is None or family is None:
        return None
    parts = (family.network, "vae")
    known_of = dict(zip(parts, (known.network, known.vae), strict=True)) if known else {}
    found = {part: read_settings(folder, f"{part}/config.json") for part in parts} if folder else {}
    network, vae = (found.get(part) or known_of.get(part, {}) for part in parts)
    return About(name, family, pipeline, network, vae)


def check_supported(name: str) -> None:
    """Raise UserError, as loading it would, for a folder that is no model's, and for a model on this machine whose pipeline no family has.
    What else may be wrong with its files, loading says."""
    source = resolve_name(name)
    if isinstance(source, Path):
        read_index(source)
    folder = _here(source)
    pipeline = _pipeline(folder) if folder else None
    if pipeline is not None and pipeline_family(pipeline) is None:
        raise unsupported(name, pipeline)


def usual_dtype(name: str, device: str) -> str:
    """The number format in which a model computes on a device where none is asked for."""
    from ..devices import default_dtype  # imports torch

    about = look_up(name, fetch=True)
    return default_dtype(device, about.family.half) if about else default_dtype(device)


@lru_cache
def _fetched(hub_id: str) -> Path | None:
    """The folder in the cache with a hub id's small files, which are fetched; None where the hub does not give them."""
    if hub_error(hub_id) is not None:
        return None
    try:
        folder = fetch_file(hub_id, "model_index.json").parent
        family = pipeline_family(_pipeline(folder) or "")
        for part in (family.network, "vae") if family else ():
            fetch_file(hub_id, f"{part}/config.json")
    except UserError:
        return None
    return folder


def _here(source: Path | str) -> Path | None:
    """The folder with the files of what a name stands for; None: they are not on this machine."""
    return source if isinstance(source, Path) else cached_folder(source)


def _pipeline(folder: Path) -> str | None:
    """The pipeline class that a model's folder names; None: none that can be read."""
    named = read_settings(folder, "model_index.json").get("_class_name")
    return named if isinstance(named, str) else None


def read_settings(folder: Path, file: str) -> dict[str, Any]:
    """A JSON file of a pipeline's folder; empty when it cannot be read."""
    try:
        return read_json(folder / file, dict[str, Any], limit=SETTINGS)
    except UserError:
        return {}
