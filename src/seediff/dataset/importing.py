"""Makes native datasets: from files in other formats, from masks that people corrected in another tool, and from
pictures without labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config.class_names import check_meaning
from ..errors import UserError
from ..files.image_files import read_photo
from ..files.label_maps import IGNORE
from ..files.messages import first_of, plural
from ..files.photo_files import Photo, find_photos
from ..files.reading import composed
from ..rows.row import Review, Row
from ..rows.values import UNLABELLED
from ..workers import Follow
from . import native
from .class_lists import check_class_list
from .dataset import Dataset
from .encoding import encode_photo
from .formats.exporting import objects_in_tool
from .formats.format_table import FORMATS, SourceName, recognise
from .reading import Reading, Tally
from .reviews import reviewed_as_is
from .sample import Sample, flat_name, renumber, renumber_table, repainted
from .shapes.changes import objects_from_tool
from .writing import save_native

IN_PIECES = ("yolo",)
"""Formats that write each connected piece of an object as an object, and cannot say that a pixel is ignored: the
sample keeps its own objects."""


@dataclass(frozen=True)
class Change:
    """How a sample's mask changed in the tool."""

    name: str
    pixels: int
    """Number of pixels whose id changed."""
    divided: bool = False
    """Whether the tool divided the mask into other objects, which the sample takes."""


@dataclass(frozen=True)
class Imported:
    """A dataset that was imported."""

    classes: Sequence[str]
    rows: Sequence[Row]
    changes: Sequence[Change]
    """With `corrects`: how each mask that came back has changed."""
    reading: Reading
    """How the source was understood."""


def import_set(
    name: SourceName,
    source: Path,
    out: Path | None,
    *,
    corrects: Path | None = None,
    accept_unchanged: bool = False,
    link: bool = False,
    workers: int = 1,
    follow: Follow = iter,
    **options: Any,
) -> Imported:
    """Writes a folder or file of another format as the native dataset `out`, which appears only when it is complete.

    name: the format. source: the folder or file. out: None: only read, and write nothing. corrects: a native dataset,
    if the source holds its corrected masks; `out` then has its pictures and rows. accept_unchanged: as for `correct`,
    which says how masks are matched. link, workers, follow: as for `save_native`. options: those of
    `ImportOptions` that the format has. Raises UserError, also for a source without samples, and without `corrects` for
    a source in which no sample shows a class.
    """
    original = Dataset(*native.open_native(corrects), path=corrects) if corrects else None
    # Corrected masks without pictures belong to the pictures of the dataset that they correct.
    if corrects and original is not None and "images" not in options:
        folder = source if source.is_dir() else source.parent
        if FORMATS[name].names_pictures:
            options["originals"] = {of(one.name): one.source for of in (flat_name, str) for one in original}
        elif not any((folder / part).is_dir() for part in (native.IMAGES, "JPEGImages")):
            options["images"] = corrects / native.IMAGES

    read = Dataset.open(source, name, **options)
    classes = read.classes
    samples = _require(read, source, empty=original is not None)
    changes = list[Change]()
    if original is not None:
        classes, samples = correct(
            original, classes, samples, by=name, accept_unchanged=accept_unchanged, tell=changes.append
        )
    rows = list[Row]()
    tally = Tally()

    def reading() -> Reading:
        return read.understood.counted(classes, tally, read.notes, read.path)

    if out is None:
        for sample in follow(tally.watch(samples)):
            sample.labels(len(classes))
    else:
        rows = save_native(
            out,
            classes,
            samples,
            about={"command": "import", "format": name},
            link=link,
            workers=workers,
            follow=follow,
            tally=tally,
            reading=reading,
        )
    return Imported(classes, rows, changes, reading())


def import_unlabelled(
    source: Path, out: Path, classes: Sequence[str], *, workers: int = 1, follow: Follow = iter
) -> int:
    """Writes pictures without labels as the native dataset `out`, and returns their number. People can then paint masks
    in `seediff look`.

    source: a file or folder. Every picture that `find_photos` finds in it becomes a sample with an empty mask and the
    flag `unlabelled`. classes: the classes to paint. workers, follow: as for `save_native`. Raises UserError for a
    picture that cannot be read, for a class whose name means the background or ignored pixels, and for a dataset, whose
    label maps would be taken for pictures.
    """
    check_meaning(classes)
    if source.is_dir():
        native.check_single(source)
        own = ["native"] * (source / native.METADATA).is_file()
        for format_ in (*own, *recognise(source)):
            fix = "leave out --unlabelled, or name the folder of its images alone"
            raise UserError(source, f"holds labels ({format_})", fix)
    samples = map(_unlabelled, find_photos(source).photos)
    return len(save_native(out, classes, samples, about={"command": "import"}, workers=workers, follow=follow))


def _unlabelled(photo: Photo) -> Sample:
    """The sample of a photograph, with an empty mask."""
    pixels = read_photo(photo.path)
    data = encode_photo(photo.path, pixels)
    return Sample(data, np.zeros(pixels.shape[:2], np.uint8), None, Row(flags=(UNLABELLED,)), name=photo.name)


