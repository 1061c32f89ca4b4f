"""Checks a native dataset: `check_dataset` reads all its files and returns findings, some of which fix.py repairs.

Errors are problems that break training code or that it would learn from wrongly; warnings are for a person to judge.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...errors import UserError
from ...files.label_maps import voc_palette
from ...files.messages import printable, shown
from ...files.pictures import open_picture
from ...files.reading import PICTURE, inside, read_bytes
from ...files.tensors import read_header
from ...masks.flags import LARGEST, SMALLEST, degenerate
from ...workers import in_threads
from .. import native
from ..encoding import read_label_map
from ..reviews import REVIEWED, REVIEWS, is_replaced, read_actions
from ..rows import check_class_list, check_row, numbered_rows, shown_classes
from ..sample import check_kind, picture_suffix
from ..split import difference_hash, near_groups, same_groups
from ..store import check_finished, instance_file
from .stats import Measured, Stats, measure, row_flags, summarize

DAMAGED = ("missing", "picture", "mask", "instances", "soft", "tensors")
"""Kinds of findings about a sample's file that is missing or damaged; `where` names the file."""
COUNTED = ("class_ids", "area")
"""Fields of a row that can be recomputed from its label map. They are read with any type, compared with the map, and rewritten by
`--fix`."""
ROUNDING = 1e-6
"""Tolerance for areas, which are written with six digits."""


@dataclass(frozen=True)
class Finding:
    """A finding about a dataset. kind: one word. where: a file relative to the folder, `row N`, or a class. text: the problem."""

    kind: str
    level: Literal["error", "warning"]
    where: str
    text: str


@dataclass(frozen=True)
class Checked:
    """The result of a check. findings: errors first. stats: of the samples whose label map could be read; None if classes.txt or
    metadata.jsonl could not be read."""

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


@dataclass(frozen=True)
class _Sample:
    """The result of reading the files of a row. sha256, look: hashes of its picture, or None if the picture could not be read."""

    findings: Sequence[Finding]
    measured: Measured | None = None
    sha256: str | None = None
    look: int | None = None


@contextmanager
def _caught(findings: list[Finding], kind: str, where: str) -> Iterator[None]:
    """Turns a UserError in the block into a finding."""
    try:
        yield
    except UserError as error:
        findings.append(Finding(kind, "error", where, error.reason))


def _leads_out(folder: Path, path: Path) -> bool:
    """Whether the path is, or goes through, a link that leads out of the folder."""
    with _caught(outside := list[Finding](), "path", ""):
        inside(folder, path)
    return bool(outside)


def check_dataset(folder: Path | str, follow: Callable[[Sequence[int]], Iterable[int]] = iter) -> Checked:
    """Reads the whole dataset and returns the findings. follow: wraps the samples' positions, to show progress.

    Raises UserError only if `folder` is not a folder, or belongs to a run that is not finished.
    """
    folder = Path(folder)
    check_finished(folder)
    findings: list[Finding] = []
    classes = _attempt(lambda: native.read_classes(folder), folder / native.CLASSES, findings)
    rows = _attempt(lambda: [row for _, row in numbered_rows(folder / native.METADATA, native.ABSENT)], folder / native.METADATA, findings)
    if classes is not None:
        _attempt(lambda: check_class_list(classes, folder / native.CLASSES), folder / native.CLASSES, findings)
    if classes is None or findings:
        return Checked(tuple(findings), None)
    if not rows:
        findings.append(Finding("structure", "error", native.METADATA, f"{folder / native.METADATA}: has no rows"))
        return Checked(tuple(findings), summarize([], classes))  # not `_orphans`: it would list every file
    samples = list(in_threads(lambda i: _check_sample(folder, i + 1, rows[i], classes), range(len(rows)), follow))
    names = [_name(row) for row in rows]
    findings += [finding for sample in samples for finding in sample.findings]
    findings += _files(folder)
    findings += _check_reviews(folder, rows)
    for first, second, *_ in same_groups([name or number for number, name in enumerate(names)]):
        findings.append(Finding("name", "error", f"row {second + 1}", f"row {first + 1} has a sample '{names[first]}' too"))
    findings += [Finding("orphan", "warning", name, "no row of metadata.jsonl belongs to it") for name in _orphans(folder, rows, names)]
    findings += _duplicates(samples, rows)
    stats = summarize([sample.measured for sample in samples if sample.measured], classes)
    findings += [Finding("class", "warning", shown.name, "no picture shows this class") for shown in stats.classes if not shown.images]
    return Checked(tuple(sorted(findings, key=lambda finding: finding.level != "error")), stats)


