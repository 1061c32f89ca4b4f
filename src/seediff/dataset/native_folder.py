"""Opens and writes the native folder, and tells it from the folder of a run that was stopped and can be continued."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from ..errors import UserError
from ..files.documents import read_toml
from ..files.messages import show_json
from ..files.output_folders import stage_output
from ..files.outputs import BATCHES, copy_new, put
from ..files.reading import SETTINGS, FilesInside, inside, read_bytes
from ..workers import in_order
from . import native
from .encoding import Instances, encode_mask, encode_objects, read_label_map, read_objects
from .reviews import Action, is_replaced, makers, read_actions, reviewed_row
from .rows import check_class_list, check_name, checked_rows
from .sample import Sample
from .shapes.following import follow

T = TypeVar("T")
CHUNK = 8
"""Samples sent to another process together: one takes a millisecond or two."""
INSTANCE_KEYS = ("instances", "instance_scores")
"""The keys of a row that belong to the file of its objects."""


def check_finished(folder: Path) -> None:
    """Raises UserError if there is no such folder, or if a run that began in it is not finished."""
    if not folder.is_dir():
        wrong = "is a file; name the folder of a dataset" if folder.exists() else "no such folder"
        raise UserError(folder, wrong)
    # A file that is missing from a set that no run made was lost, which `check` reports.
    if (folder / BATCHES).is_dir() and not (folder / native.METADATA).is_file():
        try:
            command = str(read_toml(folder / native.CONFIG).get("command"))
        except UserError:
            command = ""
        again = f"run the same `seediff {command if command.isalpha() else 'command'}` to continue it"
        raise UserError(folder, "the run that makes it is not finished", again)


class Attempt(Protocol):
    """Calls `read`. Its UserError passes, or is noted, and then the result is None. kind: one word for what is wrong
    then. place: the row or file."""

    def __call__(self, kind: str, place: str, read: Callable[[], T]) -> T | None: ...


def refuse(kind: str, place: str, read: Callable[[], T]) -> T | None:
    """The `Attempt` by which nothing is noted: the first fault ends the reading."""
    return read()


class RowReader:
    """Makes the sample of each row of a native dataset, for `open_native`, which refuses the first fault, and for
    `check`, which notes all of them. actions: what people did about samples, the oldest first."""

    def __init__(
        self, folder: Path, classes: Sequence[str], actions: Sequence[Action] = (), attempt: Attempt = refuse
    ) -> None:
        self.folder, self.classes, self.attempt = folder, classes, attempt
        self.rows = str(folder / native.METADATA)
        self.files = FilesInside(folder)
        self.extras = find_extras(folder, attempt)
        self.has_instances = (folder / native.INSTANCES).is_dir()
        self.made_by = cache(partial(native.made_by, folder))
        self.last, self.makers = {action.sample: action for action in actions}, makers(actions)
        self.names: set[str] = set()

    def sample(self, number: int, original: Mapping[str, Any]) -> Sample | None:
        """The sample of a row, of which the types of its values are checked. number: of the row, from 1. None: its
        picture or label map cannot be named. Their files may be missing."""
        place, where = f"row {number}", f"{self.rows}, row {number}"
        name = native.sample_name(original.get("file_name") or "")
        action = self.last.get(name)
        maker = self.makers.get(action.mask or "") if action else None
        row = reviewed_row(original, action, maker, self.classes)
        sha256 = action.hash if action and action.mask else None
        image = self.attempt("path", place, lambda: self.files.path(row.get("file_name"), where, "file_name"))
        mask = self.attempt("path", place, lambda: self.files.path(row.get("mask"), where, "mask"))
        if image is None or mask is None:
            return None
        self.attempt("name", place, lambda: check_name(name, self.names, where))
        self.attempt("row", place, lambda: self._check_classes(row, where))
        left = native.SOFT if is_replaced(row) else None  # soft masks describe the original
        extras = {key: path for key, path in self.extras.get(name, {}).items() if key[0] != left}
        if made := self.attempt("row", place, lambda: self.made_by(row.get("made"))):
            extras[native.MADE, None] = made
        instances = None
        if self.has_instances or "instances" in row:
            instances = self.attempt("instances", f"{native.INSTANCES}/{name}.png", lambda: self._objects(name, row))
            if instances is not None and sha256:
                before = self.files.path(original["mask"], where, "mask")
                instances = partial(_followed, instances, before, mask, sha256)
        for key in INSTANCE_KEYS:  # a Sample has them in `instances`
            row.pop(key, None)
        labels = partial(read_label_map, mask, sha256)
        return self.attempt(
            "picture", row["file_name"], lambda: Sample(image, labels, instances, row, name=name, extras=extras)
        )

    def _check_classes(self, row: Mapping[str, Any], where: str) -> None:
        for label in row.get("classes") or ():
            if label not in self.classes:
                raise UserError(where, f"class {show_json(label)} is not in {native.CLASSES}")

    def _objects(self, name: str, row: Mapping[str, Any]) -> Callable[[], Instances] | None:
        """The function that reads the objects of a sample; None if it has none. Raises UserError for a row whose class
        ids and scores cannot be those of objects."""
        path = self.folder / native.INSTANCES / f"{name}.png"
        if "instances" not in row and not path.is_file():
            return None
        inside(self.folder, path)
        class_ids, scores = (tuple(row.get(key, ())) for key in INSTANCE_KEYS)
        where, count = f"{self.rows}: sample '{name}'", len(self.classes)
        if outside := [class_id for class_id in class_ids if class_id not in (*range(1, count + 1), native.IGNORE)]:
            fix = f"they must be from 1 to {count}, as in {native.CLASSES}"
            raise UserError(where, f"its `instances` name class {outside[0]}", fix)
        if len(scores) not in (0, len(class_ids)):
            problem = f"has {len(scores)} `instance_scores` for {len(class_ids)} `instances`"
            raise UserError(where, problem, "give one for each, or none")
        return partial(read_objects, path, class_ids, scores)


def open_native(folder: Path | str, *, reviewed: bool = True) -> tuple[tuple[str, ...], list[Sample]]:
    """The classes of a native dataset, without the background, and its samples, with corrected masks in place of the
    originals, and people's decisions as `review` in the rows. reviewed: False: the samples as they were made.

    Raises UserError naming the file and row of a path that is missing, leads out of the folder or is a duplicate, and
    if the folder's run is not finished."""
    folder = Path(folder)
    check_finished(folder)
    classes = native.read_classes(folder)
    reader = RowReader(folder, classes, read_actions(folder) if reviewed else ())
    samples: list[Sample] = []
    for number, row in enumerate(checked_rows(folder / native.METADATA, native.ABSENT), 1):
        sample = reader.sample(number, row)
        assert sample is not None  # as `refuse` lets errors pass
        for key in ("file_name", "mask"):
            reader.files.check(sample.metadata[key], f"{reader.rows}, row {number}")
        if "instances" in row and not (file := folder / native.INSTANCES / f"{sample.name}.png").is_file():
            fix = "restore it, or remove the key from the row"
            raise UserError(file, f"is missing, but the row of sample '{sample.name}' names `instances`", fix)
        samples.append(sample)
    return classes, samples


