"""`seediff export` and `seediff import`: convert a native dataset to another format, and back."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from cyclopts import Group, Parameter

from ..config.class_names import alike_names, name_of_zero, parse_classes, reserved_id
from ..config.fields import RUN, WORD
from ..dataset.formats.format_table import (
    FORMATS,
    FormatName,
    Layout,
    SourceName,
    export_options,
    import_options,
    recognise,
)
from ..errors import UserError
from ..files.messages import make_console, plural
from ..files.outputs import check_apart
from .options import (
    HERE,
    Data,
    Link,
    NewOut,
    Quiet,
    WithRejected,
    Workers,
    check_whole,
    command_line,
    next_steps,
    option,
    train_line,
)

if TYPE_CHECKING:
    from ..dataset.importing import Imported
    from ..dataset.reading import Reading

T = TypeVar("T")
CHOICE = Group("Format", sort_key=6)
MOST_LINES = 30
"""Maximum number of lines about how a set was understood."""


def format_option(
    formats: object, options_of: Callable[[Any], Collection[str]], name: str, text: str, default: object = "no"
) -> Parameter:
    """An option that only some formats have; its help begins with the names of these formats, as in "voc, yolo: …".
    formats: the type of the formats' names. options_of: format → its options. name: its field. text: the rest of the
    help. default: the default that the help shows."""
    kinds = [kind for kind in get_args(formats) if name in options_of(kind)]
    more = {"negative": ()} if default == "no" else {}
    return option(CHOICE, f"{', '.join(kinds)}: {text}", default, **more)


export_option = partial(format_option, FormatName, export_options)
import_option = partial(format_option, SourceName, import_options)


@Parameter(name="*")
@dataclass(frozen=True)
class ExportOptions:
    """Options of some formats of `export`. None: the option was not given."""

    link: Annotated[
        bool | None,
        export_option("link", "hard-link images instead of copying them, where the file system allows it."),
    ] = None
    split: Annotated[
        float | None,
        export_option(
            "split", "share of the samples for validation, from 0 to 1.", "`split` in metadata.jsonl, else 0"
        ),
    ] = None
    seed: Annotated[
        int | None, WORD, option(CHOICE, "With --split: random seed; a different seed chooses different samples.", 0)
    ] = None
    min_area: Annotated[
        int | Literal["auto"] | None,
        WORD,
        Parameter(validator=check_whole),
        export_option(
            "min_area",
            "smallest object in pixels; smaller pieces are left out. `auto`: 1 % of the image in masks that a model "
            "made and nobody checked.",
            1,
        ),
    ] = None
    polygons: Annotated[bool | None, export_option("polygons", "write objects as polygons instead of run lengths.")] = (
        None
    )
    classes: Annotated[
        str | None,
        export_option("classes", "the trained classes, separated by commas; one mask shows all of them.", "all"),
    ] = None
    soft: Annotated[
        bool | None,
        export_option("soft", "soft masks, if there are any: as grey masks, or as the transparency of cut-outs."),
    ] = None
    layout: Annotated[
        Layout | None,
        WORD,
        export_option("layout", "masks in a folder masks/, or beside the image as NAME-masklabel.png.", "folders"),
    ] = None
    jpeg: Annotated[bool | None, export_option("jpeg", "convert PNG images to JPEG of quality 95.")] = None


def export_(
    data: Data,
    *,
    to: Annotated[FormatName, option(RUN, "The format.")],
    out: NewOut,
    workers: Workers = 1,
    with_rejected: WithRejected = False,
    options: ExportOptions | None = None,
    quiet: Quiet = False,
) -> None:
    """Write a dataset in another format. Images are copied unless --jpeg is given.

    For example:

    - `seediff export pets --to voc --out pets-voc --jpeg`

    - `seediff export pets --to coco --out pets-coco --min-area 20`

    - `seediff export pets --to yolo --out pets-yolo --split 0.2`
    """
    from ..dataset.dataset import open_parts

    check_apart(out, [data])
    options = options or ExportOptions()
    if options.seed is not None and options.split is None:
        raise UserError("seed", "works only with --split SHARE")
    asked = {**vars(options), "classes": read_class_names(options.classes)}
    given = options_given(export_options(to), asked, f"--to {to}")
    common = {"workers": workers, "follow": follow_progress(quiet), "with_rejected": with_rejected}
    done = open_parts(data).export(to, out, **common, **given)
    if not quiet:
        parts = [f"{count} {split}" for split, count in done.splits.items() if len(done.splits) > 1]
        print(f"{plural(done.samples, 'sample')} in {out} ({', '.join([*parts, plural(done.files, 'file')])})")
        say_notes(done.notes)
        step = train_line(out)
        if to == "yolo":
            step = (
                f"yolo segment train data={shlex.quote(str(out / 'data.yaml'))} model=yolo11n-seg.pt    # Ultralytics"
            )
        elif to == "coco":
            file = str(next(iter(sorted((out / "annotations").glob("instances*.json")))))
            code = shlex.quote(f"from pycocotools.coco import COCO; COCO({json.dumps(file)})")
            step = f"python -c {code}    # pycocotools; Detectron2 registers the same file"
        elif FORMATS[to].corrects:
            back = ("import", "EXPORTED", "--from", to, "--corrects", data, "--out", f"{data}-corrected")
            step = command_line(*back, about=f"what was corrected in {to}")
        if FORMATS[to].looked_for:
            print(next_steps(step))


@Parameter(name="*")
@dataclass(frozen=True)
class ImportOptions:
    """Options of some formats of `import`. None: the option was not given."""

    split: Annotated[str | None, import_option("split", "only this part, such as val.", "all")] = None
    classes: Annotated[
        str | None,
        import_option(
            "classes",
            "names separated by commas, a file of names, or `voc`.",
            "the set's own; for voc without any, VOC's twenty",
        ),
    ] = None
    images: Annotated[Path | None, import_option("images", "folder of the images.", "found in the set")] = None
    masks: Annotated[Path | None, import_option("masks", "folder of the masks.", "found in the set")] = None
    crowds: Annotated[
        Literal["ignored", "objects"] | None,
        import_option("crowds", "how to read annotations with iscrowd 1.", "ignored; an error if there are no others"),
    ] = None
    boxes: Annotated[
        Literal["masks"] | None,
        WORD,
        import_option(
            "boxes",
            "`masks`: read boxes, also polygons that are boxes, as masks.",
            "their pixels are ignored; an error if nine shapes of ten are boxes",
        ),
    ] = None
    skip_missing: Annotated[
        bool | None, import_option("skip_missing", "leave out labels whose image is missing.", "no")
    ] = None


def import_(
    source: Annotated[Path, Parameter(help="Folder to read, or for coco a JSON file.")],
    *,
    from_: Annotated[SourceName | None, option(RUN, "The format.", "detected, and reported", name="--from")] = None,
    out: Annotated[Path | None, HERE, option(RUN, "New folder, which --dry-run does not need.")] = None,
    link: Link = False,
    workers: Workers = 1,
    corrects: Annotated[
        Path | None,
        option(RUN, "Dataset whose masks were corrected. Its images and rows are kept, and changes are counted."),
    ] = None,
    accept_unchanged: Annotated[
        bool,
        option(RUN, "With --corrects: masks that came back unchanged were looked at, and are accepted.", negative=()),
    ] = False,
    unlabelled: Annotated[
        bool,
        option(RUN, "Read images without labels, to paint masks of --classes in `seediff look`.", negative=()),
    ] = False,
    options: ImportOptions | None = None,
    dry_run: Annotated[bool, option(RUN, "Read all, print how it was understood, and stop.", negative=())] = False,
    quiet: Quiet = False,
) -> None:
    """Make a dataset from another format, or of images without labels.

    For example:

    - `seediff import VOCdevkit/VOC2012 --from voc --out voc --split val`

    - `seediff import pets-coco --from coco --out pets`

    - `seediff import annotations.xml --from cvat --corrects pets --out corrected`

    - `seediff import photos --classes dog,cat --unlabelled --out pets`

    The last lines say how the files were understood: ids, colours, names, parts, and what was left out.
    """
    from ..dataset.importing import import_set, import_unlabelled

    options = options or ImportOptions()
    if accept_unchanged and corrects is None:
        raise UserError("accept_unchanged", "works only with --corrects DATASET")
    if out is not None:
        check_apart(out, [*filter(None, (source, corrects))])
    elif not dry_run:
        raise UserError("out", "is missing", "only --dry-run works without it")
    asked = {**vars(options), "classes": read_class_names(options.classes)}
    common: dict[str, Any] = {"workers": workers, "follow": follow_progress(quiet)}
    if unlabelled:
        given = options_given(
            ["classes"],
            {**asked, "from": from_, "corrects": corrects, "link": link or None, "dry-run": dry_run or None},
            "--unlabelled",
        )
        if "classes" not in given:
            raise UserError("classes", "is missing", "name what masks will show, such as --classes dog,cat")
        assert out is not None
        count = import_unlabelled(source, out, given["classes"], **common)
        if not quiet:
            print(f"{plural(count, 'image')} without labels in {out}")
            from ..files.photo_files import find_photos  # imports numpy

            say_notes(filter(None, [find_photos(source).note]))
            print(next_steps(command_line("look", out, about="paint masks")))
        return
    format_ = from_
    if format_ is None:
        format_ = "masks" if options.masks is not None else recognise(source)
        if not quiet:
            print(f"{source} is read as {format_}: {FORMATS[format_].looked_for}")
    given = options_given(import_options(format_), asked, f"--from {format_}")
    common |= {"corrects": corrects, "accept_unchanged": accept_unchanged, "link": link}
    if dry_run:
        out = None
    done = import_set(format_, source, out, **common, **given)
    if out is None:
        say_reading(done.reading)
    elif not quiet:
        print(f"{plural(len(done.rows), 'sample')} of {plural(len(done.classes), 'class')} in {out}")
        if corrects is not None:
            say_corrected(done, corrects, accept_unchanged)
        say_notes(alike_names(done.classes))
        say_reading(done.reading)
        print(next_steps(command_line("check", out), train_line(out), made=out))


def say_corrected(done: Imported, corrects: Path, accepted: bool) -> None:
    """Print how the masks changed. done: the import. corrects: the dataset whose masks were corrected. accepted:
    whether unchanged masks were accepted."""
    from ..dataset.importing import sum_changes

    print(sum_changes(done.changes))
    if not accepted and not all(change.pixels or change.divided for change in done.changes):
        say_notes(["unchanged masks get no verdict; --accept-unchanged accepts them, if somebody looked at all"])
    missing = len(done.rows) - len(done.changes)
    if missing > 0:
        print(f"{plural(missing, 'sample')} of {corrects} were not returned: left unchanged")


def read_class_names(classes: str | None) -> tuple[str, ...] | None:
    """The names of --classes; None if the option was not given. Raises UserError."""
    if classes is None:
        return None
    zero = name_of_zero(classes)
    if reserved_id(zero):
        problem = f"{classes}: calls id 0 {zero!r}, but with this option 0 is the background"
        raise UserError("classes", problem, "put the file into the folder as classes.txt, and leave out the option")
    return parse_classes(classes)


def say_reading(*readings: Reading) -> None:
    for reading in readings:
        print(*reading.lines(MOST_LINES), sep="\n")


def say_notes(notes: Iterable[str]) -> None:
    print(*(f"note: {note}\n" for note in notes), sep="", end="")


def options_given(own: Collection[str], options: Mapping[str, Any], format_: str) -> dict[str, Any]:
    """The options that a user gave: name → value. own: the names of the format's options. options: name → value of all
    options; None: not given. format_: the option that names the format, for the message, such as `--to yolo`. Raises
    UserError for a given option that the format does not have."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in own:
            others = ", ".join(f"--{other.replace('_', '-')}" for other in options if other in own)
            problem = f"--{name.replace('_', '-')} is not an option of {format_}"
            if others:
                problem += f"; it has {others}"
            raise UserError(problem)
    return given


def follow_progress(quiet: bool) -> Callable[[Iterable[T]], Iterable[T]]:
    """A function that yields the samples that it gets, and shows a progress bar meanwhile. Without a terminal, or if
    `quiet`, it shows no bar."""
    if quiet or not sys.stderr.isatty():
        return iter
    from rich.progress import track

    def follow(samples: Iterable[T]) -> Iterable[T]:
        return track(samples, "samples", console=make_console(stderr=True), transient=True)

    return follow
