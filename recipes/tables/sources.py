"""Opens a table's samples: drawn sets, scenes, folders. Missing sets and scenes are made, once for all tables.

work/sets/<digest>/        drawn and labelled images (drawn.py)
work/scenes/<name>/        rendered scenes with exact masks
work/augmented/<digest>/   samples after `seediff augment`
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import structs

from recipes.fingerprints import WHOLE, content_fingerprint, digest_files, model_fingerprint
from recipes.mini.sets import SETS, scenes_file
from recipes.mini.world import SCENE_SEED, write_scene_set
from seediff.cli.progress import bar_or_lines
from seediff.config.sets import parse_recipe
from seediff.dataset.dataset import Dataset
from seediff.dataset.sample import Sample
from seediff.errors import UserError, first_line
from seediff.files.photo_files import walk
from seediff.mini import CLASSES
from seediff.models.locate import resolve_name
from seediff.models.registry import LoadOptions

from .definition import HeldOut, Source
from .drawn import SetConfig, draw_set, labelled

LISTS = (".txt", ".json", ".jsonl", ".yaml", ".csv")
"""Suffixes of files whose contents may change while their size does not."""


@dataclass(frozen=True)
class Places:
    """Folders and device of a study. work: the folder for sets, scenes and segmenters. folders: name → folder given by
    `--data`. art: the folder of the embedded world's art, for scenes to train on. device: for drawing, masks and
    measuring; None: the best available."""

    work: Path
    folders: Mapping[str, Path]
    art: Path | None = None
    device: str | None = None

    def folder(self, kind: str, name: str) -> Path:
        """work/kind/name, whose parent is created."""
        (self.work / kind).mkdir(parents=True, exist_ok=True)
        return self.work / kind / name


@cache
def once(fingerprint: Callable[[Any], str], what: Path | str) -> str:
    """`fingerprint` of a path or model, computed once: the files must not change while a study runs. Raises UserError
    if it cannot be read."""
    try:
        return fingerprint(what)
    except OSError as error:
        raise UserError(f"{what}: cannot be read ({first_line(error)})") from error


def open_source(source: Source, sets: Mapping[str, SetConfig], places: Places) -> Dataset:
    """The samples of a source to train on, made first if they do not exist. Raises UserError if anything needed is
    missing.
    """
    if source.set is not None:
        config = set_config(source, sets)
        folder = places.folder("sets", digest(_set_described(config)))
        with bar_or_lines(quiet=False) as progress:
            draw_set(config, folder, device=places.device, progress=progress)
        found = Dataset(*labelled(folder, str(source.labels)))
    elif source.scenes is not None:
        found = Dataset.open(_scenes(source, places))
    else:
        found = Dataset.open(place(source, places), split=source.split, labels_alone=True)
    samples = Dataset(found.classes, chosen(source, found.samples, found.classes))
    return samples if source.augment is None else Dataset.open(_augmented(source, samples, sets, places))


def open_test(test: HeldOut, places: Places) -> Dataset:
    """The samples of a test. Raises UserError if they are missing."""
    folder = _scenes(test, places) if test.scenes else place(test, places)
    found = Dataset.open(folder, split=test.split, labels_alone=True)
    end = None if test.count is None else test.skip + test.count
    found = found[test.skip : end]
    return found[: max(2, round(test.share * len(found)))]


def chosen(source: Source, items: Sequence[Sample], classes: Sequence[str]) -> list[Sample]:
    """The samples that the source selects: `skip` and `count` apply first, then `only` and `without`, by the classes
    that the rows name. Raises UserError if none is left."""
    end = None if source.count is None else source.skip + source.count
    found = list(items[source.skip : end])
    check_named(source, classes)
    if source.only:
        found = [item for item in found if item.row.class_names and {*item.row.class_names} <= set(source.only)]
    if source.without:
        found = [item for item in found if not {*item.row.class_names} & set(source.without)]
    if not found:
        raise UserError("no sample is left of the data")
    return found


def check_named(source: Source, classes: Sequence[str]) -> None:
    """Raise UserError if `only` or `without` names a class that the data lack."""
    if unknown := [name for name in (*source.only, *source.without) if name not in classes]:
        raise UserError(f"class '{unknown[0]}' is not one of the data's: {', '.join(classes)}")


def described(source: Source, sets: Mapping[str, SetConfig], places: Places) -> dict[str, Any]:
    """Everything that determines a source's samples, in JSON's types; it is part of the key of a trained segmenter. A
    folder is identified by its name in the table and by its files (`data_fingerprint`), not by its path; rendered
    scenes by name, number and seed, not by the art; a drawn set without its other labellings, so that one more of them
    leaves all figures valid."""
    about = {
        name: value
        for name, value in structs.asdict(source).items()
        if value not in (None, ()) and (name, value) not in (("skip", 0), ("share", 1.0))
    }
    if source.set is not None:
        config, labelling = set_config(source, sets), str(source.labels)
        drawn = _set_described(replace(config, labels={}))
        about |= {**drawn, "labels": config.labels[labelling]}
    elif source.folder is not None:
        folder = place(source, places)
        if not folder.is_dir():
            raise UserError(f"--data {source.folder}={folder}: there is no such folder")
        about["files"] = once(data_fingerprint, folder)
    elif source.scenes in SETS:
        about["files"] = once(content_fingerprint, scenes_file(source.scenes))
    if source.augment is not None:
        about["augment"] = parse_recipe(source.augment)
    return json.loads(json.dumps(about))


def _set_described(config: SetConfig) -> dict[str, str]:
    """A set's digest and the fingerprint of the weights, which for a model of the hub are unknown before the download:
    its id alone counts."""
    about = {"set": set_digest(config)}
    if not isinstance(resolve_name(config.model), str):
        about["weights"] = once(model_fingerprint, config.model)
    return about


def data_fingerprint(folder: Path) -> str:
    """A digest of a data folder of any size: the names and sizes of all files below it, and the contents of small lists
    and tables, but no pictures. Raises OSError."""

    def content(path: Path, size: int) -> bytes:
        return path.read_bytes() if path.suffix in LISTS and size <= WHOLE else b""

    return digest_files(folder, sorted(filter(Path.is_file, walk(folder))), content)


def classes_of(source: Source, sets: Mapping[str, SetConfig], places: Places) -> tuple[str, ...]:
    """The classes of a source's samples, without making them."""
    if source.set is not None:
        return set_config(source, sets).classes
    if source.scenes is not None:
        return CLASSES
    return Dataset.open(place(source, places), split=source.split, labels_alone=True).classes


