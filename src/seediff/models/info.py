"""Describes a model before it is loaded, from its small files, and lists the models that have short names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from ..errors import UserError
from ..files.documents import read_json
from ..files.messages import did_you_mean, show_bytes, show_json
from .families import REFUSED, families, pipeline_family
from .families.family import OF_PIPELINES, Family, Layer
from .families.readers import Reader
from .hub import INDEX, fetch_file, fetch_index, local_folder, read_index
from .short_names import EMBEDDED, EMBEDDED_PIPELINES, NAMED, named_model
from .sources import Source, find_source
from .trust import check_index, check_parts, check_settings, import_diffusers, import_transformers

HEADINGS = ("--model", "draws", "weights", "on this machine")
"""Headings of a `ModelRow`'s first fields, which share a line."""


@dataclass(frozen=True)
class ModelSettings:
    """The contents of seediff.json in a model's folder: all classes that the model can draw, all words that it knows
    (None: no known limit), and constants that were tuned for it, as `config.presets` reads them. own_contrast:
    of several classes in a drawing, those with a smaller `contrast` are missing. None: not known. path: of the file."""

    classes: tuple[str, ...] | None = None
    words: tuple[str, ...] | None = None
    preset: Mapping[str, Any] = field(default_factory=dict)
    own_contrast: float | None = None
    path: str = ""


class Sizes(NamedTuple):
    """Numbers of pixels. side: of the model's own images. position: per position of L. multiple: sides of images must
    be multiples of it. largest: the largest side; None: no limit."""

    side: int
    position: int
    multiple: int
    largest: int | None


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model before it is loaded."""

    name: str
    family: Family
    pipeline: str
    """The model's class in diffusers."""
    source: Source
    network: Mapping[str, Any]
    """config.json of the part with the attention; empty if it is not here or cannot be read."""
    vae: Mapping[str, Any]
    """config.json of the autoencoder; empty as `network`'s."""
    settings: ModelSettings = ModelSettings()

    def layers(self) -> Mapping[str, Layer] | None:
        """The layers of attention that can be captured, by name: of the network without weights, on torch's meta
        device, which takes 0.1 to 1.3 s. None if its config.json is not here or broken, which loading tells. Raises
        UserError for attention that cannot be captured."""
        if not self.network:
            return None
        torch = import_diffusers()
        import diffusers

        module = None
        with suppress(Exception), torch.device("meta"):  # the file may hold anything
            check_settings("config.json", self.network)
            module = getattr(diffusers, self.family.class_name).from_config(dict(self.network))
        return None if module is None else self.family.layers(module)

    def readers(self) -> tuple[Reader, ...]:
        """The tokenizers, if the files of the whole model are on this machine; empty if they are not, or cannot be
        loaded: they may hold anything."""
        folder, loaded = local_folder(self.source.whole), dict[str, Any]()
        with suppress(Exception):
            assert folder is not None
            transformers, index = import_transformers(), read_index(folder)
            parts = check_index(folder / INDEX, index, self.family)
            names = [part for part in parts if part.startswith("tokenizer")]
            check_parts(folder, names)
            for part in names:
                kind = getattr(transformers, index[part][1])
                loaded[part] = kind.from_pretrained(folder / part, trust_remote_code=False)
            return self.family.readers(SimpleNamespace(**loaded))
        return ()

    def defaults(self) -> dict[str, Any]:
        """The family's defaults, with the steps and guidance of the model's page where these are known; empty where the
        package's own apply. A model that was distilled to draw without guidance has the family's: the page may be that
        of its base."""
        values = self.family.defaults(self.network, self.name)
        named = None if self.family.unguided(self.network, self.name) else named_model(self.source.name)
        page = {"steps": named.steps, "guidance_scale": named.guidance_scale} if named else {}
        return values | {key: value for key, value in page.items() if value is not None}

    def sizes(self) -> Sizes | None:
        """None if the model's files do not tell."""
        family, config = self.family, self.network
        with suppress(KeyError, TypeError, ValueError, IndexError):
            factor = family.factor(self.vae)
            rules = family.multiple(factor, config), family.largest(factor, config)
            return Sizes(family.image_side(factor, config), family.pixels(factor, config), *rules)
        return None


def find_model(name: str, base: str | None = None, *, must: bool = False, planned: bool = False) -> ModelInfo | None:
    """Find a model by the name that a user gave. Do so once, and hand the result down.

    base: of a single file. Asks the hub, once, for the small files that its cache lacks. must: they are needed now;
    otherwise None stands for a model without a short name that the hub does not deliver. planned: for a dry run, to
    which the table of short names tells enough.

    Raises UserError for names and folders that are no model's, for a pipeline or a base of another family, for wrong
    settings, and with `must` for what the hub does not deliver.
    """
    source = find_source(name, base)
    folder = local_folder(source.whole)
    if folder is None and not (planned and named_model(source.name)):
        folder = fetch_index(str(source.whole)) if must else _fetched(str(source.whole))
    index = read_index(folder) if folder else {}
    info = _describe(name, source, folder, index)
    if info is None and folder:
        raise unsupported(source.name, index.get("_class_name"))
    return info


