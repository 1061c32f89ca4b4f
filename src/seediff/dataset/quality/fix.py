"""Repairs findings of `check_dataset`, where that is safe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files.documents import read_toml
from ...files.output_folders import open_folder
from ...files.outputs import move_aside, write_atomic
from ...files.reading import inside
from .. import native
from ..encoding import MaskFile, read_label_map
from ..rows import check_class_list, numbered_rows, shown_classes
from ..sample import Sample
from .check import Finding

ORPHANS = "orphans"
FIXABLE = ("lost", "palette", "row", "orphan")


def fix_dataset(folder: Path | str, findings: Sequence[Finding]) -> list[str]:
    """Repairs the findings of FIXABLE kinds, and returns a line about each repair: a lost classes.txt or metadata.jsonl is rewritten from
    the other files, palettes are replaced, `classes`, `class_ids` and `area` of rows are counted again from the label map, and orphans are
    moved to the folder orphans/. Every file is replaced atomically.

    Raises UserError if another run is working in the folder, or if it cannot be written to.
    """
    folder = Path(folder)
    if not any(finding.kind in FIXABLE for finding in findings):
        return []
    if any(finding.kind == "lost" for finding in findings) and not _has_samples(folder):
        raise UserError(
            f"{folder}: is no dataset of SeeDiff that lost a file: it has no picture in {native.IMAGES}/ with a label map of its name in "
            f"{native.MASKS}/; nothing was written"
        )
    with open_folder(folder, native.RUN_FOLDERS):
        return list(_fixes(folder, findings))


def _has_samples(folder: Path) -> bool:
    """Whether there is a sample to rebuild rows from: the folder of another format or of a segmenter must not become a dataset without
    rows."""
    pictures = (path.relative_to(folder).as_posix() for path in (folder / native.IMAGES).rglob("*.*"))
    return any((folder / native.MASKS / f"{native.sample_name(name)}.png").is_file() for name in pictures)


def _fixes(folder: Path, findings: Sequence[Finding]) -> Iterator[str]:
    if lost := [finding.where for finding in findings if finding.kind == "lost"]:
        classes = find_classes(folder)
        if native.CLASSES in lost:
            write_atomic(folder / native.CLASSES, native.classes_text(classes))
            yield f"{native.CLASSES} has {len(classes)} classes again"
        if native.METADATA in lost:
            rows, without = _rows(folder, classes)
            write_atomic(folder / native.METADATA, native.jsonl(rows))
            yield f"{native.METADATA} has {len(rows)} rows again, with classes, class_ids and area only" + (
                f"; {without} pictures have no label map, or one of them cannot be read: they got no row" if without else ""
            )
    for finding in findings:
        if finding.kind == "palette":
            write_atomic(inside(folder, finding.where), native.encode_mask(read_label_map(folder / finding.where)))
    if painted := sum(finding.kind == "palette" for finding in findings):
        yield f"{painted} label maps have Pascal VOC's palette now; their ids are as they were"
    if wrong := {int(finding.where.removeprefix("row ")) for finding in findings if finding.kind == "row"}:
        classes, rows = native.read_classes(folder), [row for _, row in numbered_rows(folder / native.METADATA)]
        for number in wrong:
            labels = read_label_map(inside(folder, rows[number - 1].get("mask"), f"row {number}", "mask"))
            rows[number - 1] = {**rows[number - 1], **shown_classes(labels, classes, rows[number - 1].get("classes", []), f"row {number}")}
        write_atomic(folder / native.METADATA, native.jsonl(rows))
        yield f"{len(wrong)} rows of {native.METADATA} have the classes and areas of their label maps now"
    for finding in findings:
        if finding.kind == "orphan":
            move_aside(folder / finding.where, inside(folder, f"{ORPHANS}/{finding.where}"))
    if moved := sum(finding.kind == "orphan" for finding in findings):
        yield f"{moved} files without a sample are in {ORPHANS}/ now"


def find_classes(folder: Path) -> tuple[str, ...]:
    """The classes of a dataset: those of classes.txt, or else of seediff.toml, or else those that rows name, if they name every id.

    Raises UserError if none of these defines the classes.
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
            "write it anew: one line per id, the first `background`"
        )
    return tuple(ids[i] for i in sorted(ids))


def _rows(folder: Path, classes: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """Rows for all pictures that have a label map of the same name and size, sorted by path, and the number of other pictures.

    Raises UserError for the folder of an unfinished run, which only its command can complete.
    """
    if (folder / native.BATCHES).is_dir():
        raise UserError(f"{folder}: is the output of a run that has not finished; start it again to complete it")
    pictures = [path for path in (folder / native.IMAGES).rglob("*") if path.is_file() and not path.name.endswith(".part")]
    rows = []
    for image in sorted(pictures, key=lambda path: path.as_posix()):
        file_name = image.relative_to(folder).as_posix()
        name = native.sample_name(file_name)
        mask = f"{native.MASKS}/{name}.png"
        try:
            labels = Sample(image, MaskFile(folder / mask), name=name).label_map
        except UserError:  # also if there is no such label map, or if it has another size
            continue
        rows.append({"file_name": file_name, "mask": mask, **shown_classes(labels, classes)})
    return rows, len(pictures) - len(rows)