def _attempt(read: Callable[[], Any], path: Path, findings: list[Finding]) -> Any:
    """The result of `read`, or None if it raises UserError, which adds a finding about the file."""
    try:
        return read()
    except UserError as error:
        findings.append(Finding("structure" if path.exists() else "lost", "error", path.name, str(error)))
        return None


def _check_sample(folder: Path, number: int, row: dict[str, Any], classes: Sequence[str]) -> _Sample:
    where = f"row {number}"
    findings: list[Finding] = []
    with _caught(findings, "value", where):
        check_row({key: value for key, value in row.items() if key not in COUNTED}, where)
    if findings:
        return _Sample(findings)
    paths: dict[str, Path] = {}
    for field in ("file_name", "mask"):
        with _caught(findings, "path", where):
            paths[field] = inside(folder, row.get(field), where, field)
            if not paths[field].is_file():
                del paths[field]
                findings.append(Finding("missing", "error", row[field], f"{where} names it, but there is no such file"))
    size = sha256 = look = measured = None
    if image := paths.get("file_name"):
        with _caught(findings, "picture", row["file_name"]):
            size, sha256, look = _read_image(image)
    if mask := paths.get("mask"):
        with _caught(findings, "mask", row["mask"]):
            measured = measure(read_label_map(mask), row_flags(row))
        if measured is not None:
            findings += _check_labels(mask, where, row, measured, size, classes)
    findings += _check_objects(folder, row, paths.get("mask"), classes)
    findings += _check_soft(folder, row, size)
    findings += _check_attention(folder, row)
    return _Sample(findings, measured, sha256, look)


def _read_image(path: Path) -> tuple[tuple[int, int], str, int]:
    """(height, width), SHA-256 of the bytes and difference hash of a picture, which is decoded to its end."""
    picture_suffix(path)
    data = read_bytes(path, PICTURE)
    with open_picture(data, str(path)) as picture:
        check_kind(picture, str(path))
        return (picture.height, picture.width), hashlib.sha256(data).hexdigest(), difference_hash(picture)


def _check_labels(
    path: Path, where: str, row: Mapping[str, Any], measured: Measured, size: tuple[int, int] | None, classes: Sequence[str]
) -> Iterator[Finding]:
    mask = row["mask"]
    if size is not None and measured.size != size:
        yield Finding("size", "error", mask, f"is {measured.size}, but its picture is {size}; both are (height, width)")
    ids = np.flatnonzero(measured.counts).tolist()
    if outside := [i for i in ids if len(classes) < i < native.IGNORE]:
        yield Finding("id", "error", mask, f"has id {outside[0]}, but {native.CLASSES} names 0 to {len(classes)} (255: ignore)")
        return  # what follows would only say so again
    with open_picture(path) as picture:
        palette = picture.getpalette("RGB") if picture.mode == "P" else None
    # Writers may leave out colours above the highest id in use.
    if palette is None or any(palette[3 * i : 3 * i + 3] != voc_palette()[3 * i : 3 * i + 3] for i in ids):
        yield Finding("palette", "warning", mask, "its colours are not Pascal VOC's, which viewers show")
    try:
        expected = shown_classes(measured.counts, classes, row.get("classes", []), where)
    except UserError as error:
        yield Finding("classes", "error", where, str(error).removeprefix(f"{where}: "))
        return
    for field, value in expected.items():
        if field in row and not _agrees(row[field], value):
            yield Finding("row", "error", where, f"'{field}' is {shown(row[field])}, but by its label map {shown(value)}")
    if "flags" in row:
        yield from _check_flags(row, where, expected["area"])


def _agrees(said: Any, counted: Any) -> bool:
    """Whether a row's value is the counted one; areas may differ by rounding."""
    if not isinstance(counted, Mapping) or not isinstance(said, Mapping):
        return said == counted
    numbers = all(isinstance(value, int | float) for value in said.values())
    return numbers and set(said) == set(counted) and all(abs(said[name] - counted[name]) <= ROUNDING for name in counted)