def _require(read: Dataset, source: Path, *, empty: bool) -> Iterator[Sample]:
    """Yields the samples. source: their folder or file, for errors. empty: whether a set without a class in any sample
    is allowed. Raises UserError after the last sample if there was no sample, or if `empty` is False and no sample
    shows a class. The error repeats the notes of the reading, which often say why."""
    if not read.samples:
        raise UserError(source, "; ".join(["has no samples", *read.notes, "nothing was written"]))
    shows = empty
    for sample in read.samples:
        shows = shows or bool((sample.label_map % 255).any())  # 0 is background, 255 ignored
        yield sample
    if not shows:
        problem = f"has {plural(len(read.samples), 'image')} but no object, only background (0) or ignored (255)"
        fix = "name the folder that also holds the labels, or their format with --from"
        raise UserError(source, "; ".join([problem, *read.notes, "nothing was written"]), fix)


def correct(
    original: Dataset,
    classes: Sequence[str],
    items: Iterable[Sample],
    *,
    by: SourceName,
    accept_unchanged: bool = False,
    tell: Callable[[Change], None] = lambda change: None,
) -> tuple[tuple[str, ...], Iterator[Sample]]:
    """(classes, samples) of a native set, whose masks are replaced by the masks that came back from a tool.

    original: the native set. classes: the classes of the tool. They are matched with the set's classes by name, and new
    classes follow. items: samples with the masks that came back. They are matched with the set's samples by name, or by
    the flat name that some formats use. by: the tool's format, which `review` names. accept_unchanged: whether
    unchanged masks count as accepted, although a tool also returns masks that nobody looked at. tell: called with each
    change. Raises UserError for an item that the set does not have, and for a mask of another size than its picture.

    If the set has objects, its samples take the tool's objects, if the tool's masks are objects (`by_object`).
    """
    names = tuple(dict.fromkeys([*original.classes, *classes]))
    check_class_list(names)
    matches = _match_samples(items, original, by)
    table = renumber_table(classes, names)
    by_object = by not in IN_PIECES and any(sample.has_objects for sample in original)

    def corrected(sample: Sample) -> Sample:
        if sample.name not in matches:
            return sample
        item = renumber(matches[sample.name].replace(image=sample.source), table, len(classes))
        changed, change = _changed(sample, item, len(names), by, accept_unchanged, by_object)
        tell(change)
        return changed

    return names, map(corrected, original)


def _changed(
    sample: Sample, item: Sample, classes: int, by: SourceName, accept_unchanged: bool, by_object: bool
) -> tuple[Sample, Change]:
    """A sample after its mask has come back, and how it changed. item: the sample with the tool's mask. classes: the
    number of classes of both. by, accept_unchanged: as for `correct`. by_object: whether it takes the tool's objects.
    The first that applies:

    pixels changed              the new label map and objects, corrected and accepted
    only the objects did        the new objects, accepted
    with `accept_unchanged`     accepted
    else                        as it was
    """
    before, after = sample.labels(classes), item.labels(classes)
    if by in IN_PIECES:
        after = np.where((before == IGNORE) & (after == 0), before, after)
    pixels = int((before != after).sum())
    earlier = sample.row.review_or_empty
    changed = sample
    if pixels:
        changed = repainted(sample, after, sample.row)
    divided = False
    returned = item.instances
    if by_object and returned is not None:
        expected = objects_in_tool(changed)
        objects, divided = objects_from_tool(expected, returned, after)
        if divided:
            changed = changed.replace(instances=objects)
    change = Change(sample.name, pixels, divided)
    if not pixels and not divided and not accept_unchanged:
        return sample, change
    review = Review(
        verdict="accepted",
        corrected=bool(pixels or earlier.corrected),
        divided=earlier.divided or divided or None,
        by=by,
        made=None if pixels else earlier.made,
    )
    if pixels:  # flags are about masks that nobody looked at
        return changed.replace(row=sample.row.of_other_mask(flags=(), review=review)), change
    return changed.replace(row=reviewed_as_is(sample.row, review)), change


def _match_samples(items: Iterable[Sample], original: Dataset, by: SourceName) -> dict[str, Sample]:
    """Name of a sample → the item with its mask. original: the set of the samples. by: the items' format. Raises
    UserError for an item without a sample, for one that may be of several samples, and for two items of one sample."""
    alike = defaultdict[str, list[str]](list)  # as some formats write names
    for sample in original:
        alike[composed(flat_name(sample.name))].append(sample.name)
    matches: dict[str, Sample] = {}
    for item in items:
        where = f"sample '{item.name}'"
        found = alike.get(composed(flat_name(item.name)), [])
        if not FORMATS[by].flat:  # else one that was not exported may have this name
            found = [name for name in found if composed(name) == composed(item.name)] or found
        if not found:
            raise UserError(where, f"is not in {original.path}, whose masks are said to be corrected")
        if len(found) > 1:
            fix = "let names differ in more than / and _ and how accents are written"
            raise UserError(where, f"may be any of {', '.join(found)} in {original.path}", fix)
        before = matches.setdefault(found[0], item)
        if before is not item:
            raise UserError(where, f"appears twice, once as '{before.name}'")
    return matches


def sum_changes(changes: Iterable[Change]) -> str:
    """A line for the user that sums up how masks have changed."""
    changes = list(changes)
    changed = [change.name for change in changes if change.pixels or change.divided]
    names = f"{len(changed)} changed: {first_of(changed)}" if changed else "none changed"
    return f"{len(changes)} samples came back, {names}"
