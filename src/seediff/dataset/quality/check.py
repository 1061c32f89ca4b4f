"""Checks a native dataset: `check_dataset` reads all its files and returns what is wrong with them.

Errors are problems that break training code or that it would learn from wrongly; warnings are for a person to judge.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from ...errors import UserError
from ...files.messages import show_json
from ...files.pictures import open_picture
from ...files.reading import PICTURE, inside, read_bytes
from ...files.tensors import read_header
from ...workers import in_threads
from .. import native
from ..encoding import checked_mask, read_label_map
from ..reviews import REVIEWED, REVIEWS, is_replaced, read_actions
from ..rows import check_class_list, check_row, numbered_rows, shown_classes
from ..sample import check_kind, picture_suffix
from ..split import difference_hash, near_groups, same_groups
from ..store import check_finished, instance_file
from .stats import Measured, Stats, measure, row_flags, summarize

T = TypeVar("T")
FOLDERS = (native.IMAGES, native.MASKS, native.INSTANCES, *native.EXTRAS, REVIEWED)
DAMAGED = ("structure", "missing", "picture", "mask", "instances", "soft", "tensors")
"""Kinds of findings about a file that is missing or damaged, and that another copy would replace."""


@dataclass(frozen=True)
class Finding:
    """A finding about a dataset. kind: one word. where: a file relative to the folder, `row N`, or a class. text: the
    problem.
    """

    kind: str
    level: Literal["error", "warning"]
    where: str
    text: str


@dataclass(frozen=True)
class Checked:
    """The result of a check. findings: errors first. stats: of the samples whose label map could be read; None if
    classes.txt or metadata.jsonl could not be read."""

    findings: tuple[Finding, ...]
    stats: Stats | None

    @property
    def errors(self) -> int:
        return sum(finding.level == "error" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """For json.dumps."""
        return {
            "errors": self.errors,
            "warnings": len(self.findings) - self.errors,
            "findings": [asdict(finding) for finding in self.findings],
            "stats": self.stats and self.stats.as_json(),
        }


@dataclass
class _Findings:
    """Collects findings about the files in a folder."""

    folder: Path
    found: list[Finding] = field(default_factory=list)

    def add(self, kind: str, where: str, text: str, level: Literal["error", "warning"] = "error") -> None:
        self.found.append(Finding(kind, level, where, text))

    def attempt(self, kind: str, where: str, read: Callable[[], T]) -> T | None:
        """The result of `read`, or None if it raises UserError, which becomes a finding."""
        try:
            return read()
        except UserError as error:
            # The subject of an error about a list is its line, which `where` does not name.
            return self.add(kind, where, str(error) if kind == "structure" else error.reason)

    def read(self, kind: str, file: str, read: Callable[[Path], T]) -> T | None:
        """Like `attempt`, for a file of the folder, which must exist and not be a link that leads out of it."""
        path = self.folder / file
        if self.attempt("path", file, lambda: inside(self.folder, path)) is None:
            return None
        if not path.is_file():
            return self.add("missing", file, "there is no such file")
        return self.attempt(kind, file, lambda: read(path))


def check_dataset(folder: Path | str, follow: Callable[[Sequence[int]], Iterable[int]] = iter) -> Checked:
    """Reads the whole dataset and returns the findings. follow: wraps the samples' positions, to show progress.

    Raises UserError only if `folder` is not a folder, or belongs to a run that is not finished.
    """
    folder = Path(folder)
    check_finished(folder)
    findings = _Findings(folder)
    classes = findings.attempt("structure", native.CLASSES, lambda: _read_classes(folder))
    rows = findings.attempt("structure", native.METADATA, lambda: _read_rows(folder))
    if classes is None or rows is None:
        return Checked(tuple(findings.found), None)
    kinds = [name for name in FOLDERS if (folder / name).is_dir()]
    names: list[str | int] = []
    measures: list[Measured] = []
    pictures: list[tuple[str, str, int]] = []

    def check(number: int) -> tuple[_Findings, str | None, Measured | None, tuple[str, int] | None]:
        return _check_sample(folder, f"row {number + 1}", rows[number], classes, kinds)

    for number, (found, name, measured, hashes) in enumerate(in_threads(check, range(len(rows)), follow)):
        findings.found += found.found
        names.append(name or number)
        measures += [measured] if measured else []
        pictures += [(rows[number]["file_name"], *hashes)] if hashes else []
    for first, second, *_ in same_groups(names):
        findings.add("name", f"row {second + 1}", f"row {first + 1} has a sample '{names[first]}' too")
    _check_files(findings, kinds, rows, {*names})
    _check_looks(findings, pictures)
    by_level = sorted(findings.found, key=lambda finding: finding.level != "error")
    return Checked(tuple(by_level), summarize(measures, classes))


def _read_classes(folder: Path) -> tuple[str, ...]:
    classes = native.read_classes(folder)
    check_class_list(classes, folder / native.CLASSES)
    return classes


def _read_rows(folder: Path) -> list[dict[str, Any]]:
    rows = [row for _, row in numbered_rows(folder / native.METADATA, native.ABSENT)]
    if not rows:
        raise UserError(folder / native.METADATA, "has no rows")
    return rows


def _check_sample(
    folder: Path, where: str, row: dict[str, Any], classes: Sequence[str], kinds: Sequence[str]
) -> tuple[_Findings, str | None, Measured | None, tuple[str, int] | None]:
    """The findings about a row and its files; its sample's name, None for a row that cannot be used; the measures of
    its label map; and the SHA-256 of its picture's bytes and difference hash."""
    findings = _Findings(folder)
    findings.attempt("value", where, lambda: check_row(row, where))
    for key in ("file_name", "mask") if not findings.found else ():
        findings.attempt("path", where, lambda key=key: inside(folder, row.get(key), where, key))
    if findings.found:
        return findings, None, None, None
    name = native.sample_name(row["file_name"])
    kept = [] if is_replaced(row) else kinds  # these files describe the original mask
    size, hashes = findings.read("picture", row["file_name"], _read_image) or (None, None)
    measured = None
    if (labels := findings.read("mask", row["mask"], lambda path: _read_labels(path, size, len(classes)))) is not None:
        measured = measure(labels, row_flags(row))
        findings.attempt("row", where, lambda: _check_counts(row, measured.counts, classes, where))
        if "instances" in row:
            file = f"{native.INSTANCES}/{name}.png"
            findings.read("instances", file, lambda _: _check_objects(findings, name, file, row, labels, classes))
    for class_id in row.get("class_ids", ()) if native.SOFT in kept else ():
        file = f"{native.SOFT}/{name}_{class_id}.png"
        findings.read("soft", file, lambda path: _check_shape(read_label_map(path), size, "picture"))
    if native.ATTENTION in kept and row.get("classes"):  # `mask` captures nothing of a picture without a class
        findings.read("tensors", f"{native.ATTENTION}/{name}.safetensors", read_header)
    return findings, name, measured, hashes