def _followed(read: Callable[[], Instances], before: Path, mask: Path, sha256: str) -> Instances:
    """The objects in a corrected label map."""
    return follow(read(), read_label_map(before), read_label_map(mask, sha256), mask)


def instance_row(instances: Instances) -> dict[str, Any]:
    """The keys of a row that describe its objects."""
    scores = {"instance_scores": [round(score, 4) for score in instances.scores]} if instances.scores else {}
    return {"instances": list(instances.class_ids), **scores}


def find_extras(folder: Path, attempt: Attempt = refuse) -> dict[str, dict[tuple[str, int | None], Path]]:
    """Sample name → its `extras`. A link that leads out of the dataset is a fault."""
    extras: dict[str, dict[tuple[str, int | None], Path]] = {}
    for kind in native.EXTRAS:
        top = attempt("path", kind, lambda kind=kind: inside(folder, folder / kind))
        for path in sorted(top.rglob("*.*")) if top else ():
            own = path.relative_to(folder).as_posix()
            if path.is_symlink() and not attempt("path", own, lambda path=path: inside(folder, path)):
                continue
            name, number = path.relative_to(folder / kind).with_suffix("").as_posix(), ""
            if kind != native.ATTENTION:
                name, _, number = name.rpartition("_")
            if path.suffix in (".png", ".safetensors") and (kind == native.ATTENTION or number.isdecimal()):
                extras.setdefault(name, {})[kind, int(number) if number else None] = path
    return extras


