"""`Dataset`: samples and their classes, independent of file formats. `Dataset.open` is the door to every set."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from PIL import Image

from ..config.class_names import BACKGROUND
from ..config.sets import VAL_SHARE, Criteria, Reviewed
from ..drawing.overlays import contact_sheet
from ..drawing.shown import thumbnail
from ..errors import Notice, UserError
from ..files.image_files import compress_image
from ..files.messages import plural
from ..files.reading import composed
from ..report.set_summary import doubts, samples_from
from ..rows.values import check_parts, no_part, part_of, shown_classes
from ..workers import Follow
from . import native
from .class_lists import check_class_list
from .formats.exporting import Exported
from .formats.exporting import export as write_format
from .formats.format_table import FormatName, SetFormat
from .formats.refusal import format_of, refusal
from .formats.source import check_options, read_set
from .formats.what_is_there import Unread
from .merge import RenamedClasses, merge_sets, set_names
from .reading import Reading, Tally
from .reviews import left_out_notes
from .sample import Sample
from .select import Stats, clean_sample, measure, select_samples, set_stats
from .split import split_samples
from .writing import save_native

if TYPE_CHECKING:
    from .torch_samples import TorchSamples, Transform


class Dataset(Sequence[Sample]):
    """Samples and the classes of their label maps. The files of a sample are read when they are accessed.

        pets = Dataset.open("pets-coco").filter(min_area=0.01)
        train, val = pets.merge(Dataset.open("drawn")).split(val=0.2)

    Methods such as `filter` return new datasets.

    classes: the names of ids 1, 2, …, without the background. path: where the dataset was read from, for messages.
    notes: lines about what was left out when it was read. ids: value in the files → id in label maps; None: they are
    equal. title: what the dataset is, for messages. understood: how its files were understood, without counts. tally:
    what its samples count when their label maps are read.
    """

    def __init__(
        self,
        classes: Sequence[str],
        samples: Sequence[Sample],
        *,
        path: Path | str | None = None,
        notes: Sequence[str] = (),
        ids: Mapping[int, int] | None = None,
        title: str = "",
        understood: Reading | None = None,
        tally: Tally | None = None,
    ):
        check_class_list(classes)
        self.classes = tuple(map(composed, classes))
        self.samples = list(samples)
        self.path = Path(path) if path is not None else None
        self.notes = tuple(notes)
        self.ids = ids or {number: number for number in range(len(self.classes) + 1)}
        self.title = title or f"dataset in {path or 'memory'}"
        self.understood = understood or Reading()
        self.tally = tally or Tally()
        self.dropped: Mapping[str, int] = {}
        """In the result of `filter`: criterion → number of samples that it dropped. A sample counts for the first
        criterion that it does not meet."""

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | slice) -> Sample | Dataset:
        """The sample at a position, or the dataset of a slice."""
        if isinstance(index, slice):
            return self._of(self.samples[index])
        return self.samples[index]

    def __repr__(self) -> str:
        return f"Dataset({len(self)} samples of {', '.join(self.classes) or 'no class'})"

    def show(self, count: int = 12) -> Image.Image:
        """A sheet of samples, evenly spaced, each with its mask laid over it and the classes that it shows. A notebook
        shows it of a dataset at the end of a cell. count: the most samples. Raises UserError for a dataset without
        samples, and for files that cannot be read."""
        count = min(count, len(self))
        if count < 1:
            raise UserError(self.path or "the dataset", "has no samples to show")
        samples = [self.samples[number * len(self) // count] for number in range(count)]
        maps = [sample.label_map for sample in samples]
        tiles = [thumbnail(sample.image, labels) for sample, labels in zip(samples, maps, strict=True)]
        names = [", ".join(shown_classes(labels, self.classes).classes) for labels in maps]
        return Image.fromarray(contact_sheet(tiles, 4, names))

    def _repr_png_(self) -> bytes | None:
        return compress_image(np.asarray(self.show())) if self.samples else None

    def _of(self, samples: Sequence[Sample], notes: Sequence[str] = (), **changes: Any) -> Dataset:
        """A dataset of these samples, and otherwise like this one. notes: lines to add to the notes. changes: other
        arguments of `Dataset`."""
        same = {"classes": self.classes, "path": self.path, "ids": self.ids, "title": self.title}
        about = {**same, "understood": self.understood, **changes}
        return Dataset(samples=samples, notes=[*self.notes, *notes], **about)

    def watched(self) -> Dataset:
        """This dataset, whose `reading` counts label maps when they are read for the first time."""
        tally = Tally()
        return self._of([*tally.watch(self.samples)], tally=tally)

    @property
    def reading(self) -> Reading:
        """How the files were understood. Only the label maps that were read in a `watched` dataset are counted."""
        return self.understood.counted(self.classes, self.tally, self.notes, self.path)

    @property
    def names(self) -> dict[int, str]:
        """Id in label maps → name. The background is included only if a value in the files means the background."""
        names = dict(enumerate((BACKGROUND, *self.classes)))
        if 0 not in self.ids.values():
            del names[0]
        return names

    @property
    def doubts(self) -> list[str]:
        """Lines about what to know before the masks are used, such as how many of them nobody has checked."""
        return doubts([sample.row for sample in self.samples])

    @property
    def about(self) -> str:
        """A line with the title, the number of images and the number of classes besides the background."""
        return f"{self.title}: {plural(len(self), 'image')}, {plural(len(self.classes), 'class')}"

    @classmethod
    def open(
        cls,
        path: Path | str,
        format: SetFormat | None = None,
        *,
        split: str | None = None,
        labels_alone: bool = False,
        **options: Any,
    ) -> Dataset:
        """Opens a set of any format that SeeDiff reads: a folder that SeeDiff wrote, the folder of parts that `split`
        wrote, or the folder or file of another program.

        format: None: recognised by the files. "native": what SeeDiff wrote, with corrected masks in place of the
        originals. split: the part to open, such as "val"; None: all. Samples without a part belong to "train".
        labels_alone: only label maps are compared. Pictures may be missing then, a plain folder of label maps is a set,
        too, samples that nobody labelled are left out, and of a public set, its usual part is opened (CamVid: `test`,
        others: `val`). options: those of `ImportOptions` (formats/format_table.py) that the format has, and of
        `Source`; of a native set `as_made`: whether to leave out what people decided and corrected. Raises
        UserError for a file that cannot be used, for a part without samples, and for an option
        that the format does not have.
        """
        path = Path(path)
        if format is None:
            format = format_of(path, labels_alone)
        check_options(format, options)
        if format == "native":
            opened = _open_native(path, split, **options)
            are_maps = False
        else:
            check_class_list(options.get("classes") or ())  # formats would take the letters of a text
            try:
                read, source = read_set(format, path, split=split, labels_alone=labels_alone, **options)
            except Unread as error:
                raise refusal(error, path, format) from error
            are_maps = read.ids is not None
            opened = cls(
                read.class_list.classes,
                read.samples,
                path=path,
                notes=source.notes,
                ids=read.ids,
                title=read.about,
                understood=replace(read.class_list.reading(read.parts), named=source.named),
            )
        if not labels_alone:
            return opened
        return opened._compared(one_part=split is not None or "truth" in options, are_maps=are_maps)

    def _compared(self, one_part: bool, are_maps: bool) -> Dataset:
        """The set for comparing label maps, as `open` describes `labels_alone`. one_part: whether its parts need not be
        clear. are_maps: whether it has label maps alone, which no picture must fit."""
        if not self.samples:
            raise UserError(self.path or "the dataset", f"holds no labelled images ({self.about})")
        if not one_part:
            check_parts((sample.row.part for sample in self.samples), self.path)
        samples = self.samples
        if not are_maps:
            samples = [one.read_by(partial(one.labels, len(self.classes))) for one in samples]
        return self._of(samples).labelled(with_rejected=True)

    def export(
        self,
        name: FormatName,
        out: Path | str,
        *,
        with_rejected: bool = False,
        reviewed: Reviewed | None = None,
        **options: Any,
    ) -> Exported:
        """Writes the dataset in a format, with a card. `out` appears only when it is complete.

        name: the format. with_rejected: also export samples that people rejected. reviewed: as for `filter`. options:
        those of `ExportOptions` (formats/format_table.py) that the format has, such as `split`, the share of samples
        for validation, in [0, 1]; None: the `split` in the metadata. workers: the number of processes. follow: wraps
        the samples, to show progress. Raises UserError naming a sample that cannot be used, and TypeError for an
        unknown option.
        """
        chosen = self.filter(reviewed=reviewed)
        if reviewed and not chosen:
            raise UserError(self.path or "the dataset", f"has no sample that is {reviewed}", "decide in `seediff look`")
        kept = chosen.labelled(with_rejected or reviewed == "rejected")
        notes = [f"{count} without the decision {reviewed}: left out" for count in chosen.dropped.values()]
        done = write_format(name, self.classes, kept.samples, out, about=kept._origins, **options)
        return replace(done, notes=(*notes, *kept.notes[len(self.notes) :], *kept.doubts, *done.notes))

    @property
    def _origins(self) -> Mapping[str, str]:
        """The fact about which sets the samples come from, for cards."""
        (name,) = set_names([self.path or "data"])
        return {"samples": samples_from([sample.row for sample in self.samples], name)}

    def save(
        self, out: Path | str, *, link: bool = False, about: Mapping[str, Any] | None = None, follow: Follow = iter
    ) -> None:
        """Writes the native dataset `out`. link, follow: as for `save_native`. about: facts for the dataset's
        card and page."""
        save_native(out, self.classes, self.samples, about={**(about or {}), **self._origins}, link=link, follow=follow)

    def filter(
        self, keep: Callable[[Sample], bool] | None = None, *, follow: Follow = iter, **criteria: Any
    ) -> Dataset:
        """The samples that meet all criteria, and for which `keep` returns True. The result's `dropped` counts the
        others. With `clean`, their masks lose small pieces (`select.clean_sample`); its `notes` count these
        masks.

        keep: a function that is called with each sample. follow: wraps the samples, to show progress. criteria: the
        fields of `config.sets.Criteria`; `drop_flags` may be a single text. Raises UserError naming what a criterion
        needs.
        """
        samples = [sample for sample in self.samples if keep is None or keep(sample)]
        if isinstance(criteria.get("drop_flags"), str):
            criteria["drop_flags"] = (criteria["drop_flags"],)
        where = str(self.path or "the dataset")
        wanted = Criteria(**criteria)
        selected, dropped = select_samples(self.classes, samples, wanted, where, follow)
        notes = list[str]()
        if wanted.clean:
            cleaned = [clean_sample(sample, self.classes, wanted.clean) for sample in follow(selected)]
            changed = sum(one is not before for one, before in zip(cleaned, selected, strict=True))
            count = f"{changed} of {plural(len(selected), 'mask')}"
            notes.append(f"pieces below {wanted.clean} pixels removed in {count}")
            selected = cleaned
        kept = self._of(selected, notes)
        kept.dropped = dropped
        return kept

    def labelled(self, with_rejected: bool = False) -> Dataset:
        """The samples for training and comparing: without those that nobody has labelled, and those that people
        rejected in `seediff look`. The result's `notes` count both. with_rejected: keep rejected samples. Raises
        UserError if no sample is left."""
        reasons = [sample.row.why_left_out(with_rejected) for sample in self.samples]
        kept = [sample for sample, reason in zip(self.samples, reasons, strict=True) if not reason]
        if self.samples and not kept:
            fix = "accept or paint some in `seediff look`"
            if "rejected" in reasons:
                fix += ", or take the rejected ones nevertheless: --with-rejected"
            problem = f"all of its samples ({len(self)}) are {' or '.join(sorted({*reasons}))}"
            raise UserError(self.path or "the dataset", problem, fix)
        return self._of(kept, left_out_notes(reasons))

    def merge(self, *others: Dataset, ignore_background: bool = False) -> Dataset:
        """This dataset and others as one. Classes with the same name become one class. `merge.merge_sets` has the rules
        and `ignore_background`."""
        sets = (self, *others)
        names = set_names([each.path or Path("data") for each in sets])
        named = [(name, each.classes, each.samples) for name, each in zip(names, sets, strict=True)]
        classes, samples, notes = merge_sets(named, ignore_background=ignore_background)
        return Dataset(classes, samples, notes=notes)

    def renamed(self, renames: Mapping[str, str]) -> Dataset:
        """The dataset with other class names. `merge.RenamedClasses` has the rules."""
        new = RenamedClasses(self.classes, renames)
        samples = [*map(new.renamed, self.samples)]
        ids = {value: int(new.ids[class_id]) for value, class_id in self.ids.items()}
        return self._of(samples, classes=new.classes, ids=ids, understood=self.understood.renamed(new.names))

    def split(
        self,
        *,
        val: float = VAL_SHARE,
        test: float | None = None,
        by: str | None = None,
        seed: int = 0,
        follow: Follow = iter,
    ) -> tuple[Dataset, ...]:
        """The parts for training, for validation and, with `test`, for testing. Each part has its share of every class.

        val, test: shares of the samples, between 0 and 1. by: "folder", or a pattern for names: samples whose names
        have the same folder or match, such as frames of a recording, are in one part. seed: another seed gives other
        parts. follow: wraps the samples, to show progress. Pictures that look the same (copies.py), or that `augment`
        or Roboflow made of one picture, are in one part. Raises UserError, also for a part that would be empty.
        """
        shares = {"val": val}
        if test is not None:
            shares["test"] = test
        found: dict[str, list[Sample]] = {part: [] for part in ("train", *shares)}
        notes: list[str] = []
        parts = split_samples(self.samples, self.classes, shares, by=by, seed=seed, follow=follow, note=notes.append)
        for part in found:
            if part not in parts:
                problem = f"the part '{part}' would be empty: {len(self)} samples"
                raise UserError("split", problem, "choose other shares")
        for sample, part in zip(self.samples, parts, strict=True):
            found[part].append(sample.replace(row=sample.row.replace(split=part)))
        return tuple(self._of(samples, notes) for samples in found.values())

    def stats(self, follow: Follow = iter) -> Stats:
        """The statistics of the dataset and of each class. follow: wraps the samples, to show progress."""
        count = len(self.classes)
        measured = [measure(sample.labels(count)) for sample in follow(self.samples)]
        return set_stats(measured, self.classes)

    def as_torch(
        self, transform: Transform | None = None, *, objects: bool = False, with_rejected: bool = False
    ) -> TorchSamples:
        """A `torch.utils.data.Dataset` of (image, label_map): (3, H, W) float32 in [0, 1], and (H, W) int64 of class
        ids, 255 ignored.

        transform: a function that is called with the image and the label map; its result replaces both. objects:
        replace the label map by a dictionary of objects for torchvision's detectors, with "masks", "labels" and
        "boxes". The objects are the samples' `instances`, or else the connected pieces of each class. with_rejected:
        keep samples that people rejected; otherwise a warning counts them.
        """
        from .torch_samples import TorchSamples

        kept = self.labelled(with_rejected)
        for note in kept.notes[len(self.notes) :]:
            warnings.warn(note, Notice, stacklevel=2)
        return TorchSamples(kept.samples, len(self.classes), transform, objects=objects)


def _open_native(path: Path, split: str | None, *, as_made: bool = False, **_: Any) -> Dataset:
    """A native folder, or the folder of its parts, as one dataset. The arguments are those of `Dataset.open`. Raises
    UserError."""
    folders = native.part_folders(path)
    (classes, samples), *others = (native.open_native(folder, as_made=as_made) for folder in folders)
    for folder, (names, more) in zip(folders[1:], others, strict=True):
        if names != classes:
            raise UserError(folder, f"has other classes than {folders[0]}", "`seediff merge` joins them")
        samples += more
    if split is not None:
        parts = [sample.row.part for sample in samples]
        wanted = part_of(split) or split
        if wanted not in parts:
            raise no_part(split, path, parts)
        samples = [sample for sample, part in zip(samples, parts, strict=True) if part == wanted]
    return Dataset(classes, samples, path=path, understood=native.read_as(classes, samples))
