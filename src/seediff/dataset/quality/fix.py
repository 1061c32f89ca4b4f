"""Repairs of what `check_dataset` found, where they are safe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...files.outputs import move_inside, write_atomic, write_inside
from .. import native
from ..batches import open_run
from ..rows import numbered_rows
from ..store import read_label_map
from .check import Finding, expected_row
from .rebuild import rebuild

ORPHANS = "orphans"
FIXABLE = ("lost", "palette", "row", "orphan")


def fix_dataset(folder: Path | str, findings: Sequence[Finding]) -> list[str]:
    """Repair the findings of FIXABLE kinds, and say in a line each what was done: lost classes.txt and metadata.jsonl are rebuilt from the
    samples, palettes written anew, `classes`, `class_ids` and `area` of rows counted again from the label map, orphans moved to the folder
    orphans/. Every file is replaced atomically.

    Raises UserError when another run is at work in the folder, or it cannot be written to.
    """
    folder = Path(folder)
    if not any(one.kind in FIXABLE for one in findings):
        return []
    if any(one.kind == "lost" for one in findings) and not _has_samples(folder):
        raise UserError(
            f"{folder}: is no dataset of SeeDiff that lost a file: it has no picture in {native.IMAGES}/ with a label map of its name in "
            f"{native.MASKS}/; nothing was written"
        )
    try:
        with open_run(folder):
            return list(_fixes(folder, findings))
    except UserError as error:
        raise UserError(str(error).replace("--out ", "", 1)) from error


def _has_samples(folder: Path) -> bool:
    """Whether anything can be rebuilt: another format's folder, or a segmenter's, is not to become a dataset without a row."""
    pictures = (path.relative_to(folder).as_posix() for path in (folder / native.IMAGES).rglob("*.*"))
    return any((folder / native.MASKS / f"{native.sample_name(name)}.png").is_file() for name in pictures)


def _fixes(folder: Path, findings: Sequence[Finding]) -> Iterator[str]:
    if lost := [one.where for one in findings if one.kind == "lost"]:
        found = rebuild(folder)
        if native.CLASSES in lost:
            write_atomic(folder / native.CLASSES, native.classes_text(found.classes))
        if native.METADATA in lost:
            write_atomic(folder / native.METADATA, native.jsonl(found.rows))
            yield f"{native.METADATA} has {len(found.rows)} rows again" + "".join(f"; {note}" for note in found.notes)
        if native.CLASSES in lost:
            yield f"{native.CLASSES} has {len(found.classes)} classes again"
    for one in findings:
        if one.kind == "palette":
            write_inside(folder, one.where, native.encode_mask(read_label_map(folder / one.where)))
    if painted := sum(one.kind == "palette" for one in findings):
        yield f"{painted} label maps have Pascal VOC's palette now; their ids are as they were"
    if wrong := {int(one.where.removeprefix("row ")) for one in findings if one.kind == "row"}:
        classes, rows = native.read_classes(folder), [row for _, row in numbered_rows(folder / native.METADATA)]
        for number in wrong:
            labels = read_label_map(native.path_inside(folder, rows[number - 1], "mask", f"row {number}"))
            rows[number - 1] = {**rows[number - 1], **expected_row(rows[number - 1], np.bincount(labels.ravel(), minlength=256), classes)}
        write_atomic(folder / native.METADATA, native.jsonl(rows))
        yield f"{len(wrong)} rows of {native.METADATA} have the classes and areas of their label maps now"
    for one in findings:
        if one.kind == "orphan":
            move_inside(folder, one.where, f"{ORPHANS}/{one.where}")
    if moved := sum(one.kind == "orphan" for one in findings):
        yield f"{moved} files without a sample are in {ORPHANS}/ now"
