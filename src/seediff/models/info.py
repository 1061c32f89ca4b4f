"""What is known of a model before it is loaded, found once from its small files, and the list of models that have names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..files.documents import fit, read_json
from ..files.messages import meant, printable, show_bytes, shown
from ..files.reading import SETTINGS
from .families import FAMILIES, pipeline_family, why_not
from .families.base import Family
from .hub import cached_folder, fetch_file, hub_error, local_folder, read_index
from .known import EMBEDDED, EMBEDDED_PIPELINES, KNOWN, Known, hub_ids, known_model
from .sources import Source, find_source

HEADINGS = ("--model", "draws", "weights", "on this machine")
"""Of a row's first fields, which stand in one line; the others are in a line of their own."""


@dataclass(frozen=True)
class Settings:
    """seediff.json of a model's folder. classes: all that the model can draw; words: all that it knows; None: not known to be limited.
    preset: constants that were tuned for it, as `config.presets` reads them. path: of the file; None: there is none."""

    classes: tuple[str, ...] | None = None
    words: tuple[str, ...] | None = None
    preset: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None


@dataclass(frozen=True)
class ModelInfo:
    """family, pipeline: of the model, and its class in diffusers. source: where its parts are from. network, vae: config.json of the part
    that has the attention, and of the autoencoder; of a model with a short name whose files are not here, what is needed of them; empty
    where they cannot be read. settings: its own, where its folder has some."""

    name: str
    family: Family
    pipeline: str
    source: Source
    network: Mapping[str, Any]
    vae: Mapping[str, Any]
    settings: Settings = Settings()

    def defaults(self) -> dict[str, Any]:
        """The steps and the guidance that its authors recommend; empty where the package's own apply."""
        known = known_model(self.source.name)
        page = {"steps": known.steps, "guidance_scale": known.guidance_scale} if known else {}
        return {**self.family.defaults(self.network, self.name), **{key: value for key, value in page.items() if value is not None}}

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

    def empty_network(self) -> Any:
        """The network of its config.json, without weights; None where that is not here. What is wrong with it, loading says better. Takes
        seconds where diffusers is not imported yet."""
        if self.network.get("_class_name") != self.family.class_name:
            return None
        import diffusers
        import torch

        try:
            with torch.device("meta"):
                return getattr(diffusers, self.family.class_name).from_config(dict(self.network))
        except Exception:  # whatever a configuration leads to
            return None


def model_info(name: str, base: str | None = None, *, fetch: bool = False) -> ModelInfo | None:
    """What is known of a local model, of one in the hub's cache, or of one that the package knows by name; None where there is none of
    these, or no family has its pipeline. What is wrong with the files, loading says better; UserError for its settings alone.

    base: of a single file. fetch: ask the hub, once, for the small files of any other hub id.
    """
    try:
        source = find_source(name, base)
    except UserError:
        return None
    folder, known = local_folder(source.whole), known_model(source.name)
    if folder is None and known is None and fetch:
        folder = _fetched(str(source.whole))
    pipeline = _pipeline(folder) if folder else known.pipeline if known else None
    family = pipeline_family(pipeline) if pipeline else None
    if pipeline is None or family is None:
        return None
    network, vae = (_read(folder, f"{part}/config.json") for part in (family.network, "vae"))
    if source.checkpoint and source.checkpoint.config:
        network = _read(source.checkpoint.config.parent, "config.json") or network
    if known:
        network, vae = network or known.network, vae or known.vae
    if folder and network and "is_distilled" in (index := _read(folder, "model_index.json")):  # FLUX.2 klein's networks are all alike
        network = {**network, "is_distilled": index["is_distilled"]}
    settings = read_settings(source.whole) if source.is_whole else Settings()
    return ModelInfo(name, family, pipeline, source, network, vae, settings)


