"""classes.txt and metadata.jsonl of a native dataset that lost them, from its samples and what seediff.toml says of how they were made.

Rows of `generate` come back as they were: prompt, seed and attempt follow from the configuration and rejected.jsonl. Only flags about
attention are lost. Of other datasets, only what the files show is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...files.documents import read_toml
from .. import native
from ..batches import BATCHES
from ..store import Item, MaskFile, check_class_list, image_size, picture_suffix
from .flags import degenerate

Maker = Callable[[str, np.ndarray], dict[str, Any]]
"""What makes a row, but for its paths, of a sample's name and pixels of each id."""


@dataclass(frozen=True)
class Rebuilt:
    """rows: of metadata.jsonl, by the samples' names. notes: a line each on what could not be known."""

    classes: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


def rebuild(folder: Path) -> Rebuilt:
    """The classes and rows of the samples that are in a dataset's folder: every picture below images/ with a label map of its name.

    Raises UserError when the folder is an unfinished run's, which only that command can complete, or when nothing says the classes' names.
    """
    if (folder / BATCHES).is_dir() and not (folder / native.METADATA).is_file():
        raise UserError(f"{folder}: is the output of a run that has not finished; start it again to complete it")
    classes = find_classes(folder)
    command = read_toml(folder / native.CONFIG).get("command") if (folder / native.CONFIG).is_file() else None
    makers = {"generate": _generated, "mask": _masked}
    about, notes = makers.get(str(command), _imported)(folder, classes)
    rows = []
    unreadable = unmasked = 0
    pictures = (path for path in (folder / native.IMAGES).rglob("*") if path.is_file() and not path.name.endswith(".part"))
    for image in sorted(pictures, key=lambda path: path.as_posix()):
        file_name = image.relative_to(folder).as_posix()
        name = native.sample_name(file_name)
        mask = f"{native.MASKS}/{name}.png"
        if not (folder / mask).is_file():
            unmasked += 1
            continue
        try:
            item = Item(name, image, picture_suffix(image), MaskFile(folder / mask))
            labels = item.label_map()
            whole = image_size(item) == labels.shape
        except UserError:
            labels, whole = np.zeros(0), False
        if not whole and command in makers:
            raise UserError(f"{folder}: sample '{name}' is damaged as well; start `seediff {command}` again, which makes everything again")
        if not whole:
            unreadable += 1
            continue
        rows.append({"file_name": file_name, "mask": mask, **about(name, np.bincount(labels.ravel(), minlength=256))})
    if unmasked:
        notes.append(f"{unmasked} pictures have no label map and got no row")
    if unreadable:
        notes.append(f"{unreadable} samples cannot be read and got no row")
    return Rebuilt(classes, tuple(rows), tuple(notes))


def find_classes(folder: Path) -> tuple[str, ...]:
    """The classes of a dataset: of classes.txt, else of seediff.toml, else those that rows name ids of, when that is every id.

    Raises UserError when none of them says it.
    """
    if (folder / native.CLASSES).is_file():
        return native.read_classes(folder)
    if (folder / native.CONFIG).is_file() and isinstance(named := read_toml(folder / native.CONFIG).get("classes"), list):
        check_class_list([str(name) for name in named])
        return tuple(str(name) for name in named)
    ids: dict[int, str] = {}
    for row in native.read_rows(folder) if (folder / native.METADATA).is_file() else ():
        ids.update(zip(row.get("class_ids") or (), row.get("classes") or (), strict=False))
    if not ids or sorted(ids) != list(range(1, len(ids) + 1)):
        raise UserError(
            f"{folder / native.CLASSES}: is lost, and neither {native.CONFIG} nor {native.METADATA} says what every id is called; "
            "write it anew: a line an id, the first `background`"
        )
    return tuple(ids[i] for i in sorted(ids))


def _imported(folder: Path, classes: Sequence[str]) -> tuple[Maker, list[str]]:
    def about(name: str, counts: np.ndarray) -> dict[str, Any]:
        return _shown([one for i, one in enumerate(classes, 1) if counts[i]], classes, counts)

    return about, ["rows hold only what the files show: classes, class_ids and area"]


def _generated(folder: Path, classes: Sequence[str]) -> tuple[Maker, list[str]]:
    from ...config.generate import GenerateConfig, load_config
    from ...prompts.specs import sample_seed, sample_specs

    config = load_config(folder / native.CONFIG, GenerateConfig)
    version = read_toml(folder / native.CONFIG).get("version")
    numbers = (int(path.stem) for path in (folder / native.IMAGES).glob("*.*") if path.stem.isdecimal() and len(path.stem) < 10)
    specs = sample_specs(config, max(numbers, default=-1) + 1)
    lost = config.reject and not (folder / native.REJECTED).is_file()
    rejected = native.read_rows(folder, native.REJECTED) if config.reject and not lost else []
    attempts = Counter(row.get("index") for row in rejected)
    notes = [] if config.reject else ["flags but `degenerate` are not known"]
    if lost:
        notes.append(f"{native.REJECTED} is lost too: seed and attempt are not known")

    def about(name: str, counts: np.ndarray) -> dict[str, Any]:
        if not name.isdecimal() or int(name) >= len(specs):
            return _shown([one for i, one in enumerate(classes, 1) if counts[i]], classes, counts)
        spec = specs[int(name)]
        attempt = attempts[spec.index]
        shown = _shown(spec.classes, classes, counts)
        return {
            "prompt": spec.prompt,
            "classes": shown["classes"],
            "class_ids": shown["class_ids"],
            **({} if lost else {"seed": sample_seed(config.seed, spec.index, attempt), "attempt": attempt}),
            "flags": [] if config.reject else degenerate(shown["area"]),
            "area": shown["area"],
            "model": config.model_label,
            "method": config.mask.method,
            "version": version,
        }

    return about, notes


def _masked(folder: Path, classes: Sequence[str]) -> tuple[Maker, list[str]]:
    from ...config.generate import load_config
    from ...config.names import join_classes
    from ...config.photographs import MaskPhotosConfig

    config = load_config(folder / native.CONFIG, MaskPhotosConfig)
    version = read_toml(folder / native.CONFIG).get("version")

    def about(name: str, counts: np.ndarray) -> dict[str, Any]:
        soft = folder / native.SOFT
        found = tuple(one for i, one in enumerate(classes, 1) if counts[i] or (soft / f"{name}_{i}.png").is_file())
        shown = _shown(found, classes, counts)
        return {
            "prompt": config.prompts[0].replace("{class}", join_classes(found)) if found else "",
            "classes": shown["classes"],
            "class_ids": shown["class_ids"],
            "flags": degenerate(shown["area"]) if found else ["no_class"],
            "area": shown["area"],
            "model": config.model_label,
            "method": config.mask.method,
            "version": version,
        }

    return about, ["source, asked and presence of photographs are not known, nor flags but `degenerate` and `no_class`"]


def _shown(found: Sequence[str], classes: Sequence[str], counts: np.ndarray) -> dict[str, Any]:
    ids = [list(classes).index(name) + 1 for name in found]
    area = {name: round(float(counts[i]) / int(counts.sum()), 6) for name, i in zip(found, ids, strict=True)}
    return {"classes": list(found), "class_ids": ids, "area": area}