def model_info(name: str, base: str | None = None) -> ModelInfo | None:
    """What is known of a model without asking the hub; None if it is not on this machine and has no short name, or is
    not supported. Raises UserError for wrong settings."""
    try:
        source = find_source(name, base)
    except UserError:
        return None
    folder = local_folder(source.whole)
    return _describe(name, source, folder, _read(folder, INDEX))


def _describe(name: str, source: Source, folder: Path | None, index: Mapping[str, Any]) -> ModelInfo | None:
    """What a model's small files tell; None if no family has its pipeline. folder, index: of the whole model, and its
    model_index.json, if they are here."""
    named = named_model(source.name)
    pipeline = index.get("_class_name")
    if folder is None and named:
        pipeline = named.pipeline
    family = pipeline_family(pipeline)
    if not isinstance(pipeline, str) or family is None:
        return None
    network, vae = (_read(folder, f"{part}/config.json") for part in (family.network, "vae"))
    if source.network:
        network = _read(source.network, "config.json") or network
    if network:
        network = {**network, **{key: index[key] for key in OF_PIPELINES if key in index}}
    settings = read_settings(source.whole) if source.is_whole else ModelSettings()
    return ModelInfo(name, family, pipeline, source, network, vae, settings)


def read_settings(source: Path | str) -> ModelSettings:
    """The settings of a local folder; empty for a file or a hub id, which have none. Raises UserError."""
    path = Path(source) / "seediff.json"
    if isinstance(source, str) or not path.exists():
        return ModelSettings()
    read = read_json(path, ModelSettings)
    if read.classes is None and not read.preset:
        raise UserError(path, 'must have classes, {"classes": ["dog", …]}, or a preset')
    words = None if read.classes is None else (*read.classes, *(read.words or ()))
    return replace(read, words=words, path=str(path))


def unsupported(name: str, pipeline: Any) -> UserError:
    """The error for a model whose model_index.json names a pipeline class that no family has, or no class at all."""
    named = pipeline[:100] if isinstance(pipeline, str) else show_json(pipeline)
    supported = ", ".join(f"{family.title} ({', '.join(family.pipelines)})" for family in families())
    why = f": {REFUSED[named]}" if named in REFUSED else ""
    return UserError("model", f"{name}: is a {named}, which is not supported{why}", f"supported: {supported}")


def check_known_classes(name: str, known: Sequence[str] | None, classes: Sequence[str], field: str = "classes") -> None:
    """Raise UserError, listing what the model `name` knows, if a class is not among `known`. known: None: no limit.
    field: what the classes are, for messages."""
    if known is None:
        return
    unknown = [class_name for class_name in classes if class_name not in known]
    if unknown:
        listed = ", ".join(f"{class_name!r}{did_you_mean(class_name, known)}" for class_name in unknown)
        fix = f"it knows: {', '.join(known)}; for others, use a larger model, such as sd1.5"
        raise UserError(field, f"model '{name}' does not know {listed}", fix)


class ModelRow(NamedTuple):
    """A model in the list. what: a description. memory: size of the weights in half precision. here: where they are on
    this machine, or "no"."""

    name: str
    what: str
    memory: str
    here: str
    hub_id: str
    licence: str


def list_models() -> list[tuple[Family, list[ModelRow]]]:
    """Every family, and its models that have short names, the embedded one first. Makes no network requests."""
    size = show_bytes(sum(path.stat().st_size for path in EMBEDDED["mini"].rglob("*.safetensors")))  # half precision
    mini = ModelRow("mini", "128², 19 classes of Pascal VOC", size, "in the package", "", "Apache-2.0")
    rows = [(EMBEDDED_PIPELINES["mini"], mini)]
    for model in NAMED:
        folder = local_folder(model.hub_id)
        here = "in the hub's cache" if folder and any(folder.glob("*/*.safetensors")) else "no"
        size = show_bytes(model.weight_bytes("float16"))
        rows.append((model.pipeline, ModelRow(model.name, model.what, size, here, model.hub_id, model.licence)))
    return [(family, [row for pipeline, row in rows if pipeline in family.pipelines]) for family in families()]


def _fetched(hub_id: str) -> Path | None:
    """The cached folder with a hub id's small files, after fetching them; None if the hub does not deliver them."""
    try:
        folder = fetch_index(hub_id)
        family = pipeline_family(_read(folder, INDEX).get("_class_name"))
        if family is not None:
            fetch_file(hub_id, f"{family.network}/config.json")
            fetch_file(hub_id, "vae/config.json")
    except UserError:
        return None
    return folder


def _read(folder: Path | None, file: str) -> dict[str, Any]:
    """The contents of a JSON file in a pipeline's folder; empty if it cannot be read."""
    try:
        return read_json(folder / file, dict[str, Any]) if folder else {}
    except UserError:
        return {}