def read_settings(source: Path | str) -> Settings:
    """Those of a local folder; a file or a hub id has none. Raises UserError."""
    path = Path(source) / "seediff.json"
    if isinstance(source, str) or not path.is_file():
        return Settings()
    table = read_json(path, dict[str, Any], limit=SETTINGS)
    if table.get("classes") is None and "preset" not in table:
        raise UserError(f'{path}: cannot be read; it should be {{"classes": ["dog", …]}}')
    classes, words = (fit(table.get(key) or (), tuple[str, ...], f"{path}, '{key}'") for key in ("classes", "words"))
    limited = table.get("classes") is not None
    return Settings(
        classes if limited else None,
        (*classes, *words) if limited else None,
        fit(table.get("preset", {}), dict[str, Any], f"{path}, 'preset'"),
        path,
    )


def check_supported(name: str, base: str | None = None) -> None:
    """Raise UserError, as loading it would, for a folder or a file that is no model's, for a model on this machine whose pipeline no family
    has, and for a base of another family. What else may be wrong with its files, loading says."""
    source = find_source(name, base)
    if isinstance(source.whole, Path):
        read_index(source.whole)
    folder = local_folder(source.whole)
    pipeline = _pipeline(folder) if folder else None
    if pipeline is not None and pipeline_family(pipeline) is None:
        raise unsupported(source.name, pipeline)
    if pipeline is not None:
        source.check(pipeline)


def unsupported(name: str, pipeline: Any) -> UserError:
    """What to tell of a model whose model_index.json names a pipeline class that no family has, or something that is no class."""
    named = printable(pipeline[:100]) if isinstance(pipeline, str) else shown(pipeline)
    supported = ", ".join(f"{family.title} ({', '.join(family.pipelines)})" for family in FAMILIES)
    return UserError(f"model '{name}' is a {named}; supported are {supported}: {why_not(named)}")


def check_known_classes(name: str, known: Sequence[str] | None, classes: Sequence[str]) -> None:
    """Raise UserError, listing what the model `name` knows, when a class is not among `known` (None: it is not limited)."""
    unknown = [name for name in classes if known is not None and name not in known]
    if unknown:
        listed = ", ".join(f"{name!r}{meant(name, known or ())}" for name in unknown)
        raise UserError(
            f"model '{name}' does not know {listed}; it knows: {', '.join(known or ())}. Leave out what it does not know (--classes all is "
            "all that it knows), or name a real model: --model sd2-base, a local diffusers folder or a hub id"
        )


def usual_dtype(name: str, device: str, base: str | None = None) -> str:
    """The number format in which a model computes on a device where none is asked for."""
    from ..devices import default_dtype  # imports torch

    info = model_info(name, base, fetch=True)
    return default_dtype(device, info.family.half) if info else default_dtype(device)


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
    rows = [(EMBEDDED_PIPELINES[name], _embedded_row(name, folder)) for name, folder in EMBEDDED.items()]
    rows += [(known.pipeline, _known_row(known)) for known in KNOWN]
    return [(family, [row for pipeline, row in rows if pipeline in family.pipelines]) for family in FAMILIES]


def _embedded_row(name: str, folder: Path) -> Row:
    size = show_bytes(sum(path.stat().st_size for path in folder.rglob("*.safetensors")))  # they are in half precision
    place = "the package" if name == "mini" else "the repository"
    here = f"in {place}" if (folder / "model_index.json").is_file() else f"no: it comes with {place}"
    return Row(name, "128², 19 classes of Pascal VOC", size, here, "", "Apache-2.0")


def _known_row(known: Known) -> Row:
    here = "in the hub's cache" if any(map(cached_folder, hub_ids(known.name))) else "no"
    licence = known.licence + ", not confirmed" * (not known.confirmed) + ", to be accepted on the hub" * known.gated
    return Row(known.name, known.what, show_bytes(known.half_bytes), here, known.ids[0], licence)


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


def _pipeline(folder: Path) -> str | None:
    """The pipeline class that a model's folder names; None: none that can be read."""
    name = _read(folder, "model_index.json").get("_class_name")
    return name if isinstance(name, str) else None


def _read(folder: Path | None, file: str) -> dict[str, Any]:
    """A JSON file of a pipeline's folder; empty when it cannot be read."""
    try:
        return read_json(folder / file, dict[str, Any], limit=SETTINGS) if folder else {}
    except UserError:
        return {}
