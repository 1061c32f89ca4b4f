"""`seediff export` and `seediff import`: a native dataset to another format, and back."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from cyclopts import Group, Parameter

from ..dataset.formats.known import FORMATS, FormatName, exporter, importer
from ..errors import UserError
from ..files.messages import counted
from .derive import option
from .options import HERE

if TYPE_CHECKING:
    from ..dataset.sample import Sample

OUTPUT = Group("Output", sort_key=1)
CHOICE = Group("Format", sort_key=2)
LINK = "hard links to pictures, where the file system allows them, instead of copies."
IMAGES = "images"
QUIET = option(OUTPUT, "Print nothing but errors.", negative=())


def own(name: str, text: str, default: object = "no", group: Group = CHOICE) -> Parameter:
    """An option of some formats; its help begins with those whose exporter has it."""
    having = [kind for kind in get_args(FormatName) if hasattr(FORMATS[kind].options, name)]
    return option(group, f"{', '.join(having)}: {text}", default, **({"negative": ()} if default == "no" else {}))


def export_(
    data: Annotated[Path, Parameter(help="Folder of a finished dataset.")],
    *,
    to: Annotated[FormatName, option(OUTPUT, "The format.")],
    out: Annotated[Path, HERE, option(OUTPUT, "Folder to make; it appears when it is complete.")],
    link: Annotated[bool | None, own("link", LINK, group=OUTPUT)] = None,
    workers: Annotated[int, option(OUTPUT, "Processes that look at the samples; the result is the same.", 1)] = 1,
    split: Annotated[
        float | None,
        own("split", "share of the samples for validation, from 0 to 1.", "as `split` in metadata.jsonl says, else 0"),
    ] = None,
    seed: Annotated[int | None, option(CHOICE, "With --split: another seed, another choice.", 0)] = None,
    min_area: Annotated[int | None, own("min_area", "smaller pieces, in pixels, are no objects.", 1)] = None,
    panoptic: Annotated[bool | None, own("panoptic", "also panoptic.json, with a PNG of each picture's segments.")] = None,
    polygons: Annotated[bool | None, own("polygons", "objects as polygons, not as exact run lengths; prints what they lose.")] = None,
    objects: Annotated[bool | None, own("objects", "also SegmentationObject; cvat: a mask per connected piece, not per class.")] = None,
    boxes: Annotated[bool | None, own("boxes", "also Annotations, with a box per object.")] = None,
    jpeg: Annotated[bool | None, own("jpeg", "write PNG pictures anew as JPEG of quality 95.")] = None,
    shard_size: Annotated[float | None, own("shard_size", "about how large a file is, in MB.", 500)] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Write a dataset in another format. Label maps come back exactly from all but yolo; pictures are never encoded anew unless asked.

    For example:

    - `seediff export pets --to voc --out pets-voc --objects`

    - `seediff export pets --to coco --out pets-coco --min-area 20`

    - `seediff export pets --to yolo --out pets-yolo --split 0.2`
    """
    from ..dataset.store import open_native
    from ..files.places import check_apart

    check_apart(out, [data])
    export = exporter(to)
    if shard_size is not None and not 0 < shard_size < float("inf"):
        raise UserError(f"--shard-size {shard_size}: must be a number of MB above 0")
    if seed is not None and split is None:
        raise UserError("--seed: needs --split SHARE, whose samples it chooses")
    size = round(shard_size * 1e6) if shard_size is not None else None
    objective = {"min_area": min_area, "panoptic": panoptic, "polygons": polygons, "objects": objects, "boxes": boxes}
    options = {"split": split, "seed": seed, **objective, "jpeg": jpeg}
    kind = FORMATS[to].options
    chosen = fitting([f.name for f in fields(kind)], {"link": link, **options, "shard_size": size}, f"--to {to}")
    classes, items = open_native(data)
    done = export(classes, shown(items, quiet), out, kind(workers=workers, **chosen))
    if not quiet:
        print(f"{counted(done.samples, 'sample')} in {out} ({counted(done.files, 'file')})")
        say_reviewed(items)
        print(*(f"note: {note}\n" for note in done.notes), sep="", end="")


