"""The native folder, opened and written; and folders that are none yet, because their run was stopped and can be continued."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import tee
from pathlib import Path
from typing import Any

from ..config.photographs import SegmentPhotosConfig
from ..errors import UserError
from ..files.documents import read_toml
from ..files.messages import shown
from ..files.output_folders import put, staged
from ..files.outputs import write_new
from ..files.reading import SETTINGS, leads_out, path_inside, read_bytes
from ..workers import in_order
from . import native
from .encoding import InstanceFile, Instances, MaskFile, encode_grey
from .reviews import is_corrected
from .rows import check_class_list, check_name
from .sample import Sample, copy_file
from .shapes.following import FollowedFile

CHUNK = 8
"""Samples that go to another process together: one takes a millisecond or two."""
LAST_FILES = (native.METADATA, SegmentPhotosConfig.last_file)
"""What a run writes last, by which its output is known to be finished."""
INSTANCE_KEYS = ("instances", "instance_scores")
"""Of a row: what belongs to the file of its objects."""


def check_finished(folder: Path) -> None:
    """Raise UserError where there is no such folder, and where a run has begun in it and not finished."""
    if not folder.is_dir():
        wrong = "is a file; name the folder of a dataset" if folder.exists() else "there is no such folder"
        raise UserError(f"{folder}: {wrong}")
    # A finished run has removed its records; whatever else is missing then was lost, which `check` tells.
    if (folder / native.BATCHES).is_dir() and not any((folder / name).is_file() for name in LAST_FILES):
        try:
            command = read_toml(folder / native.CONFIG).get("command")
        except UserError:
            command = None
        named = command if isinstance(command, str) and command.isalpha() else "command"
        raise UserError(f"{folder}: the run that makes it is not finished; the same `seediff {named}` continues it")


def open_native(folder: Path | str) -> tuple[tuple[str, ...], list[Sample]]:
    """The classes of a native dataset, without the background, and its samples in the order of metadata.jsonl; with the masks that
    people corrected in place of the originals, and what they decided in their rows' `review`.

    Raises UserError naming the file and row of what is not there, leads out of the folder or is there twice, and for the folder of a run
    that is not finished.
    """
    folder = Path(folder)
    check_finished(folder)
    classes = native.read_classes(folder)
    samples: list[Sample] = []
    names: set[str] = set()
    extras = find_extras(folder)
    made_by = cache(partial(native.made_by, folder))
    has_instances = (folder / native.INSTANCES).is_dir()
    for number, (row, sha256, original) in enumerate(native.reviewed_rows(folder, classes), 1):
        where = f"{folder / native.METADATA}, row {number}"
        image, mask = path_inside(folder, row, "file_name", where), path_inside(folder, row, "mask", where)
        for path in (image, mask):
            if not path.is_file():
                raise UserError(f"{where}: {path}: there is no such file")
        name = native.sample_name(row["file_name"])
        if name in names:
            raise UserError(f"{where}: a sample '{name}' is there already")
        names.add(name)
        if unknown := [label for label in row.get("classes") or () if label not in classes]:
            raise UserError(f"{where}: class {shown(unknown[0])} is not in {native.CLASSES}")
        kept = extras.get(name, {})
        if is_corrected(row):  # soft masks say nothing of a mask that a person made
            kept = {key: path for key, path in kept.items() if key[0] != native.SOFT}
        if made := made_by(row.get("made")):
            kept = {**kept, (native.MADE, None): made}
        said = tuple(tuple(row.pop(key, ())) for key in INSTANCE_KEYS)  # a Sample has them as its `instances`
        instances = instance_file(folder, name, *said) if has_instances else None
        if instances is not None and sha256:
            before = path_inside(folder, original, "mask", where)
            instances = FollowedFile(instances, MaskFile(before), MaskFile(mask, sha256))
        samples.append(Sample(image, MaskFile(mask, sha256), instances, row, name=name, extras=kept))
    return classes, samples


def instance_file(folder: Path, name: str, class_ids: tuple[int, ...], scores: tuple[float, ...]) -> InstanceFile | None:
    """What reads the objects of a sample; None where there are none."""
    path = folder / native.INSTANCES / f"{name}.png"
    if not path.is_file():
        return None
    if leads_out(folder, path):
        raise UserError(f"{path}: is a link that leads out of the dataset folder; what is there is nothing to copy")
    return InstanceFile(path, class_ids, scores)


def instance_row(instances: Instances) -> dict[str, Any]:
    """What a row says of its objects: their class ids, and scores where there are any."""
    scores = {"instance_scores": [round(score, 4) for score in instances.scores]} if instances.scores else {}
    return {"instances": list(instances.class_ids), **scores}


def find_extras(folder: Path) -> dict[str, dict[tuple[str, int | None], Path]]:
    """Sample name → the `extras` of it. Raises UserError for one that a link takes from outside of the dataset."""
    extras: dict[str, dict[tuple[str, int | None], Path]] = {}
    for kind in native.EXTRAS:
        beyond = leads_out(folder, folder / kind)
        for path in sorted((folder / kind).rglob("*.*")):
            if beyond or (path.is_symlink() and leads_out(folder, path)):
                raise UserError(f"{path}: is a link that leads out of the dataset folder; what is there is nothing to copy")
            name, class_id = path.relative_to(folder / kind).with_suffix("").as_posix(), None
            if kind != native.ATTENTION:
                name, _, number = name.rpartition("_")
                class_id = int(number) if number.isdecimal() else None
            if path.suffix in (".png", ".safetensors") and (class_id is None) == (kind == native.ATTENTION):
                extras.setdefault(name, {})[kind, class_id] = path
    return extras


def read_dataset(folder: Path | str) -> Iterator[Sample]:
    """The samples of a native dataset, one after the other. Raises UserError as `open_native`."""
    yield from open_native(folder)[1]


def write_native(
    out: Path | str, classes: Sequence[str], samples: Iterable[Sample], *, about: Mapping[str, Any], link: bool = False, workers: int = 1
) -> int:
    """Write a native dataset, with its card and preview, and return how many samples it has. `out` appears only when everything is in it.

    Rows keep what they hold; file_name, mask, classes, class_ids and area are those of the files written. Samples' `extras` come along.
    about: what the card and the preview say of the whole (`command`, `source`, …: texts, numbers, lists). link: hard links to pictures
    and extras, where the file system allows them, instead of copies. workers: processes that read label maps; for several, samples must be
    picklable. The bytes are the same. Raises UserError naming the sample that cannot be used.
    """
    from ..report import load_trace, write_preview
    from ..report.card import data_card

    check_class_list(classes)
    rows: list[dict[str, Any]] = []
    names: set[str] = set()
    made: dict[Path, str] = {}
    with staged(out) as part, in_order(partial(_encoded, classes=tuple(classes)), workers, chunk=CHUNK) as encoded:
        kept, sent = tee(samples)
        for sample, (files, row) in zip(kept, encoded(sent), strict=True):
            check_name(sample.name, names)
            sample.put_image(part / row["file_name"], link=link)
            for path, data in files.items():
                put(part / path, data)
            for (kind, class_id), path in sample.extras.items():
                if kind == native.MADE:
                    row["made"] = made[path] = made.get(path) or _put_made(part, path)
                    continue
                ending = path.suffix if class_id is None else f"_{class_id}{path.suffix}"
                copy_file(path, part / kind / f"{sample.name}{ending}", link=link)
            rows.append(row)
        write_new(part / native.CLASSES, native.classes_text(classes))
        write_new(part / native.METADATA, native.jsonl(rows))
        write_new(part / native.CARD, data_card(about=about, rows=rows, class_names=classes).encode("utf-8"))
        steps = [load_trace(path) for path in sorted((part / native.STEPS).rglob("*.safetensors"))]
        write_preview(part, summary=about, rows=rows, class_names=classes, steps=steps)
    return len(rows)


def _encoded(sample: Sample, *, classes: Sequence[str]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a sample's label map and objects, by their paths, and its row. May run in another process."""
    labels = sample.labels(len(classes))
    file_name, mask = native.sample_files(sample.name, sample.suffix)
    row = {"file_name": file_name, "mask": mask, **sample.row(labels, classes)}
    row.pop("made", None)
    files = {mask: sample.mask_data(labels)}
    if (instances := sample.instances) is not None:
        files[f"{native.INSTANCES}/{sample.name}.png"] = encode_grey(instances.numbers)
        row |= instance_row(instances)
    return files, row


def _put_made(part: Path, path: Path) -> str:
    """The name of a configuration's copy among those of a set, by its content, as sets that are merged often have the same."""
    data = read_bytes(path, SETTINGS)
    name = f"{native.MADE}/{hashlib.sha256(data).hexdigest()[:16]}.toml"
    if not (part / name).exists():
        put(part / name, data)
    return name
