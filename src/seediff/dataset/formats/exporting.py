"""Writes a dataset in any format: what all formats have in common, such as names, splits, workers and links.

A format's own part is its codec, the module with its name. Its `write(export)` puts files into an `Export`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from ...config.class_names import IGNORED, check_meaning, reserved_id
from ...errors import UserError
from ...files.label_maps import IGNORE, voc_palette
from ...files.messages import Notes, first_of, plural
from ...files.names import CARD
from ...files.outputs import check_free, put, stage_output
from ...report.card import dataset_card
from ...report.set_summary import SetFacts, summarize
from ...rows.row import Row
from ...rows.values import SPLITS, Shown, shown_classes
from ...workers import Follow, in_order
from ..sample import Sample, check_name, flat_name
from ..shapes.objects import SMALLEST_SHARE, Objects, smallest_area, whole_classes
from ..split import assign_splits
from ..writing import CHUNK
from .format_table import FORMATS, ExportOptions, FormatName, codec, options_of

MinArea = int | Literal["auto"]
"""The fewest pixels of a piece that is written. "auto" is SMALLEST_SHARE of the picture in a mask that a model made and
nobody checked, and 1 in other masks: their small pieces are meant."""
TINY = 10
"""Pieces with fewer pixels are seldom objects. Masks that models make are full of them."""


def least_area(sample: Sample, labels: np.ndarray, min_area: MinArea) -> int:
    """The fewest pixels of a piece of a sample that is written; 1 if a person divided its objects, which are all meant.
    labels: its label map (H, W)."""
    if sample.row.review_or_empty.divided:
        return 1
    if min_area != "auto":
        return min_area
    return smallest_area(labels) if sample.row.unchecked else 1


@dataclass(frozen=True)
class Exported:
    """What an export has written."""

    samples: int
    """Number of samples."""
    files: int
    """Number of files of all kinds."""
    notes: tuple[str, ...]
    """Lines for the user about what the format cannot hold."""
    splits: Mapping[str, int]
    """Split → number of samples."""


@dataclass(frozen=True)
class Placed:
    """A sample that is ready to be written: with its name and split in the format, and encoded by the codec."""

    name: str
    split: str
    sample: Sample
    height: int
    width: int
    encoded: Any
    """What the codec's `encode` returned for the sample."""

    @property
    def file_name(self) -> str:
        """The name of the picture's file, such as "a.jpg"."""
        return f"{self.name}.{self.sample.suffix}"

    @property
    def picture(self) -> Path | bytes:
        """The picture's file, or its bytes: see `Sample.picture`."""
        return self.sample.picture()


def objects_in_tool(sample: Sample) -> Objects:
    """The objects of a sample, in a set with objects, that people see in a tool. A sample without objects of its own
    has connected pieces as objects; if its mask is a model's, pieces that `least_area` leaves out are none."""
    labels = sample.label_map
    return sample.objects(labels, 1 if sample.has_objects else least_area(sample, labels, "auto"))


def written_objects(sample: Sample, labels: np.ndarray) -> list[Objects]:
    """The shapes to write for a sample, in one or two groups that together cover its label map. labels: the label map
    (H, W). If the sample has objects, these come first, then the classes at the other pixels. Otherwise each class, 255
    included, is one shape."""
    if not sample.has_objects:
        return [whole_classes(labels)]
    found = sample.objects(labels)
    return [found, whole_classes(found.rest(labels))]


def written_masks(sample: Sample, labels: np.ndarray) -> Iterator[tuple[int, np.ndarray, tuple[int, int, int, int]]]:
    """(class id, inside, box) of each shape of `written_objects`. `inside`: (h, w) bool, the shape's pixels in its box.
    `box`: left, top, right and bottom in the picture; the last two are exclusive. The arguments are the same."""
    for found in written_objects(sample, labels):
        for number, (class_id, box) in enumerate(zip(found.class_ids, found.boxes_xyxy, strict=True), 1):
            left, top, right, bottom = box
            yield class_id, found.numbers[top:bottom, left:right] == number, box


