"""Checks a native dataset: `check_dataset` reads all its files and returns what is wrong with them.

Errors break training, or teach it something wrong. Warnings are for a person to judge.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from ..config.class_names import alike_names
from ..errors import UserError
from ..files.messages import FEW, first_of, show_json
from ..files.names import IGNORE, REJECTED
from ..files.reading import Json, read_json_lines
from ..files.tensors import read_header
from ..report.set_summary import doubts
from ..rows.doubt import changed_since
from ..rows.row import Row, as_row
from ..rows.values import NO_SPLIT, UNLABELLED, part_of, shown_classes
from ..workers import Follow, in_threads
from . import native
from .copies import Appearance, appearance, copy_key, near_pairs
from .native import RowReader, check_native
from .reading import Reading, Tally
from .reviews import read_actions
from .sample import SOFT, Sample
from .select import Measured, Stats, measure, set_stats
from .split import positions_of

T = TypeVar("T")
Level = Literal["error", "warning"]
MOST_NAMED = 5
"""The most pairs of pictures that look the same that are named: pairs in two parts first, then the most alike."""
LARGE = 16_000_000
"""Pixels of a picture, above which threads read one at a time: each takes ten bytes a pixel."""
ONE_AT_A_TIME = threading.Lock()
FILE_FINDINGS = ("structure", "image", "mask", "instances", "soft", "attention")
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
    rows: Sequence[Row] = ()
    """The rows that can be read, with what people decided."""
    changed: int = 0
    """The number of masks that `doubt` has not seen (`changed_since`)."""

    @property
    def errors(self) -> int:
        """The number of findings that are errors."""
        return sum(finding.level == "error" for finding in self.findings)

    def to_json(self) -> Json:
        """The result in values that `json.dumps` can write."""
        return {
            "errors": self.errors,
            "warnings": len(self.findings) - self.errors,
            "findings": [asdict(finding) for finding in self.findings],
            "stats": self.stats and self.stats.to_json(),
        }


class _Findings(list[Finding]):
    """Collects findings."""

    def add(self, kind: str, where: str, text: str, level: Level = "error", fix: str = "") -> None:
        """Adds a finding. The arguments are its fields."""
        self.append(Finding(kind, level, where, text, fix))

    def attempt(self, kind: str, place: str | None, read: Callable[[], T]) -> T | None:
        """What `read` returns. If it raises UserError, this adds a finding and returns None. kind, place: of the
        finding; without a place, it is the file that the error names."""
        try:
            return read()
        except UserError as error:
            file = Path(str(error.subject)).name
            return self.add(kind, place or file, error.reason if place else str(error), fix=error.fix)


def check_dataset(folder: Path | str, follow: Follow = iter) -> Checked:
    """Reads all files of a dataset and returns what is wrong with them. follow: wraps the samples, to show progress.
    Raises UserError only if `folder` is no dataset, or if the run that makes it is not finished."""
    folder = Path(folder)
    check_native(folder)
    findings = _Findings()
    path = folder / native.METADATA

    def read_lists() -> tuple[tuple[str, ...], list[Json], RowReader]:
        actions = read_actions(folder)  # before the classes, which may get more meanwhile, but never fewer
        classes = native.read_classes(folder)
        rows = [values for _, values in read_json_lines(path, Json, absent=native.ABSENT)]
        return classes, rows, RowReader(folder, classes, actions)

    lists = findings.attempt("structure", None, read_lists)
    if lists is None:
        return Checked(tuple(findings), None)
    classes, rows, reader = lists
    if not rows and not (folder / REJECTED).is_file():  # a run may have rejected every draw
        findings.add("structure", native.METADATA, "has no rows")
    samples: list[Sample] = []
    supported: list[bool] = []
    for number, row in enumerate(rows, 1):
        place = f"row {number}"
        sample = findings.attempt("row", place, lambda row=row, place=place: reader.sample(as_row(row, place), place))
        if sample is not None:
            samples.append(sample)
            supported.append(row.get("support") is not None)
            if part_of(sample.row.part) is None:
                used = f"which {NO_SPLIT}: `train` uses it, or asks for --split beside other parts"
                findings.add("row", place, f"'split' is {show_json(sample.row.split)}, {used}", "warning")
    measures = list[Measured]()
    empty = list[str]()
    pictures = dict[str, Appearance]()
    tally = Tally()
    reads = in_threads(partial(_read_files, classes), samples, follow)
    for sample, (found, measured, picture) in zip(samples, reads, strict=True):
        findings += found
        if measured is not None:
            measures.append(measured)
            if not measured.counts[1:IGNORE].any() and UNLABELLED not in (sample.row.flags or ()):
                empty.append(sample.name)
            tally.add(measured.counts)
        if picture is not None:
            pictures[sample.name] = picture
    _find_copies([sample for sample in samples if sample.name in pictures], [*pictures.values()], findings)
    if 0 < len(empty) < len(measures):
        few = f"{len(empty)} of {len(measures)} masks"
        findings.add("empty", native.METADATA, f"{few} show no class: {first_of(empty, FEW)}", "warning")
    for line in alike_names(classes):
        findings.add("names", native.CLASSES, line, "warning")
    by_level = sorted(findings, key=lambda finding: finding.level != "error")
    reading = native.read_as(classes, samples).counted(classes, tally, (), folder)
    read = [sample.row for sample in samples]
    changed = changed_since(supported, read)
    return Checked(tuple(by_level), set_stats(measures, classes), reading, doubts(read), read, changed)


def _find_copies(samples: Sequence[Sample], pictures: Sequence[Appearance], findings: _Findings) -> None:
    """Adds warnings about pictures with the same pixels, about pictures that look the same, and about copies of a
    picture in different parts. pictures: the appearance of each sample's picture."""
    files = [sample.row.file_name or "" for sample in samples]
    parts = [sample.row.part for sample in samples]
    digests = [picture.digest for picture in pictures]
    for first, *others in positions_of(digests):
        if others:
            findings.add("duplicate", files[first], f"the same pixels as {files[others[0]]}", "warning")
    keys = [*map(copy_key, samples, digests)]
    for group in positions_of(keys):
        (part, file), *others = {parts[i]: files[i] for i in group}.items()
        for other, copy in others:
            problem = f"is in '{part}', and a copy of it or its source, {copy}, in '{other}'"
            findings.add("split", file, f"{problem}: scores on it are too high", "warning")
    near = [(i, j) for i, j in near_pairs([one.steps for one in pictures]).tolist() if keys[i] != keys[j]]
    near.sort(key=lambda pair: parts[pair[0]] == parts[pair[1]])
    for i, j in near[:MOST_NAMED]:
        where = f" in '{parts[i]}' and '{parts[j]}': scores on them are too high" if parts[i] != parts[j] else ""
        findings.add("near", files[i], f"looks the same as {files[j]}{where}", "warning")
    if len(near) > MOST_NAMED:
        count = len({*chain(*near)})
        findings.add("near", native.METADATA, f"in all, {count} images look the same as another", "warning")


