"""Checks a native dataset: `check_dataset` reads all its files and returns what is wrong with them.

Errors break training, or teach it something wrong. Warnings are for a person to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from ...config.class_names import alike_names
from ...errors import UserError
from ...files.messages import show_json
from ...files.reading import ABSENT, Json, read_json_lines
from ...files.tensors import read_header
from ...report.tables import doubts
from ...rows.parts import NO_SPLIT, part_of
from ...rows.row import Row, as_row, said
from ...rows.shown import shown_classes
from ...workers import Follow, in_threads
from .. import native
from ..native import RowReader, check_finished, check_native
from ..reading import Reading, Tally
from ..renames import shown_in
from ..reviews import REVIEWS, class_names, read_actions
from ..sample import SOFT, Sample
from ..shapes.objects import Objects
from ..split import group_copies, pixel_digest, positions_of
from .stats import Measured, Stats, measure, summarize

T = TypeVar("T")
Level = Literal["error", "warning"]
FILE_FINDINGS = ("structure", "missing", "picture", "mask", "instances", "soft", "tensors")
"""Kinds of findings about a missing or damaged file, which a copy of the file would mend."""


@dataclass(frozen=True)
class Finding:
    """Something that `check` found."""

    kind: str
    """The kind of finding, in a word such as `missing`."""
    level: Level
    where: str
    """What it is about: a file in the dataset, or `row N`."""
    text: str
    fix: str = ""
    """What would mend it, if that is known. It is the end of `text`, too."""


@dataclass(frozen=True)
class Checked:
    """The result of a check."""

    findings: tuple[Finding, ...]
    """Errors first."""
    stats: Stats | None
    """The statistics of all samples whose label map can be read; None if classes.txt or metadata.jsonl cannot be
    read."""
    reading: Reading = field(default_factory=Reading)
    """How the set is understood."""
    doubts: Sequence[str] = ()
    """What to know before the masks are used."""

    @property
    def errors(self) -> int:
        """The number of findings that are errors."""
        return sum(finding.level == "error" for finding in self.findings)

    def as_json(self) -> Json:
        """The result in values that `json.dumps` can write."""
        return {
            "errors": self.errors,
            "warnings": len(self.findings) - self.errors,
            "findings": [asdict(finding) for finding in self.findings],
            "stats": self.stats and self.stats.as_json(),
        }


class _Findings(list[Finding]):
    """Collects the findings about a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def add(self, kind: str, where: str, text: str, level: Level = "error", fix: str = "") -> None:
        """Adds a finding. The arguments are its fields."""
        self.append(Finding(kind, level, where, text, fix))

    def attempt(self, kind: str, place: str, read: Callable[[], T]) -> T | None:
        """What `read` returns. If it raises UserError, this adds a finding and returns None. kind, place: of the
        finding."""
        try:
            return read()
        except UserError as error:
            # The subject of an error about a list is its line, which `place` does not name.
            return self.add(kind, place, str(error) if kind == "structure" else error.reason, fix=error.fix)

    def read(self, kind: str, file: str, read: Callable[[], T]) -> T | None:
        """Like `attempt`, for a file in the folder. A missing file is a finding, too."""
        if (self.folder / file).is_file():
            return self.attempt(kind, file, read)
        return self.add("missing", file, ABSENT)


def check_dataset(folder: Path | str, follow: Follow = iter) -> Checked:
    """Reads all files of a dataset and returns what is wrong with them. follow: wraps the samples, to show progress.
    Raises UserError only if `folder` is no dataset, or if the run that makes it is not finished."""
    folder = Path(folder)
    check_finished(folder)
    check_native(folder)
    findings, path = _Findings(folder), folder / native.METADATA
    # Before the classes, which may get more meanwhile, but never fewer
    actions = findings.attempt("structure", REVIEWS, lambda: read_actions(folder))
    classes = findings.attempt("structure", native.CLASSES, lambda: native.read_classes(folder))
    rows = findings.attempt("structure", native.METADATA, lambda: [*read_json_lines(path, Json, absent=native.ABSENT)])
    if classes is None or rows is None or actions is None:
        return Checked(tuple(findings), None)
    if not rows and not (folder / native.REJECTED).is_file():  # a run may have rejected every draw
        findings.add("structure", native.METADATA, "has no rows")
    reader = findings.attempt("structure", ", ".join(native.EXTRAS), lambda: RowReader(folder, classes, actions))
    if reader is None:
        return Checked(tuple(findings), None)

    samples: list[Sample] = []
    for number, (_, row) in enumerate(rows, 1):
        place = f"row {number}"
        sample = findings.attempt("row", place, lambda row=row, place=place: reader.sample(as_row(row, place), place))
        if sample is not None:
            samples.append(sample)
            if part_of(sample.row.part) is None:
                used = f"which {NO_SPLIT}: `train` uses it, or asks for --split beside other parts"
                findings.add("row", place, f"'split' is {show_json(said(sample.row.split))}, {used}", "warning")
    kinds = [name for name in native.EXTRAS if (folder / name).is_dir()]
    measures: list[Measured] = []
    digests: dict[str, str] = {}
    reads = in_threads(partial(_read_files, folder, classes, kinds), samples, follow)
    for sample, (found, measured, digest) in zip(samples, reads, strict=True):
        findings += found
        measures += filter(None, [measured])
        if digest is not None:
            digests[sample.name] = digest

    _find_copies([sample for sample in samples if sample.name in digests], [*digests.values()], findings)
    given = findings.attempt("names", REVIEWS, lambda: class_names(classes, actions, {*shown_in(samples)}))
    if given is None:
        return Checked(tuple(findings), None)
    names = [*given.values()]
    for line in alike_names(filter(None, names)):
        findings.add("names", native.CLASSES, line, "warning")
    by_level = sorted(findings, key=lambda finding: finding.level != "error")
    tally = Tally()
    for measured in measures:
        tally.add(measured.counts)
    reading = native.read_as(folder, names, samples).counted(names, tally, (), folder)
    stats = summarize(measures, names)
    return Checked(tuple(by_level), stats, reading, doubts([sample.row for sample in samples]))


