"""`seediff export` and `seediff import`: convert a native dataset to another format, and back."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..config.class_names import alike_names
from ..config.fields import RUN
from ..config.sets import Reviewed
from ..dataset.formats.format_table import (
    FORMATS,
    ExportOptions,
    FormatName,
    ImportOptions,
    SetFormat,
    SourceName,
    options_of,
    recognise,
)
from ..errors import UserError
from ..files.messages import plural
from ..files.outputs import check_apart
from .advice import command_line, next_steps, say_notes, say_reading, train_line
from .options import HERE, Data, Link, NewOut, Quiet, WithRejected, Workers, option
from .progress import follow_progress
from .typed import NOTHING, Typed

if TYPE_CHECKING:
    from ..dataset.importing import Imported


def export_(
    data: Data,
    *,
    to: Annotated[FormatName, option(RUN, "The format.")],
    out: NewOut,
    workers: Workers = 1,
    with_rejected: WithRejected = False,
    reviewed: Annotated[Reviewed | None, option(RUN, "Only samples with this decision in `seediff look`.")] = None,
    typed: Typed[ExportOptions] = NOTHING,
    quiet: Quiet = False,
) -> None:
    """Write a dataset in another format. Images are copied unless --jpeg is given.

    For example:

    - `seediff export pets --to voc --out pets-voc --jpeg`

    - `seediff export pets --to coco --out pets-coco --min-area 20`

    - `seediff export pets --to yolo --out pets-yolo --split 0.2 --reviewed accepted`
    """
    from ..dataset.dataset import Dataset

    check_apart(out, [data])
    check_options(options_of(ExportOptions, to), typed, f"--to {to}")
    common: dict[str, Any] = {"workers": workers, "follow": follow_progress(quiet), "with_rejected": with_rejected}
    common |= {"reviewed": reviewed}
    done = Dataset.open(data, "native").export(to, out, **common, **typed)
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
        bool, option(RUN, "Read images without labels, to paint masks of --classes in `seediff look`.", negative=())
    ] = False,
    typed: Typed[ImportOptions] = NOTHING,
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
    from ..dataset.importing import import_set, import_unlabelled, sum_changes

    if accept_unchanged and corrects is None:
        raise UserError("accept_unchanged", "works only with --corrects DATASET")
    if out is not None:
        check_apart(out, [*filter(None, (source, corrects))])
    elif not dry_run:
        raise UserError("out", "is missing", "only --dry-run works without it")
    common: dict[str, Any] = {"workers": workers, "follow": follow_progress(quiet)}
    if unlabelled:
        others = {"from": from_, "corrects": corrects, "link": link, "dry-run": dry_run}
        check_options(["classes"], [*typed, *(name for name, value in others.items() if value)], "--unlabelled")
        if "classes" not in typed:
            raise UserError("classes", "is missing", "name what masks will show, such as --classes dog,cat")
        assert out is not None
        count = import_unlabelled(source, out, typed["classes"], **common)
        if not quiet:
            print(f"{plural(count, 'image')} without labels in {out}")
            from ..files.photo_files import find_photos  # imports numpy

            say_notes(filter(None, [find_photos(source).note]))
            print(next_steps(command_line("look", out, about="paint masks")))
        return
    format_: SetFormat | None = from_
    if format_ is None:
        fits: list[SourceName] = [*recognise(source)]
        format_ = "masks"
        if "labels" in typed:
            format_ = "yolo"
        elif "masks" not in typed or fits[:1] == ["voc"]:
            from ..dataset.formats.refusal import format_of  # imports numpy

            format_ = format_of(source)
        if format_ == "native":
            raise UserError(source, "is already a native dataset", "`seediff merge` joins datasets")
        if not quiet:
            line = f"{source} is read as {format_}: {FORMATS[format_].looked_for}"
            for name in fits:
                if name != format_:
                    line += f"; it also fits {name} (--from {name}): {FORMATS[name].looked_for}"
            print(line)
    check_options(options_of(ImportOptions, format_), typed, f"--from {format_}")
    common |= {"corrects": corrects, "accept_unchanged": accept_unchanged, "link": link}
    if dry_run:
        out = None
    done = import_set(format_, source, out, **common, **typed)
    if out is None:
        if corrects is not None:
            print(sum_changes(done.changes))
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


def check_options(own: Sequence[str], given: Iterable[str], format_: str) -> None:
    """Raises UserError for a given option that a format does not have. own: the names of the format's options. given:
    those that the user gave. format_: the option that names the format, for the message, such as `--to yolo`."""
    for name in given:
        if name not in own:
            options = [f"--{each.replace('_', '-')}" for each in (name, *own)]
            raise UserError(f"{options[0]} is not an option of {format_}; it has {', '.join(options[1:])}")