def read_dataset(folder: Path | str) -> Iterator[Sample]:
    """The samples of a native dataset, as `open_native` gives them."""
    yield from open_native(folder)[1]


@dataclass(frozen=True)
class Encoded:
    """A sample as it is written. files: path in the dataset → bytes. copies: path → the file to copy. made: the
    configuration that made the mask."""

    name: str
    row: Mapping[str, Any]
    files: Mapping[str, bytes]
    copies: Mapping[str, Path]
    made: Path | None


def write_native(
    out: Path | str,
    classes: Sequence[str],
    samples: Iterable[Sample],
    *,
    about: Mapping[str, Any],
    files: Mapping[str, bytes] = MappingProxyType({}),
    link: bool = False,
    workers: int = 1,
    follow: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> int:
    """Writes a native dataset, and returns the number of samples. `out` appears only when it is complete.

    Rows keep their keys; file_name, mask, classes, class_ids and area describe the files written. about: facts for the
    card and the page. files: more files, name → bytes. link: hard links to pictures and extras instead of copies.
    workers: processes that read samples. Each gets a whole Sequence and reads its part of it; other iterables are read
    in this process, and their samples must be picklable. follow: wraps what is read, to show progress. Raises UserError
    naming a sample that cannot be used.
    """
    from ..report.card import dataset_card
    from ..report.page import write_page

    check_class_list(classes)
    rows: list[dict[str, Any]] = []
    names: set[str] = set()
    encode: Callable[[Any], Encoded] = partial(_encoded, classes=tuple(classes))
    items: Iterable[Any] = samples
    if isinstance(samples, Sequence):
        encode, items = partial(_encoded_at, samples=samples, classes=tuple(classes)), range(len(samples))
    with stage_output(out) as part, in_order(encode, workers, chunk=CHUNK) as encoded:
        for sample in encoded(follow(items)):
            check_name(sample.name, names)
            for path, data in sample.files.items():
                put(part / path, data)
            for path, source in sample.copies.items():
                copy_new(source, part / path, link=link)
            row = dict(sample.row)
            if sample.made is not None:
                # Named by its content, because merged sets often have the same configuration.
                data = read_bytes(sample.made, SETTINGS)
                row["made"] = f"{native.MADE}/{hashlib.sha256(data).hexdigest()[:16]}.toml"
                if not (part / row["made"]).exists():
                    put(part / row["made"], data)
            rows.append(row)

        # The files about the whole set.
        for name, data in files.items():
            put(part / name, data)
        put(part / native.CLASSES, native.classes_text(classes))
        put(part / native.METADATA, native.jsonl(rows))
        put(part / native.CARD, dataset_card(about, rows, classes).encode("utf-8"))
        write_page(part, about, rows, classes)
    return len(rows)


def _encoded_at(position: int, *, samples: Sequence[Sample], classes: Sequence[str]) -> Encoded:
    return _encoded(samples[position], classes=classes)


def _encoded(sample: Sample, *, classes: Sequence[str]) -> Encoded:
    """A sample's files and its row."""
    labels = sample.labels(len(classes))
    file_name, mask = native.sample_files(sample.name, sample.suffix)
    row = {"file_name": file_name, "mask": mask, **sample.row(labels, classes)}
    row.pop("made", None)
    files, copies = {mask: encode_mask(labels)}, dict[str, Path]()
    if (picture := sample.file()) is None:
        files[file_name] = sample.data()
    else:
        copies[file_name] = picture
    if (instances := sample.instances) is not None:
        files[f"{native.INSTANCES}/{sample.name}.png"] = encode_objects(instances, f"sample '{sample.name}'")
        row |= instance_row(instances)

    # Other files of the sample, which keep its name.
    made: Path | None = None
    for (kind, class_id), path in sample.extras.items():
        if kind == native.MADE:
            made = path
        else:
            ending = path.suffix if class_id is None else f"_{class_id}{path.suffix}"
            copies[f"{kind}/{sample.name}{ending}"] = path
    return Encoded(sample.name, row, files, copies, made)