def set_config(source: Source, sets: Mapping[str, SetConfig]) -> SetConfig:
    """The configuration of a source's set; with the source's seed, if it names one, for other images of the same
    kind.
    """
    config = sets[str(source.set)]
    return config if source.seed is None else replace(config, seed=source.seed)


def set_digest(config: SetConfig) -> str:
    # Options that are newer than published keys count only if they differ from the default, so that these keys stay
    # valid: how a model is loaded, and at which steps the attention is captured.
    young = {"base": None, **dict.fromkeys(vars(LoadOptions())), "capture_steps": "all"}
    table = {
        name: value
        for name, value in config.values().items()
        if name not in young or not (value is False or value == young[name])
    }
    return digest({"version": 1, **table})


def digest(value: Any) -> str:
    """12 hexadecimal digits for a value of JSON's types."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=6).hexdigest()


def place(source: Source, places: Places) -> Path:
    """The folder that `--data` gave for a source. Raises UserError if it gave none."""
    name = str(source.folder)
    if name not in places.folders:
        raise UserError(f"the table needs data '{name}': say where it is with --data {name}=FOLDER")
    return places.folders[name]


def _scenes(source: Source, places: Places) -> Path:
    """The folder of a set of scenes, written first if it does not exist."""
    name, seed = str(source.scenes), SCENE_SEED if source.seed is None else source.seed
    packaged = name in SETS
    count = None if packaged else source.skip + (source.count or 1000)
    which = once(content_fingerprint, scenes_file(name))[-12:] if packaged else f"{count}-{seed}"
    folder = places.folder("scenes", f"{name}-{which}")
    if not folder.is_dir():
        write_scene_set(folder, name, count=count, art=None if packaged else places.art, seed=seed)
    return folder


def _augmented(source: Source, samples: Dataset, sets: Mapping[str, SetConfig], places: Places) -> Path:
    """The folder of a source's samples after `seediff augment`, made first if it does not exist."""
    from seediff.config.sets import AugmentConfig
    from seediff.dataset.augmented import AugmentedSamples, write_augmented

    out = places.folder("augmented", digest(described(source, sets, places)))
    if not out.is_dir():
        recipe = AugmentConfig(add=parse_recipe(str(source.augment)), seed=source.seed or 0)
        write_augmented(AugmentedSamples(recipe, samples.classes, samples.samples), out, link=True)
    return out