def _check_flags(row: Mapping[str, Any], where: str, areas: Mapping[str, float]) -> Iterator[Finding]:
    """Flags that contradict the label map; those about attention cannot be checked with it."""
    flags = row["flags"]
    for name, share in areas.items():
        flagged, beside = f"degenerate:{name}" in flags, min(abs(share - SMALLEST), abs(share - LARGEST)) > ROUNDING
        if beside and flagged != bool(degenerate({name: share})):
            said = "is flagged" if flagged else "is not flagged"
            yield Finding("flag", "warning", where, f"{said} degenerate:{name}, but that mask has {share:.2%} of the picture")
    if "no_class" in flags and any(areas.values()):
        yield Finding("flag", "warning", where, "is flagged no_class, but its label map has one")
    for flag in flags:
        _, colon, name = flag.partition(":")
        if colon and name not in areas and name not in (row.get("asked") or ()):
            yield Finding("flag", "warning", where, f"flag '{flag}' is of a class that is not in this picture")


def _check_objects(folder: Path, row: Mapping[str, Any], mask: Path | None, classes: Sequence[str]) -> list[Finding]:
    """Objects in a row whose file is missing or cannot be used, or that have no pixel of their class in the label map."""
    findings, ids = list[Finding](), row.get("instances")
    if ids is None or (name := _name(row)) is None:
        return findings
    file = f"{native.INSTANCES}/{name}.png"
    if not (path := folder / file).is_file():
        return [Finding("missing", "error", file, "its row names objects, but there is no such file")]
    if mask is None or _leads_out(folder, path):  # reported elsewhere
        return findings
    with _caught(findings, "instances", file):
        read = instance_file(folder, name, row, len(classes))
        assert read is not None
        labels, instances = read_label_map(mask), read()
        if instances.numbers.shape != labels.shape:
            raise UserError(f"is {instances.numbers.shape}, but its label map is {labels.shape}; both are (height, width)")
        here = np.unique(instances.numbers[instances.label_map() == labels]).tolist()
        lost = sorted({*range(1, len(ids) + 1)} - {*here})
        if lost and not is_replaced(row):  # the objects of such a sample are those of its original mask
            findings.append(Finding("objects", "warning", file, f"object {lost[0]} has no pixel of its class in the label map"))
    return findings


def _check_soft(folder: Path, row: Mapping[str, Any], size: tuple[int, int] | None) -> list[Finding]:
    """Soft masks that are missing, although the dataset keeps them, or that cannot be used."""
    name, ids, findings = _name(row), row.get("class_ids"), list[Finding]()
    if name is None or not isinstance(ids, list) or not (folder / native.SOFT).is_dir() or is_replaced(row):
        return findings
    for file in (f"{native.SOFT}/{name}_{class_id}.png" for class_id in ids):
        if not (folder / file).is_file():
            findings.append(Finding("missing", "error", file, "the dataset keeps soft masks, but there is no such file"))
        elif not _leads_out(folder, folder / file):  # links are reported by `_files`
            with _caught(findings, "soft", file):
                if (shape := read_label_map(folder / file).shape) != (size or shape):
                    raise UserError(f"is {shape}, but its picture is {size}; both are (height, width)")
    return findings


def _check_attention(folder: Path, row: Mapping[str, Any]) -> Iterator[Finding]:
    """Attention that is missing, although the dataset keeps it. `mask` captures none of a picture without a class, where only a new mask
    may show one."""
    if (name := _name(row)) is None or not row.get("classes") or is_replaced(row) or not (folder / native.ATTENTION).is_dir():
        return
    if not (folder / (file := f"{native.ATTENTION}/{name}.safetensors")).is_file():
        yield Finding("missing", "error", file, "the dataset keeps attention, but there is no such file")


