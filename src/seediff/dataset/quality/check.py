"""Checks a native dataset: `check_dataset` reads all its files and returns what is wrong with them.

Errors are problems that break training code or that it would learn from wrongly; warnings are for a person to judge.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from ...errors import UserError
from ...files.documents import read_json_lines
from ...files.messages import show_json
from ...files.reading import ABSENT, IMAGE, inside, read_bytes
from ...files.tensors import read_header
from ...workers import Follow, in_threads
from .. import native
from ..encoding import checked_mask, read_label_map
from ..native import RowReader, check_finished
from ..reviews import REVIEWED, REVIEWS, Action, is_replaced, read_actions
from ..rows import SPLITS, check_row, shown_classes
from ..sample import Sample, check_ids, image_suffix, open_own
from ..split import positions_of
from .stats import Measured, Stats, measure, row_flags, summarize

T = TypeVar("T")
Level = Literal["error", "warning"]
FOLDERS = (native.IMAGES, native.MASKS, native.INSTANCES, *native.EXTRAS, REVIEWED)
DAMAGED = ("structure", "missing", "picture", "mask", "instances", "soft", "tensors", "review")
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

    def attempt(self, kind: str, place: str, read: Callable[[], T]) -> T | None:
        """The result of `read`, or None if it raises UserError, which becomes a finding."""
        try:
            return read()
        except UserError as error:
            # The subject of an error about a list is its line, which `place` does not name.
            return self.add(kind, place, str(error) if kind == "structure" else error.reason)

    def read(self, kind: str, file: str, read: Callable[[Path], T]) -> T | None:
        """Like `attempt`, for a file inside the folder, which must be there."""
        path = self.folder / file
        return self.attempt(kind, file, lambda: read(path)) if path.is_file() else self.add("missing", file, ABSENT)

    def read_extra(self, kind: str, file: str, path: Path | None, read: Callable[[Path], Any]) -> None:
        """Like `read`, for a file of a sample's `extras`. path: None if it is not there, or leads out."""
        if path is not None:
            self.attempt(kind, file, lambda: read(path))
        elif not (self.folder / file).is_symlink():  # one that leads out has a finding
            self.add("missing", file, ABSENT)


Opened = tuple[str, Sample]
"""The place of a row, and its sample."""


def check_dataset(folder: Path | str, follow: Follow = iter) -> Checked:
    """Reads the whole dataset and returns the findings. follow: wraps the samples, to show progress. Raises UserError
    only if `folder` is not a folder, or belongs to a run that is not finished."""
    folder = Path(folder)
    check_finished(folder)
    findings = _Findings(folder)
    classes = findings.attempt("structure", native.CLASSES, lambda: native.read_classes(folder))
    rows = findings.attempt("structure", native.METADATA, lambda: _read_rows(folder))
    if classes is None or rows is None:
        return Checked(tuple(findings), None)

    # What the rows say, as to everybody who opens the set.
    reader = RowReader(folder, classes, attempt=findings.attempt)
    opened: list[Opened] = []
    for number, row in enumerate(rows, 1):
        place, before = f"row {number}", len(findings)
        findings.attempt("value", place, partial(check_row, row, place))
        sample = reader.sample(number, row) if len(findings) == before else None
        if sample is not None:
            opened.append((place, sample))

    # What their files hold.
    kinds = [name for name in FOLDERS if (folder / name).is_dir()]
    measures: list[Measured] = []
    images: list[tuple[str, str]] = []
    for read in in_threads(partial(_read_files, folder, classes, kinds), opened, follow):
        findings += read.findings
        measures += filter(None, [read.measured])
        images += filter(None, [read.image])
    actions = findings.attempt("structure", REVIEWS, lambda: read_actions(folder))
    _check_reviews(findings, actions or (), {sample.name for _, sample in opened})
    owned = _owned(reader, rows, [sample for _, sample in opened])
    if actions is None:
        kinds = [kind for kind in kinds if kind != REVIEWED]
    else:
        owned |= {action.mask for action in actions if action.mask}
    _check_orphans(findings, kinds, owned)
    _check_copies(findings, images)
    by_level = sorted(findings, key=lambda finding: finding.level != "error")
    return Checked(tuple(by_level), summarize(measures, classes))


def _read_rows(folder: Path) -> list[dict[str, Any]]:
    lines = read_json_lines(folder / native.METADATA, dict[str, Any], absent=native.ABSENT)
    rows = [row for _, row in lines]
    if not rows and not (folder / native.REJECTED).is_file():
        raise UserError(folder / native.METADATA, "has no rows")
    return rows


@dataclass
class _Read:
    """What the files of a sample hold. image: file and SHA-256."""

    findings: _Findings
    measured: Measured | None = None
    image: tuple[str, str] | None = None