def _read_files(classes: Sequence[str], sample: Sample) -> tuple[_Findings, Measured | None, Appearance | None]:
    """(findings, measured, picture) of a sample: what is wrong with its files, the measures of its label map, and the
    appearance of its picture. The last two are None for a file that cannot be read. classes: the dataset's."""
    findings = _Findings()
    row = sample.row
    picture, mask = row.file_name or "", row.mask_file_name or ""
    measured: Measured | None = None
    found = findings.attempt("image", picture, partial(_appearance, sample))
    if found is None:
        return findings, measured, None  # no other file can be checked without its size
    labels = findings.attempt("mask", mask, lambda: sample.labels(len(classes)))
    if labels is not None:
        measured = measure(labels)
        findings.attempt("row", picture, partial(_check_counts, row, measured.counts, classes))
        findings.attempt("instances", f"{native.INSTANCES}/{sample.name}.png", lambda: sample.instances)
    for (kind, class_id), file in sample.extras.items():
        name = native.extra_file(kind, sample.name, class_id)
        if kind == SOFT and class_id is not None:
            findings.attempt(kind, name, partial(sample.soft_level, class_id))
        elif kind == native.ATTENTION and isinstance(file, Path):
            findings.attempt(kind, name, partial(read_header, file))
    return findings, measured, found


def _appearance(sample: Sample) -> Appearance:
    """The appearance of a sample's picture. Raises UserError for a picture that cannot be read to its end."""
    with ONE_AT_A_TIME if math.prod(sample.size()) > LARGE else nullcontext():
        sample.picture()
        return appearance(sample.image)


def _check_counts(row: Row, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Raises UserError unless a row has the areas of the classes in its label map. counts: (256,), the number of pixels
    of each id in the label map. classes: the dataset's classes."""
    shown, written = shown_classes(counts, classes, row.class_names).area, row.area or {}
    wrong = [name for name, share in written.items() if abs(shown.get(name, 0) - share) > 2e-6]
    if wrong or (row.classes is not None and shown.keys() != {*row.class_names}):
        raise UserError(f"names {show_json(written or row.class_names)}, but its label map shows {show_json(shown)}")