def _files(folder: Path) -> Iterator[Finding]:
    """Findings about optional files and objects: links that lead out of the folder, and files of attention/ and steps/ whose length is not
    that in their header."""
    for kind in (*native.EXTRAS, native.INSTANCES):
        top = folder / kind
        outside = _leads_out(folder, top)
        for path in [top, *([] if outside else sorted(top.rglob("*")))]:
            if path.is_symlink() and _leads_out(folder, path):
                yield Finding("path", "error", path.relative_to(folder).as_posix(), "is a link that leads out of the dataset folder")
            elif path.suffix == ".safetensors" and kind in (native.ATTENTION, native.STEPS) and not top.is_symlink():
                try:
                    read_header(path)
                except UserError:
                    yield Finding("tensors", "error", path.relative_to(folder).as_posix(), "is no whole safetensors file")


def _check_reviews(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Findings about review.jsonl and corrected masks. Errors: an invalid line; a corrected mask that is missing or differs from the saved
    one. Warnings: a line about an unknown sample; a file in reviewed/ that no line names."""
    findings: list[Finding] = []
    actions = _attempt(lambda: read_actions(folder), folder / REVIEWS, findings)
    if actions is None:
        return findings
    masks = {native.sample_name(row["file_name"]): row.get("mask") for row in rows if isinstance(row.get("file_name"), str)}
    last = {action.sample: action for action in actions}
    for name in sorted(last.keys() - masks.keys()):
        absent = f"is about a sample '{printable(name)}', which metadata.jsonl does not have"
        findings.append(Finding("review", "warning", REVIEWS, absent))
    for name in sorted(last.keys() & masks.keys()):
        action, about = last[name], f"the corrected mask of sample '{printable(name)}'"
        with _caught(findings, "review", REVIEWS):
            if not action.mask:
                continue
            if not (path := inside(folder, action.mask, REVIEWS, "mask")).is_file():
                findings.append(Finding("review", "error", action.mask, f"{about} is gone"))
            elif hashlib.sha256(read_bytes(path, PICTURE)).hexdigest() != action.hash:
                other = f"{about} is not the one that was saved (its SHA-256 differs from {REVIEWS})"
                findings.append(Finding("review", "error", action.mask, other))
    known, top = {action.mask for action in actions}, folder / REVIEWED
    for path in sorted(top.rglob("*")) if top.is_dir() and not top.is_symlink() else ():
        if path.is_file() and (where := path.relative_to(folder).as_posix()) not in known:
            findings.append(Finding("orphan", "warning", where, f"no line of {REVIEWS} names it"))
    return findings


def _name(row: Mapping[str, Any]) -> str | None:
    """A sample's name: the path of its picture below images/, without suffix. None for a row without such a path."""
    file_name = row.get("file_name")
    return file_name.removeprefix(f"{native.IMAGES}/").rpartition(".")[0] if isinstance(file_name, str) else None


def _orphans(folder: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str | None]) -> Iterator[str]:
    """Files in the folders of samples that belong to no row, relative to `folder`."""
    named = {os.path.normpath(str(row[field])) for row in rows for field in ("file_name", "mask") if isinstance(row.get(field), str)}
    known = {*names}
    for kind in (native.IMAGES, native.MASKS, native.INSTANCES, native.SOFT, native.ATTENTION, native.STEPS):
        top = folder / kind
        for path in [] if top.is_symlink() else sorted(top.rglob("*")):  # the target of a link may be in use elsewhere
            if not path.is_file() and not path.is_symlink():
                continue
            file, (stem, _, suffix) = path.relative_to(folder).as_posix(), path.relative_to(top).as_posix().rpartition(".")
            whole = stem if kind in (native.ATTENTION, native.INSTANCES) else stem.rpartition("_")[0]
            if suffix == "part" or not (file in named if kind in (native.IMAGES, native.MASKS) else whole in known):
                yield file


def _duplicates(samples: Sequence[_Sample], rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    read = [
        (row["file_name"], sample.sha256, sample.look)
        for row, sample in zip(rows, samples, strict=True)
        if sample.sha256 is not None and sample.look is not None
    ]

    def others(group: Sequence[int]) -> str:
        names = [read[place][0] for place in group[1:]]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    for group in same_groups([sha256 for _, sha256, _ in read]):
        yield Finding("duplicate", "warning", read[group[0]][0], f"the same bytes as {others(group)}")
    for group in near_groups([look for _, _, look in read]):
        if len({read[place][1] for place in group}) > 1:
            yield Finding("alike", "warning", read[group[0]][0], f"looks like {others(group)}")