def _read_image(path: Path) -> tuple[tuple[int, int], tuple[str, int]]:
    """(height, width) of a picture, which is decoded to its end, and its hashes."""
    picture_suffix(path)
    data = read_bytes(path, PICTURE)
    with open_picture(data, str(path)) as picture:
        check_kind(picture, str(path))
        return (picture.height, picture.width), (hashlib.sha256(data).hexdigest(), difference_hash(picture))


def _check_shape(values: np.ndarray, shape: tuple[int, ...] | None, other: str) -> None:
    if values.shape != (shape or values.shape):
        raise UserError(f"is {values.shape}, but its {other} is {shape}; both are (height, width)")


def _read_labels(path: Path, size: tuple[int, int] | None, classes: int) -> np.ndarray:
    labels = read_label_map(path)
    _check_shape(labels, size, "picture")
    if outside := [i for i in np.unique(labels).tolist() if classes < i < native.IGNORE]:
        raise UserError(f"has id {outside[0]}, but {native.CLASSES} names 0 to {classes} (255: ignore)")
    return labels


def _check_counts(row: Mapping[str, Any], counts: np.ndarray, classes: Sequence[str], where: str) -> None:
    """Whether a row names the classes that its label map shows. counts: the map's pixels of each id."""
    said = {**row, "area": {name: round(share, 6) for name, share in row.get("area", {}).items()}}
    for key, value in shown_classes(counts, classes, row.get("classes", ()), where).items():
        if key in row and said[key] != value:
            raise UserError(where, f"'{key}' is {show_json(row[key])}, but by its label map {show_json(value)}")