def _read_files(folder: Path, classes: Sequence[str], kinds: Sequence[str], opened: Opened) -> _Read:
    """kinds: the folders that the set has."""
    (place, sample), findings = opened, _Findings(folder)
    row, name = sample.metadata, sample.name
    image = findings.read("picture", row["file_name"], lambda path: (row["file_name"], _decoded_hash(path)))
    found = _Read(findings, image=image)
    if image is None:
        sample = sample.replace(image=None)
    if row.get("split") not in (None, *SPLITS):
        used = f"which is none of {', '.join(SPLITS)}: it is trained on"
        findings.add("row", place, f"'split' is {show_json(row['split'])}, {used}", "warning")
    labels = findings.read("mask", row["mask"], lambda _: _labels(sample, len(classes)))
    if labels is not None:
        found.measured = measured = measure(labels, row_flags(row))
        if {*row.get("classes", ())} <= {*classes}:
            findings.attempt("row", place, lambda: _check_counts(row, measured.counts, classes, place))
        if sample.stored_instances is not None:
            objects = f"{native.INSTANCES}/{name}.png"
            findings.read("instances", objects, lambda _: _check_objects(findings, objects, sample, labels))

    # Files that describe the original mask.
    kept = () if is_replaced(row) else kinds
    for class_id in row.get("class_ids", ()) if native.SOFT in kept else ():
        one = sample.replace(metadata={"class_ids": [class_id]})
        read = read_label_map if image is None else lambda _, one=one: one.soft_levels()
        path = sample.extras.get((native.SOFT, class_id))
        findings.read_extra("soft", f"{native.SOFT}/{name}_{class_id}.png", path, read)
    if native.ATTENTION in kept and row.get("classes"):  # `mask` captures nothing of a picture without a class
        path = sample.extras.get((native.ATTENTION, None))
        findings.read_extra("tensors", f"{native.ATTENTION}/{name}.safetensors", path, read_header)
    return found


def _labels(sample: Sample, classes: int) -> np.ndarray:
    """The checked label map; of any size if the picture cannot be read."""
    if sample.source:
        return sample.labels(classes)
    return check_ids(sample.unchecked_labels(), classes, f"sample '{sample.name}'")


def _decoded_hash(path: Path) -> str:
    """The SHA-256 of the bytes of a picture that can be decoded to its end."""
    image_suffix(path)
    data = read_bytes(path, IMAGE)
    with open_own(data, str(path)) as image:
        image.load()
    return hashlib.sha256(data).hexdigest()


def _check_counts(row: Mapping[str, Any], counts: np.ndarray, classes: Sequence[str], where: str) -> None:
    """Whether a row names the classes that its label map shows. counts: the map's pixels of each id."""
    rounded = {**row, "area": {name: round(share, 6) for name, share in row.get("area", {}).items()}}
    for key, value in shown_classes(counts, classes, row.get("classes", ()), where).items():
        if key in row and rounded[key] != value:
            raise UserError(where, f"'{key}' is {show_json(row[key])}, but by its label map {show_json(value)}")


def _check_objects(findings: _Findings, file: str, sample: Sample, labels: np.ndarray) -> None:
    """Whether the objects in a file are those that its row names, and are in the label map."""
    found = sample.instances if sample.source else sample.unchecked_instances()
    if found is None or found.numbers.shape != labels.shape:
        return  # the picture or the label map, which then has a finding, is of another size
    here = np.unique(found.numbers[found.label_map() == labels]).tolist()
    lost = sorted({*range(1, len(found.class_ids) + 1)} - {*here})
    if lost and not is_replaced(sample.metadata):  # the objects of such a sample are those of its original mask
        findings.add("objects", file, f"object {lost[0]} has no pixel of its class in the label map", "warning")


def _check_reviews(findings: _Findings, actions: Sequence[Action], names: Collection[str]) -> None:
    """Decisions about no sample, and corrected masks that are not those that were saved. names: of the samples."""
    for name, action in sorted({action.sample: action for action in actions}.items()):
        if name not in names:
            problem = f"is about a sample '{name}', which {native.METADATA} does not have"
            findings.add("review", REVIEWS, problem, "warning")
        elif action.mask and action.hash:
            path = findings.attempt("path", action.mask, partial(inside, findings.folder, action.mask, REVIEWS, "mask"))
            if path:
                findings.read("review", action.mask, partial(checked_mask, sha256=action.hash))


def _owned(reader: RowReader, rows: Sequence[Mapping[str, Any]], samples: Sequence[Sample]) -> set[str]:
    """The files of samples. Soft masks are of the classes in their row."""
    owned: set[str] = set()
    for row in rows:
        owned |= {os.path.normpath(str(row.get(key))) for key in ("file_name", "mask")}
    for sample in samples:
        owned.add(f"{native.INSTANCES}/{sample.name}.png")
        for (kind, class_id), path in reader.extras.get(sample.name, {}).items():
            if kind != native.SOFT or class_id in sample.metadata.get("class_ids", ()):
                owned.add(path.relative_to(reader.folder).as_posix())
    return owned


def _check_orphans(findings: _Findings, kinds: Sequence[str], owned: Collection[str]) -> None:
    """Files in the samples' folders that no sample owns."""
    for kind in kinds:
        top = findings.folder / kind
        if not top.resolve().is_relative_to(findings.folder.resolve()):
            continue  # what is there may be in use elsewhere
        for path in sorted(top.rglob("*")):
            file = path.relative_to(findings.folder).as_posix()
            if file not in owned and (path.is_symlink() or not path.is_dir()):
                findings.add("orphan", file, "belongs to no sample", "warning")


def _check_copies(findings: _Findings, read: Sequence[tuple[str, str]]) -> None:
    """Pictures with the same bytes. read: file and SHA-256 of each."""
    for first, *others in positions_of(sha256 for _, sha256 in read):
        if others:
            more = f" and {len(others) - 1} more" * (len(others) > 1)
            findings.add("duplicate", read[first][0], f"the same bytes as {read[others[0]][0]}{more}", "warning")
