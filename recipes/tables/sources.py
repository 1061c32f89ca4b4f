"""Where a table's samples come from: drawn sets, scenes, folders. What is not there yet is made, once for all tables.

work/sets/<digest>/        drawn and labelled images (drawn.py)
work/scenes/<name>/        rendered scenes with exact masks
work/relabelled/<digest>/  samples with other masks (relabel.py)
work/augmented/<digest>/   samples after `seediff augment`
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from recipes.mini.world import SCENE_SEED, write_scene_set
from seediff.config.augment import parse_recipe
from seediff.config.names import BACKGROUND
from seediff.dataset import native
from seediff.dataset.merge import renumbered, renumbering
from seediff.dataset.sample import Sample as DatasetSample
from seediff.dataset.store import open_native, write_native
from seediff.errors import UserError, first_line
from seediff.evaluate.layouts import EvaluationSet, Sample, open_evaluation
from seediff.files.outputs import check_inside, make_folders
from seediff.mini.scenes import CLASSES, SETS, scenes_file
from seediff.models.fingerprint import content_fingerprint, data_fingerprint, model_fingerprint
from seediff.models.hub import resolve_name
from seediff.workers import Progress

from .definition import HeldOut, Source
from .drawn import SetConfig, draw_set, labelled
from .relabel import YARDSTICK, labelling, relabelled


@dataclass(frozen=True)
class Places:
    """What a study needs to know of the machine. work: where sets, scenes and segmenters are kept. folders: the data named with `--data`.
    art: the folder of the embedded world's art, for scenes to train on. device: what draws, masks and measures; None: the best there
    is. known: fingerprints of files, which every row and seed asks for; nothing may change while a study runs, so each is taken once."""

    work: Path
    folders: Mapping[str, Path]
    art: Path | None = None
    device: str | None = None
    known: dict[tuple[str, str], str] = field(default_factory=dict, repr=False, compare=False)

    def folder(self, kind: str, name: str) -> Path:
        """work/kind/name, whose parent is made. Raises UserError for a link: what a study keeps goes nowhere else."""
        make_folders(self.work, kind)
        check_inside(self.work, f"{kind}/{name}")
        return self.work / kind / name

    def once(self, fingerprint: Callable[[Any], str], what: Path | str) -> str:
        """`fingerprint` of a path or model. Raises UserError when it cannot be read."""
        key = (fingerprint.__name__, str(what))
        if key not in self.known:
            try:
                self.known[key] = fingerprint(what)
            except OSError as error:
                raise UserError(f"{what}: cannot be read ({first_line(error)})") from error
        return self.known[key]


@dataclass(frozen=True)
class Samples:
    """classes: without the background; id i + 1 is classes[i]."""

    classes: tuple[str, ...]
    items: Sequence[DatasetSample]


def open_source(source: Source, sets: Mapping[str, SetConfig], places: Places, progress: Progress | None = None) -> Samples:
    """The samples of a source to train on, made first where they are not there yet. Raises UserError for what is missing."""
    if source.set is not None:
        config = set_config(source, sets)
        folder = set_folder(config, places)
        draw_set(config, folder, device=places.device, progress=progress)
        classes, found = labelled(folder, str(source.labels))
    elif source.scenes is not None:
        classes, found = open_native(_scenes(source, places))
    else:
        classes, found = _items(open_evaluation(place(source, places), split=source.split))
    items = chosen(source, found, classes)
    if source.masks is not None:
        key = digest(described(replace(source, augment=None), sets, places))
        classes, items = relabelled(classes, items, source.masks, sets, places.folder("relabelled", key), progress, places.device)
    if source.augment is not None:
        classes, items = open_native(_augmented(source, Samples(classes, items), sets, places, progress))
    return Samples(classes, items)


def open_test(test: HeldOut, places: Places) -> EvaluationSet:
    """The samples of a test. Raises UserError for what is missing."""
    found = open_evaluation(_scenes(test, places) if test.scenes else place(test, places), split=test.split)
    end = None if test.count is None else test.skip + test.count
    samples = found.samples[test.skip : end]
    about = found.about if len(samples) == len(found.samples) else f"{found.about}, {len(samples)} of them from number {test.skip}"
    return replace(found, samples=samples, about=about)


def joined(parts: Sequence[Samples], classes: Sequence[str] = ()) -> Samples:
    """Several sources as one, their classes joined by name, after `classes`."""
    classes = tuple(dict.fromkeys([*classes, *(name for part in parts for name in part.classes)]))
    items: list[DatasetSample] = []
    for part in parts:
        ids = renumbering(part.classes, classes)
        items += [renumbered(item, ids, len(part.classes)) for item in part.items]
    return Samples(classes, items)


def chosen(source: Source, items: Sequence[DatasetSample], classes: Sequence[str]) -> list[DatasetSample]:
    """The source's share of all there is. `only`, `without` and `objects` choose among the first `count`, by the classes that rows name,
    and `surest` among those that are left."""
    end = None if source.count is None else source.skip + source.count
    found = list(items[source.skip : end])
    check_named(source, classes)
    if source.only:
        found = [item for item in found if item.metadata.get("classes") and set(item.metadata["classes"]) <= set(source.only)]
    if source.without:
        found = [item for item in found if not set(item.metadata.get("classes", ())) & set(source.without)]
    if source.objects:
        found = [item for item in found if len(item.metadata.get("classes", ())) == source.objects]
    if source.surest:
        sure = sorted(range(len(found)), key=lambda i: -min(found[i].metadata["confidence"].values(), default=-1.0))
        found = [found[i] for i in sorted(sure[: max(1, round(source.surest * len(found)))])]
    if not found:
        raise UserError("no sample is left of the data")
    return found


def check_named(source: Source, classes: Sequence[str]) -> None:
    """Raise UserError for a class of `only` or `without` that the data does not have."""
    if unknown := [name for name in (*source.only, *source.without) if name not in classes]:
        raise UserError(f"class '{unknown[0]}' is not one of the data's: {', '.join(classes)}")


def described(source: Source, sets: Mapping[str, SetConfig], places: Places) -> dict[str, Any]:
    """All that decides a source's samples, in JSON's types: what trained segmenters are told apart by. A folder is known by its name in
    the table and by its files (`data_fingerprint`), not by where it is; rendered scenes by name, number and seed, not by the art."""
    about = {name: value for name, value in asdict(source).items() if value not in (None, ()) and (name, value) != ("skip", 0)}
    if source.set is not None:
        config = set_config(source, sets)
        about |= {**_set_described(config, places), "labels": config.labels[str(source.labels)]}
    elif source.folder is not None:
        folder = place(source, places)
        if not folder.is_dir():
            raise UserError(f"--data {source.folder}={folder}: there is no such folder")
        about["files"] = places.once(data_fingerprint, folder)
    elif source.scenes in SETS:
        about["files"] = places.once(content_fingerprint, scenes_file(source.scenes))
    if source.masks == YARDSTICK:
        from seediff.mini.yardsticks import SEGMENTER

        about["masks"] = {"yardstick": places.once(content_fingerprint, SEGMENTER)}
    elif source.masks is not None:
        config, labels = labelling(source.masks, sets)
        about["masks"] = {**_maker_described(config, places), "labels": labels}
    if source.augment is not None:
        about["augment"] = parse_recipe(source.augment)
    return json.loads(json.dumps(about))


def _set_described(config: SetConfig, places: Places) -> dict[str, Any]:
    return {"set": set_digest(config), **_weights(config, places)}


def _maker_described(config: SetConfig, places: Places) -> dict[str, Any]:
    """What of a set decides the masks that its model makes of other images: not what it draws."""
    return {"model": config.model, "batch_size": config.batch_size, "threads": config.threads, **_weights(config, places)}


def _weights(config: SetConfig, places: Places) -> dict[str, str]:
    """The weights of a model of the hub are not known before they are fetched: there, the id alone decides."""
    return {"weights": places.once(model_fingerprint, config.model)} if isinstance(resolve_name(config.model), Path) else {}


def classes_of(source: Source, sets: Mapping[str, SetConfig], places: Places) -> tuple[str, ...]:
    """The classes of a source's samples, without making them."""
    if source.set is not None:
        return set_config(source, sets).classes
    if source.scenes is not None:
        return CLASSES
    return _items(open_evaluation(place(source, places), split=source.split))[0]