def _check_objects(
    findings: _Findings, name: str, file: str, row: Mapping[str, Any], labels: np.ndarray, classes: Sequence[str]
) -> None:
    """Whether the objects in a file are those that its row names, and are in the label map."""
    read = instance_file(findings.folder, name, row, len(classes))
    assert read is not None
    objects = read()
    _check_shape(objects.numbers, labels.shape, "label map")
    here = np.unique(objects.numbers[objects.label_map() == labels]).tolist()
    lost = sorted({*range(1, len(row["instances"]) + 1)} - {*here})
    if lost and not is_replaced(row):  # the objects of such a sample are those of its original mask
        findings.add("objects", file, f"object {lost[0]} has no pixel of its class in the label map", "warning")


def _check_files(
    findings: _Findings, folders: Sequence[str], rows: Sequence[Mapping[str, Any]], names: set[Any]
) -> None:
    """Corrected masks that are not those that were saved, tensors of steps that are cut off, and files of no sample."""
    actions = findings.attempt("structure", REVIEWS, lambda: read_actions(findings.folder))
    if actions is None:
        folders, actions = [name for name in folders if name != REVIEWED], []
    for name, action in sorted({action.sample: action for action in actions}.items()):
        if name not in names:
            findings.add(
                "review", REVIEWS, f"is about a sample '{name}', which {native.METADATA} does not have", "warning"
            )
        elif action.mask and action.hash:
            findings.read("review", action.mask, lambda path, sha256=action.hash: checked_mask(path, sha256))
    named = {os.path.normpath(str(row.get(key))) for row in rows for key in ("file_name", "mask")} | {
        action.mask for action in actions
    }
    for kind in folders:
        if findings.attempt("path", kind, lambda kind=kind: inside(findings.folder, findings.folder / kind)) is None:
            continue  # what is there may be in use elsewhere
        for path in sorted((findings.folder / kind).rglob("*")):
            if path.is_dir() and not path.is_symlink():
                continue
            file, own = (path.relative_to(top).as_posix() for top in (findings.folder, findings.folder / kind))
            own = own.rpartition("_" if kind in (native.SOFT, native.STEPS) else ".")[0]
            if path.suffix == ".part" or (
                file not in named if kind in (native.IMAGES, native.MASKS, REVIEWED) else own not in names
            ):
                findings.add("orphan", file, "belongs to no sample", "warning")
            elif kind == native.STEPS:
                findings.read("tensors", file, read_header)


def _check_looks(findings: _Findings, read: Sequence[tuple[str, str, int]]) -> None:
    """Pictures with the same bytes, and pictures that look alike. read: file, SHA-256 and difference hash of each
    picture.
    """

    same = [("duplicate", "the same bytes as", group) for group in same_groups([sha256 for _, sha256, _ in read])]
    near = [
        ("alike", "looks like", group)
        for group in near_groups([look for *_, look in read])
        if len({read[i][1] for i in group}) > 1
    ]
    for kind, text, group in same + near:
        first, second, *more = [read[i][0] for i in group]
        findings.add(kind, first, f"{text} {second}" + (f" and {len(more)} more" if more else ""), "warning")
