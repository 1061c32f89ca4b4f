"""What is wrong with a native dataset: `check_dataset` reads every file of it and returns findings, some of which fix.py repairs.

Errors are what training code would trip over or learn wrongly from; warnings are for a person to judge.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...errors import UserError
from ...files.label_maps import voc_palette
from ...files.messages import shown
from ...files.pictures import open_picture
from ...files.reading import PICTURE, leads_out, path_inside, read_bytes
from ...files.tensors import read_header
from ...masks.flags import LARGEST, SMALLEST
from .. import native
from ..encoding import read_label_map
from ..reviews import is_corrected
from ..rows import check_class_list, check_row, numbered_rows, shown_classes
from ..sample import picture_suffix
from ..shapes.objects import check_joined, read_joined
from ..store import check_finished
from .duplicates import difference_hash, near_groups, same_groups
from .reviewed import check_reviews
from .stats import Measured, Stats, measure, row_flags, summarize

DAMAGED = ("missing", "picture", "mask", "soft", "tensors")
"""Kinds of findings about a sample's file that is not there or not whole; `where` names it."""
COUNTED = ("class_ids", "area")
"""What a row says that its label map tells better: of any type, it is compared with that, and `--fix` writes it anew."""
SLACK = 0.1
"""Photographs may be flagged by a smaller mask, whose area differs a little: flags are wrong only this share of a limit beyond it."""
ROUNDING = 1e-6
"""Areas are written with six digits."""


@dataclass(frozen=True)
class Finding:
    """Something about a dataset. kind: one word. where: a file relative to the folder, or `row N`. text: what is wrong with it."""

    kind: str
    level: Literal["error", "warning"]
    where: str
    text: str


@dataclass(frozen=True)
class Checked:
    """findings: errors first. stats: of the samples whose label map could be read; None when classes.txt or metadata.jsonl could not."""

    findings: tuple[Finding, ...]
    stats: Stats | None

    @property
    def errors(self) -> int:
        return sum(one.level == "error" for one in self.findings)

    def as_json(self) -> dict[str, Any]:
        """For json.dumps."""
        return {
            "errors": self.errors,
            "warnings": len(self.findings) - self.errors,
            "findings": [asdict(one) for one in self.findings],
            "stats": self.stats and self.stats.as_json(),
        }


@dataclass(frozen=True)
class _Sample:
    """What reading one row's files gave. sha256, look: of its picture; None when that could not be read."""

    findings: Sequence[Finding]
    measured: Measured | None = None
    sha256: str | None = None
    look: int | None = None


def check_dataset(folder: Path | str, follow: Callable[[Sequence[int]], Iterable[int]] = iter) -> Checked:
    """Read the whole dataset and return what was found. follow: wraps the samples' positions, to show progress.

    Raises UserError only when `folder` is no folder, or that of a run which is not finished.
    """
    folder = Path(folder)
    check_finished(folder)
    findings: list[Finding] = []
    classes = _attempt(lambda: _read_classes(folder), folder / native.CLASSES, findings)
    rows = _attempt(lambda: [row for _, row in numbered_rows(folder / native.METADATA, native.ABSENT)], folder / native.METADATA, findings)
    if classes is None or rows is None:
        return Checked(tuple(findings), None)
    if not rows:
        findings.append(Finding("structure", "error", native.METADATA, f"{folder / native.METADATA}: has no rows"))
        return Checked(tuple(findings), summarize([], classes))  # not everything is an orphan
    samples: list[_Sample] = []
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow and hashlib let others run meanwhile
        try:
            done = pool.map(lambda i: _check_sample(folder, i + 1, rows[i], classes), range(len(rows)))
            samples.extend(next(done) for _ in follow(range(len(rows))))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    findings += [found for sample in samples for found in sample.findings]
    findings += _links_out(folder)
    findings += _broken_tensors(folder)
    findings += [Finding(*one) for one in check_reviews(folder, rows)]
    findings += _names_twice(rows)
    findings += [Finding("orphan", "warning", name, "no row of metadata.jsonl belongs to it") for name in _orphans(folder, rows)]
    findings += _duplicates(samples, rows)
    stats = summarize([sample.measured for sample in samples if sample.measured], classes)
    findings += [Finding("class", "warning", one.name, "no picture shows this class") for one in stats.classes if not one.images]
    return Checked(tuple(sorted(findings, key=lambda one: one.level != "error")), stats)


def _read_classes(folder: Path) -> tuple[str, ...]:
    classes = native.read_classes(folder)
    check_class_list(classes, folder / native.CLASSES)
    return classes


def _attempt(read: Callable[[], Any], path: Path, findings: list[Finding]) -> Any:
    """What `read` returns; None, and a finding about the file, when it raises UserError."""
    where = path.name
    try:
        return read()
    except UserError as error:
        findings.append(Finding("structure" if path.exists() else "lost", "error", where, str(error)))
        return None


