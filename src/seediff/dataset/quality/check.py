"""Checks a native dataset: `check_dataset` reads all its files and returns what is wrong with them.

Errors are problems that break training code or that it would learn from wrongly; warnings are for a person to judge.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from ...errors import UserError
from ...files.documents import read_json_lines
from ...files.messages import show_json
from ...files.reading import PICTURE, inside, read_bytes
from ...files.tensors import read_header
from ...workers import in_threads
from .. import native
from ..encoding import checked_mask, read_label_map
from ..native_folder import check_finished, instance_file
from ..reviews import REVIEWED, REVIEWS, is_replaced, read_actions
from ..rows import check_row, shown_classes
from ..sample import Sample, check_ids, open_own, picture_suffix
from ..split import positions_of
from .stats import Measured, Stats, measure, row_flags, summarize

T = TypeVar("T")
Level = Literal["error", "warning"]
FOLDERS = (native.IMAGES, native.MASKS, native.INSTANCES, *native.EXTRAS, REVIEWED)
DAMAGED = ("structure", "missing", "picture", "mask", "instances", "soft", "tensors")
"""Kinds of findings about a file that is missing or damaged, and that another copy would replace."""


@dataclass(frozen=True)
class Finding:
    """A finding about a dataset. kind: one word. where: a file relative to the folder, `row N`, or a class."""

    kind: str
    level: Level
    where: str
    text: str


@dataclass(frozen=True)
class Checked:
    """The result of a check. findings: errors first. stats: of the samples whose label map could be read; None without
    readable classes.txt and metadata.jsonl."""

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


class _Findings(list[Finding]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def add(self, kind: str, where: str, text: str, level: Level = "error") -> None:
        self.append(Finding(kind, level, where, text))

    def attempt(self, kind: str, where: str, read: Callable[[], T]) -> T | None:
        """The result of `read`, or None if it raises UserError, which becomes a finding."""
        try:
            return read()
        except UserError as error:
            # The subject of an error about a list is its line, which `where` does not name.
            return self.add(kind, where, str(error) if kind == "structure" else error.reason)

    def read(self, kind: str, file: str, read: Callable[[Path], T]) -> T | None:
        """Like `attempt`, for a file of the folder, which must exist and not be a link that leads out of it."""
        if (path := self.attempt("path", file, lambda: inside(self.folder, self.folder / file))) is None:
            return None
        if not path.is_file():
            return self.add("missing", file, "no such file")
        return self.attempt(kind, file, lambda: read(path))


def check_dataset(folder: Path | str, follow: Callable[[Sequence[int]], Iterable[int]] = iter) -> Checked:
    """Reads the whole dataset and returns the findings. follow: wraps the samples' positions, to show progress. Raises
    UserError only if `folder` is not a folder, or belongs to a run that is not finished."""
    folder = Path(folder)
    check_finished(folder)
    findings = _Findings(folder)
    classes = findings.attempt("structure", native.CLASSES, lambda: native.read_classes(folder))
    rows = findings.attempt("structure", native.METADATA, lambda: _read_rows(folder))
    if classes is None or rows is None:
        return Checked(tuple(findings), None)
    kinds = [name for name in FOLDERS if (folder / name).is_dir()]
    names: list[str | int] = []
    measures: list[Measured] = []
    pictures: list[tuple[str, str]] = []

    def check(number: int) -> _Sample:
        return _check_sample(folder, f"row {number + 1}", rows[number], classes, kinds)

    for number, one in enumerate(in_threads(check, range(len(rows)), follow)):
        findings += one.findings
        names.append(one.name or number)
        measures += filter(None, [one.measured])
        pictures += filter(None, [one.picture])
    for first, *others in positions_of(names):
        for second in others[:1]:
            findings.add("name", f"row {second + 1}", f"row {first + 1} also has a sample '{names[first]}'")
    _check_files(findings, kinds, rows, {*names})
    _check_copies(findings, pictures)
    by_level = sorted(findings, key=lambda finding: finding.level != "error")
    return Checked(tuple(by_level), summarize(measures, classes))


def _read_rows(folder: Path) -> list[dict[str, Any]]:
    lines = read_json_lines(folder / native.METADATA, dict[str, Any], absent=native.ABSENT)
    rows = [row for _, row in lines]
    if not rows and not (folder / native.REJECTED).is_file():
        raise UserError(folder / native.METADATA, "has no rows")
    return rows


@dataclass
class _Sample:
    """What a row and its files say. name: None for a row that cannot be used. picture: file and SHA-256."""

    findings: _Findings
    name: str | None = None
    measured: Measured | None = None
    picture: tuple[str, str] | None = None


def _check_sample(
    folder: Path, where: str, row: dict[str, Any], classes: Sequence[str], kinds: Sequence[str]
) -> _Sample:
    findings = _Findings(folder)
    findings.attempt("value", where, lambda: check_row(row, where))
    for key in ("file_name", "mask") if not findings else ():
        findings.attempt("path", where, lambda key=key: inside(folder, row.get(key), where, key))
    if findings:
        return _Sample(findings)
    file, name = row["file_name"], native.sample_name(row["file_name"])
    kept = [] if is_replaced(row) else kinds  # these files describe the original mask
    soft = {class_id: f"{native.SOFT}/{name}_{class_id}.png" for class_id in row.get("class_ids", ())}
    found = _Sample(findings, name, picture=findings.read("picture", file, lambda path: (file, _decoded_hash(path))))
    picture = folder / file if found.picture else None
    sample = Sample(picture, partial(read_label_map, folder / row["mask"]), metadata=row, name=name)

    def read(_: Path) -> np.ndarray:
        if picture:
            return sample.labels(len(classes))
        return check_ids(sample.unchecked_labels(), len(classes), where)  # without its picture, of any size

    if (labels := findings.read("mask", row["mask"], read)) is not None:
        found.measured = measured = measure(labels, row_flags(row))
        findings.attempt("row", where, lambda: _check_counts(row, measured.counts, classes, where))
        if "instances" in row:
            objects = f"{native.INSTANCES}/{name}.png"
            findings.read("instances", objects, lambda _: _check_objects(findings, objects, sample, labels, classes))
    for class_id, path in soft.items() if native.SOFT in kept else ():
        one = sample.replace(metadata={"class_ids": [class_id]}, extras={(native.SOFT, class_id): folder / path})
        findings.read("soft", path, lambda path, one=one: one.soft_levels() if picture else read_label_map(path))
    if native.ATTENTION in kept and row.get("classes"):  # `mask` captures nothing of a picture without a class
        findings.read("tensors", f"{native.ATTENTION}/{name}.safetensors", read_header)
    return found


def _decoded_hash(path: Path) -> str:
    """The SHA-256 of the bytes of a picture that can be decoded to its end."""
    picture_suffix(path)
    data = read_bytes(path, PICTURE)
    with open_own(data, str(path)) as picture:
        picture.load()
    return hashlib.sha256(data).hexdigest()


def _check_counts(row: Mapping[str, Any], counts: np.ndarray, classes: Sequence[str], where: str) -> None:
    """Whether a row names the classes that its label map shows. counts: the map's pixels of each id."""
    said = {**row, "area": {name: round(share, 6) for name, share in row.get("area", {}).items()}}
    for key, value in shown_classes(counts, classes, row.get("classes", ()), where).items():
        if key in row and said[key] != value:
            raise UserError(where, f"'{key}' is {show_json(row[key])}, but by its label map {show_json(value)}")


def _check_objects(findings: _Findings, file: str, sample: Sample, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Whether the objects in a file are those that its row names, and are in the label map."""
    row = sample.metadata
    objects = instance_file(findings.folder, sample.name, row, len(classes))
    found = sample.replace(instances=objects).instances if sample.source else objects and objects()
    if found is None or found.numbers.shape != labels.shape:
        return  # the picture or the label map, which then has a finding, is of another size
    here = np.unique(found.numbers[found.label_map() == labels]).tolist()
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


def _check_copies(findings: _Findings, read: Sequence[tuple[str, str]]) -> None:
    """Pictures with the same bytes. read: file and SHA-256 of each."""
    for first, *others in positions_of(sha256 for _, sha256 in read):
        if others:
            more = f" and {len(others) - 1} more" * (len(others) > 1)
            findings.add("duplicate", read[first][0], f"the same bytes as {read[others[0]][0]}{more}", "warning")