def set_config(source: Source, sets: Mapping[str, SetConfig]) -> SetConfig:
    """What is drawn for a source: its set, or other images of the same kind when it names a seed."""
    config = sets[str(source.set)]
    return config if source.seed is None else replace(config, seed=source.seed)


def set_digest(config: SetConfig) -> str:
    # What is younger than published keys counts where it is said: how a model is loaded, and of which steps the attention is.
    young = {**dict.fromkeys(config.loading), "capture_steps": "all"}
    table = {name: value for name, value in config.values().items() if name not in young or not (value is False or value == young[name])}
    return digest({"version": 1, **table})


def digest(value: Any) -> str:
    """Twelve characters for a value of JSON's types."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=6).hexdigest()


def set_folder(config: SetConfig, places: Places) -> Path:
    return places.folder("sets", digest(_set_described(config, places)))


def place(source: Source, places: Places) -> Path:
    """The folder that `--data` gave for a source."""
    name = str(source.folder)
    if name not in places.folders:
        raise UserError(f"the table needs data '{name}': say where it is with --data {name}=FOLDER")
    return places.folders[name]


def _scenes(source: Source, places: Places) -> Path:
    """The folder of a set of scenes, written when it is not there."""
    name, seed = str(source.scenes), SCENE_SEED if source.seed is None else source.seed
    packaged = name in SETS
    count = None if packaged else source.skip + (source.count or 1000)
    which = places.once(content_fingerprint, scenes_file(name))[-12:] if packaged else f"{count}-{seed}"
    folder = places.folder("scenes", f"{name}-{which}")
    if not folder.is_dir():
        write_scene_set(folder, name, count=count, art=None if packaged else places.art, seed=seed)
    return folder


def _items(found: EvaluationSet) -> tuple[tuple[str, ...], list[DatasetSample]]:
    """Labelled images of a public data set as samples to train on. A set without a background keeps having none: all of its pixels are of
    a class or ignored."""
    names = {number: name for number, name in found.classes.items() if name != BACKGROUND}
    table = np.full(256, native.IGNORE, np.uint8)
    for number, name in found.classes.items():
        table[number] = 0 if name == BACKGROUND else list(names).index(number) + 1

    def item(sample: Sample) -> DatasetSample:
        if sample.image is None:
            raise UserError(f"'{sample.name}': its folder has labels, but no picture of that name")
        return DatasetSample(sample.image, lambda: table[sample.truth()], name=sample.name)

    return tuple(names.values()), [item(sample) for sample in found.samples]


def _augmented(source: Source, samples: Samples, sets: Mapping[str, SetConfig], places: Places, progress: Progress | None) -> Path:
    """The folder of a source's samples after `seediff augment`."""
    from seediff.config.augment import AugmentConfig
    from seediff.run.augment import augment

    key = digest(described(source, sets, places))
    plain = places.folder("augmented", f"{key}-plain")
    if not plain.is_dir():
        write_native(plain, samples.classes, samples.items, about={"command": "seediff study"}, link=True)
    out = places.folder("augmented", key)
    recipe = AugmentConfig(add=parse_recipe(str(source.augment)), seed=source.seed or 0)
    augment(recipe, plain, out, link=True, progress=progress)
    return out