def _check_sample(folder: Path, number: int, row: dict[str, Any], classes: Sequence[str]) -> _Sample:
    where = f"row {number}"
    paths: dict[str, Path] = {}
    findings: list[Finding] = []
    try:
        check_row({key: value for key, value in row.items() if key not in COUNTED}, where)
    except UserError as error:
        return _Sample([Finding("value", "error", where, error.reason)])
    for field in ("file_name", "mask"):
        try:
            path = path_inside(folder, row, field, where)
        except UserError as error:
            findings.append(Finding("path", "error", where, error.reason))
            continue
        if path.is_file():
            paths[field] = path
        else:
            findings.append(Finding("missing", "error", row[field], f"{where} names it, but there is no such file"))
    size = sha256 = look = measured = None
    if image := paths.get("file_name"):
        try:
            size, sha256, look = _read_image(image)
        except UserError as error:
            findings.append(Finding("picture", "error", row["file_name"], error.reason))
    if mask := paths.get("mask"):
        try:
            labels = read_label_map(mask)
        except UserError as error:
            findings.append(Finding("mask", "error", row["mask"], error.reason))
        else:
            measured = measure(labels, row_flags(row))
            findings += _check_labels(mask, number, row, measured, size, classes)
            try:
                check_joined(read_joined(row.get("review", {}).get("joined")), measured.size, where)
            except UserError as error:
                findings.append(Finding("review", "error", where, error.reason))
    findings += _check_soft(folder, row, size)
    return _Sample(findings, measured, sha256, look)


def _read_image(path: Path) -> tuple[tuple[int, int], str, int]:
    """(height, width), SHA-256 of the bytes and difference hash of a picture, which is decoded to its end."""
    picture_suffix(path)
    data = read_bytes(path, PICTURE)
    with open_picture(data, str(path)) as picture:
        return (picture.height, picture.width), hashlib.sha256(data).hexdigest(), difference_hash(picture)


def _check_labels(
    path: Path, number: int, row: Mapping[str, Any], measured: Measured, size: tuple[int, int] | None, classes: Sequence[str]
) -> Iterator[Finding]:
    mask, where = row["mask"], f"row {number}"
    if size is not None and measured.size != size:
        yield Finding("size", "error", mask, f"is {measured.size}, but its picture is {size}; both are (height, width)")
    ids = np.flatnonzero(measured.counts)
    if outside := [int(i) for i in ids if len(classes) < i < native.IGNORE]:
        yield Finding("id", "error", mask, f"has id {outside[0]}, but {native.CLASSES} names 0 to {len(classes)} (255: ignore)")
        return  # what follows would only say so again
    if not _has_palette(path, ids):
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
    """Whether a row says what was counted; areas but for their rounding."""
    if not isinstance(counted, Mapping) or not isinstance(said, Mapping):
        return said == counted
    numbers = all(isinstance(value, int | float) for value in said.values())
    return numbers and set(said) == set(counted) and all(abs(said[name] - counted[name]) <= ROUNDING for name in counted)


def _check_flags(row: Mapping[str, Any], where: str, areas: Mapping[str, float]) -> Iterator[Finding]:
    """Flags that the label map contradicts; those about attention cannot be told from it."""
    flags = row["flags"]
    for name, share in areas.items():
        flagged, room = f"degenerate:{name}" in flags, min(share / SMALLEST, (1 - share) / (1 - LARGEST))  # degenerate when below 1
        if flagged and room > 1 + SLACK:
            yield Finding("flag", "warning", where, f"is flagged degenerate:{name}, but that mask has {share:.1%} of the picture")
        if not flagged and room < 1 - SLACK:
            yield Finding("flag", "warning", where, f"is not flagged degenerate:{name}, but that mask has {share:.2%} of the picture")
    if "no_class" in flags and any(areas.values()):
        yield Finding("flag", "warning", where, "is flagged no_class, but its label map has one")
    for flag in flags:
        _, colon, name = flag.partition(":")
        if colon and name not in areas and name not in (row.get("asked") or ()):
            yield Finding("flag", "warning", where, f"flag '{flag}' is of a class that is not in this picture")


def _has_palette(path: Path, ids: np.ndarray) -> bool:
    """Whether VOC's colours stand at the ids of a palette PNG; writers may leave out those above the highest that is used."""
    with open_picture(path) as picture:
        palette = picture.getpalette("RGB") if picture.mode == "P" else None
    if palette is None:
        return False
    return all(palette[3 * i : 3 * i + 3] == voc_palette()[3 * i : 3 * i + 3] for i in ids.tolist())