def _find_copies(samples: Sequence[Sample], digests: Sequence[str], findings: _Findings) -> None:
    """Adds warnings about pictures with the same pixels, and about copies of a picture in different parts. digests: the
    `pixel_digest` of each sample's picture."""
    files = [said(sample.row.file_name) or "" for sample in samples]
    for first, *others in positions_of(digests):
        if others:
            more = f" and {len(others) - 1} more" * (len(others) > 1)
            findings.add("duplicate", files[first], f"the same pixels as {files[others[0]]}{more}", "warning")
    for group in group_copies(samples, digests):
        (part, file), *others = {samples[i].row.part: files[i] for i in group}.items()
        for other, copy in others:
            problem = f"is in '{part}', and a copy of it or its source, {copy}, in '{other}'"
            findings.add("split", file, f"{problem}: scores on it are too high", "warning")


def _read_files(
    folder: Path, classes: Sequence[str], kinds: Sequence[str], sample: Sample
) -> tuple[_Findings, Measured | None, str | None]:
    """(findings, measured, digest) of a sample: what is wrong with its files, the measures of its label map, and the
    `pixel_digest` of its picture. The last two are None for a file that cannot be read. folder: the dataset. classes:
    its classes. kinds: the folders of EXTRAS that it has."""
    findings, row, name = _Findings(folder), sample.row, sample.name
    picture, mask = said(row.file_name) or "", said(row.mask_file_name) or ""
    measured: Measured | None = None
    digest = findings.read("picture", picture, partial(_pixels, sample))
    if digest is None:
        return findings, measured, digest  # no other file can be checked without its size
    labels = findings.read("mask", mask, lambda: sample.labels(len(classes)))
    if labels is not None:
        measured = measure(labels)
        findings.attempt("row", picture, partial(_check_counts, row, measured.counts, classes))
        if sample.has_objects:
            file = f"{native.INSTANCES}/{name}.png"
            objects = findings.read("instances", file, lambda: sample.instances)
            lost = objects and _lost(objects, labels)
            if lost:
                findings.add("objects", file, f"object {lost[0]} has no pixel of its class in the label map", "warning")

    # The other files describe the original mask.
    if row.replaced:
        return findings, measured, digest
    for class_id in [*sample.soft_ids] * (SOFT in kinds):
        findings.read("soft", native.extra_file(SOFT, name, class_id), partial(sample.soft_level, class_id))
    if native.ATTENTION in kinds and row.named:  # `mask` captures nothing of a picture without a class
        file = native.extra_file(native.ATTENTION, name, None)
        findings.read("tensors", file, partial(read_header, folder / file))
    return findings, measured, digest


def _pixels(sample: Sample) -> str:
    """The `pixel_digest` of a sample's picture. Raises UserError for a picture that cannot be read to its end."""
    sample.picture()
    return pixel_digest(sample.image)


def _check_counts(row: Row, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Raises UserError unless a row names the classes in its label map, and their areas. counts: (256,), the number of
    pixels of each id in the label map. classes: the dataset's classes."""
    written, shown = row.to_json(), shown_classes(counts, classes, row.named)
    area = {name: round(share, 6) for name, share in (said(row.area) or {}).items()}
    rounded = row.replace(area=area).to_json()
    for key, value in Row().showing(shown).to_json().items():
        if key in written and rounded[key] != value:
            raise UserError(f"'{key}' is {show_json(written[key])}, but by its label map {show_json(value)}")


def _lost(objects: Objects, labels: np.ndarray) -> list[int]:
    """The numbers of objects that have no pixel of their class in the label map. labels: (H, W) uint8."""
    shown = replace(objects, numbers=np.where(objects.label_map() == labels, objects.numbers, 0))
    return [number for number, area in enumerate(shown.areas, 1) if not area]