def import_(
    source: Annotated[Path, Parameter(help="What to read: a folder, or for coco a JSON file.")],
    *,
    from_: Annotated[FormatName, option(OUTPUT, "The format.", name="--from")],
    out: Annotated[Path, HERE, option(OUTPUT, "Folder of the dataset to make; it appears when it is complete.")],
    link: Annotated[bool | None, option(OUTPUT, LINK.capitalize(), "no", negative=())] = None,
    split: Annotated[str | None, option(CHOICE, "voc, yolo, parquet, ultralytics, cvat-masks: only this part, such as val.", "all")] = None,
    classes: Annotated[
        str | None,
        option(
            CHOICE,
            "voc, webdataset, cvat-masks, labelstudio, fiftyone: names with commas between, a file of them, or `voc`.",
            "what the set says; voc: else its twenty",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        option(CHOICE, "voc, coco, yolo, ultralytics, cvat, cvat-masks, labelstudio: folder of the pictures.", "found in the set"),
    ] = None,
    annotations: Annotated[Path | None, option(CHOICE, "coco: JSON file.", "annotations/semantic*.json, else instances*.json")] = None,
    corrects: Annotated[
        Path | None,
        option(OUTPUT, "Dataset whose masks were corrected: it keeps pictures and rows, and what changed is counted.", "a set by itself"),
    ] = None,
    crowds: Annotated[
        Literal["ignored", "objects"] | None,
        option(CHOICE, "coco: what annotations with iscrowd 1 are.", "ignored, unless there is nothing else, which is an error"),
    ] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Make a dataset of what is in another format.

    For example:

    - `seediff import VOCdevkit/VOC2012 --from voc --out voc --split val`

    - `seediff import pets-coco --from coco --out pets`

    - `seediff import annotations.xml --from cvat --corrects pets --out corrected`
    """
    from ..config.names import parse_classes
    from ..dataset.store import write_native
    from ..files.places import check_apart

    check_apart(out, [source, *([corrects] if corrects else [])])
    read = importer(from_)
    names = parse_classes(classes) if classes is not None else None
    notes: list[str] = []
    given = {"split": split, "classes": names, "images": images, "annotations": annotations, "crowds": crowds}
    known = inspect.signature(read).parameters
    told = {"note": notes.append} if "note" in known else {}
    if corrects is not None and images is None and "images" in known and not _has_pictures(source):
        given["images"] = corrects / IMAGES
    found, items = read(source, **fitting(known, given, f"--from {from_}"), **told)
    about, changes = {"command": "import", "format": from_}, []
    items = some(items, source)
    if corrects is not None:
        from ..dataset.corrections import correct

        found, items = correct(corrects, found, items, by=from_, tell=changes.append)
    count = write_native(out, found, shown(items, quiet), about=about, link=bool(link))
    if not quiet:
        print(f"{counted(count, 'sample')} of {counted(len(found), 'class')} in {out}")
        if corrects is not None:
            from ..dataset.corrections import summed

            print(*summed(changes), sep="\n")
            if left := count - len(changes):
                print(f"{counted(left, 'sample')} of {corrects} did not come back: left as before")
        print(*(f"note: {note}\n" for note in notes), sep="", end="")
        from .summary import command_line, following

        print(following(command_line("check", out), command_line("train", out, "--out", "segmenter")))


def say_reviewed(items: Iterable[Sample]) -> None:
    """Tell how many masks are a person's, and of rejected samples; nothing where nobody reviewed any."""
    from ..dataset.reviews import told

    if line := told(item.metadata for item in items):
        print(f"Reviewed: {line}")


def _has_pictures(source: Path) -> bool:
    """Whether what was exported brought its pictures along."""
    folder = source if source.is_dir() else source.parent
    return any((folder / name).is_dir() for name in (IMAGES, "JPEGImages"))


def some(items: Iterable[Sample], source: Path) -> Iterator[Sample]:
    """The items. Raises UserError at the end when there was none."""
    empty = True
    for item in items:
        empty = False
        yield item
    if empty:
        raise UserError(f"{source}: has no sample; nothing was written")


def fitting(known: Collection[str], options: Mapping[str, Any], format_: str) -> dict[str, Any]:
    """The options that were given. Raises UserError for one that the format does not have."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in known:
            others = ", ".join(f"--{one.replace('_', '-')}" for one in options if one in known)
            raise UserError(f"--{name.replace('_', '-')} is no option of {format_}" + (f"; it has {others}" if others else ""))
    return given


def shown(items: Iterable[Sample], quiet: bool) -> Iterable[Sample]:
    """The items, with a bar of progress on a terminal."""
    if quiet or not sys.stderr.isatty():
        return items
    from rich.progress import track

    from ..files.messages import make_console

    total = len(items) if isinstance(items, Sequence) else None
    return track(items, "samples", total=total, console=make_console(stderr=True), transient=True)