@dataclass
class Export(Notes):
    """A dataset that is being written to a folder."""

    folder: Path
    classes: tuple[str, ...]
    samples: Sequence[Sample]
    names: Sequence[str]
    """The name that each sample gets."""
    splits: Sequence[str]
    """The split that each sample gets, one of SPLITS."""
    stack: ExitStack
    """Closes the worker processes when the export ends."""
    options: ExportOptions
    workers: int
    follow: Follow
    """Wraps the samples, to show a progress bar."""
    files: int = 0
    """Number of files so far."""
    pieces: int = 0
    """Number of written pieces in masks that nobody checked."""
    tiny: int = 0
    """How many of them have fewer than TINY pixels."""
    rows: list[Row] = field(default_factory=list[Row])
    """What is known of the samples that are written, with the classes that their label maps show."""
    left_out: Counter[str] = field(default_factory=Counter[str])
    """Split → number of samples that are not written."""

    @property
    def parts(self) -> list[str]:
        """The splits with samples, in the order of SPLITS."""
        return [split for split in SPLITS if split in self.splits]

    @property
    def labels(self) -> dict[int, str]:
        """Id → label: the classes, and "ignore" for 255."""
        return {**dict(enumerate(self.classes, 1)), IGNORE: IGNORED[1]}

    @property
    def colours(self) -> list[tuple[str, str]]:
        """(label, colour) of each class and of 255. Colours are VOC's, as #rrggbb."""
        colours = bytes(voc_palette())
        return [(name, f"#{colours[3 * i : 3 * i + 3].hex()}") for i, name in self.labels.items()]

    def placed(self, encode: Callable[..., Any], **options: Any) -> Iterator[Placed]:
        """Yields each sample, ready to be written. encode: a function of a module, because it may run in another
        process. It is called as `encode(sample, labels, **options)`, with the sample's label map (H, W); a sample for
        which it returns None is left out."""
        encode = partial(_encoded, self.classes, partial(encode, **options))
        work = self.stack.enter_context(in_order(encode, self.workers, chunk=CHUNK))
        taken: set[str] = set()
        owners: dict[str, str] = {}
        rows = zip(self.names, self.splits, self.follow(self.samples), work(self.samples), strict=True)
        for name, split, sample, ((height, width), shown, encoded) in rows:
            other = owners.setdefault(name, sample.name)
            if other != sample.name:
                problem = f"'{other}' and '{sample.name}' would both be '{name}' without folders"
                keep = ", ".join(each for each, one in FORMATS.items() if one.looked_for and not one.flat)
                raise UserError("samples", problem, f"rename one; formats that keep folders: {keep}")
            check_name(name, taken)
            if encoded is None:
                self.left_out[split] += 1
                continue
            self.rows.append(sample.row.showing(shown).replace(split=split))
            yield Placed(name, split, sample, height, width, encoded)

    def see(self, sample: Sample, areas: Sequence[int]) -> None:
        """Counts the written pieces of a mask that nobody checked, for `note_pieces`. areas: their pixels."""
        if sample.row.unchecked:
            self.pieces += len(areas)
            self.tiny += sum(area < TINY for area in areas)

    def note_pieces(self, small: int, fate: str) -> None:
        """Notes how many pieces were left out, and how to leave out tiny pieces, if many were written. small: the
        number of pieces left out. fate: what became of them."""
        share = f"{SMALLEST_SHARE * 100:g} % of the image"
        min_area = self.options.min_area
        least = share if min_area == "auto" else f"{min_area} pixels"
        self.count(small, f"piece below {least}: {fate}")
        if self.tiny * 10 > self.pieces:
            of = f"of {self.pieces} pieces below {TINY} pixels, in masks that nobody checked"
            self.count(self.tiny, f"{of}: with --min-area auto, those below {share} are no objects")

    def put(self, path: str, data: bytes | str | Path) -> None:
        """Writes a file. path: relative to the folder. data: its bytes or text, or the file to copy or link."""
        if isinstance(data, str):
            data = data.encode("utf-8")
        put(self.folder / path, data, link=self.options.link)
        self.files += 1


def _encoded(
    classes: Sequence[str], encode: Callable[[Sample, np.ndarray], Any], sample: Sample
) -> tuple[Any, Shown, Any]:
    """((height, width), shown classes, result of `encode`) for a sample."""
    labels = sample.labels(len(classes))
    return labels.shape, shown_classes(labels, classes), encode(sample, labels)


def export(
    name: FormatName,
    classes: Sequence[str],
    samples: Iterable[Sample],
    out: Path | str,
    /,
    *,
    workers: int = 1,
    follow: Follow = iter,
    about: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> Exported:
    """Writes samples in a format with a card, and returns what was written. `out` appears only when it is complete.
    about: facts for the card. options: those of `ExportOptions` that the format has. `Dataset.export` describes the
    other arguments. Raises UserError, also if there is nothing to write, and TypeError for any other option."""
    for key in options.keys() - {*options_of(ExportOptions, name)}:
        raise TypeError(f"{name} has no option {key}")
    chosen = ExportOptions(**options)
    check_free(Path(out))  # before pictures are read
    if FORMATS[name].looked_for:
        fix = "give it another name in a new set, with `seediff merge SET --rename OLD=NEW --out NEWSET`"
        meant = classes if FORMATS[name].reserves_void else [each for each in classes if reserved_id(each) != IGNORE]
        check_meaning(meant, fix=fix)
    samples = list(samples)
    with_objects = sum(sample.has_objects for sample in samples)
    if with_objects and FORMATS[name].corrects:  # else a class's mask would be an object, as in other samples
        samples = [one.replace(instances=partial(objects_in_tool, one)) for one in samples]
    write = codec(name).write
    names = [flat_name(sample.name) if FORMATS[name].flat else sample.name for sample in samples]
    notes: list[str] = []
    splits = assign_splits(samples, classes, chosen.split, chosen.seed, follow=follow, note=notes.append)
    with stage_output(out) as folder, ExitStack() as stack:
        export = Export(folder, tuple(classes), samples, names, splits, stack, chosen, workers, follow, notes=notes)
        write(export)
        if not export.files:
            raise UserError("classes", f"no sample shows {first_of(chosen.classes or classes)}")
        facts = SetFacts({"format": name, **about})
        export.put(CARD, dataset_card(facts, export.rows, summarize(export.rows, classes), exported=True))
    if with_objects and not FORMATS[name].objects:
        export.note(f"objects of {plural(with_objects, 'sample')} are left out")
    written = Counter(splits) - export.left_out
    return Exported(written.total(), export.files, tuple(export.notes), written)