def _check_soft(folder: Path, row: Mapping[str, Any], size: tuple[int, int] | None) -> Iterator[Finding]:
    """Soft masks that are not there, where the dataset keeps them, or cannot be used."""
    name, ids = _name(row), row.get("class_ids")
    if name is None or not isinstance(ids, list) or not (folder / native.SOFT).is_dir() or is_corrected(row):
        return
    for class_id in ids:
        file = f"{native.SOFT}/{name}_{class_id}.png"
        if not (folder / file).is_file():
            yield Finding("missing", "error", file, "the dataset keeps soft masks, but there is no such file")
            continue
        if leads_out(folder, folder / file):
            continue  # said of the link
        try:
            shape = read_label_map(folder / file).shape
        except UserError as error:
            yield Finding("soft", "error", file, error.reason)
        else:
            if size is not None and shape != size:
                yield Finding("soft", "error", file, f"is {shape}, but its picture is {size}; both are (height, width)")


def _links_out(folder: Path) -> Iterator[Finding]:
    """What a dataset would keep of its samples, but takes from outside by a link. Pictures and label maps are looked at by rows."""
    for kind in native.EXTRAS:
        inside = () if leads_out(folder, folder / kind) else sorted((folder / kind).rglob("*"))
        for path in inside or (folder / kind,):
            if path.is_symlink() and leads_out(folder, path):
                yield Finding("path", "error", path.relative_to(folder).as_posix(), "is a link that leads out of the dataset folder")


def _broken_tensors(folder: Path) -> Iterator[Finding]:
    """Files of attention/ and steps/ that are not as long as their headers say."""
    for kind in (native.ATTENTION, native.STEPS):
        if (folder / kind).is_symlink():
            continue
        for path in sorted((folder / kind).rglob("*.safetensors")):
            if not (path.is_symlink() and leads_out(folder, path)) and not _is_whole(path):
                yield Finding("tensors", "error", path.relative_to(folder).as_posix(), "is no whole safetensors file")


def _is_whole(path: Path) -> bool:
    """Whether a safetensors file has the length that its header says: eight bytes of the header's length, the header, the tensors."""
    try:
        read_header(path)
    except UserError:
        return False
    return True


def _name(row: Mapping[str, Any]) -> str | None:
    """A sample's name: its picture's path below images/, without suffix. None for a row without such a path."""
    file_name = row.get("file_name")
    if not isinstance(file_name, str):
        return None
    return file_name.removeprefix(f"{native.IMAGES}/").rpartition(".")[0]


def _names_twice(rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    numbers = same_groups([_name(row) or number for number, row in enumerate(rows)])
    return [
        Finding("name", "error", f"row {group[1] + 1}", f"row {group[0] + 1} has a sample '{_name(rows[group[0]])}' too")
        for group in numbers
    ]


def _orphans(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Files of the folders of samples that belong to no row, relative to `folder`."""
    named = {os.path.normpath(str(row[field])) for row in rows for field in ("file_name", "mask") if isinstance(row.get(field), str)}
    names = {_name(row) for row in rows}
    found = []
    for kind in (native.IMAGES, native.MASKS, native.SOFT, native.ATTENTION, native.STEPS):
        if (folder / kind).is_symlink():  # others may use what is there
            continue
        for path in sorted((folder / kind).rglob("*")):
            if not path.is_file() and not path.is_symlink():
                continue
            stem, _, suffix = path.relative_to(folder / kind).as_posix().rpartition(".")
            whole = stem if kind == native.ATTENTION else stem.rpartition("_")[0]
            known = path.relative_to(folder).as_posix() in named if kind in (native.IMAGES, native.MASKS) else whole in names
            if not known or suffix == "part":
                found.append(path.relative_to(folder).as_posix())
    return found


def _duplicates(samples: Sequence[_Sample], rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    read = [(i, sample.sha256, sample.look) for i, sample in enumerate(samples) if sample.sha256 is not None and sample.look is not None]
    exact = same_groups([sha256 for _, sha256, _ in read])
    for group in exact:
        yield Finding("duplicate", "warning", _file(rows, read, group[0]), f"the same bytes as {_others(rows, read, group)}")
    for group in near_groups([look for _, _, look in read]):
        if len({read[i][1] for i in group}) > 1:
            yield Finding("alike", "warning", _file(rows, read, group[0]), f"looks like {_others(rows, read, group)}")


def _file(rows: Sequence[Mapping[str, Any]], read: Sequence[tuple[int, Any, Any]], place: int) -> str:
    return rows[read[place][0]]["file_name"]


def _others(rows: Sequence[Mapping[str, Any]], read: Sequence[tuple[int, Any, Any]], group: Sequence[int]) -> str:
    names = [_file(rows, read, place) for place in group[1:]]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
