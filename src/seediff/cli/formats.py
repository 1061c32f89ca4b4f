"""`seediff export` and `seediff import`: convert a native dataset to another format, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from cyclopts import Group, Parameter

from ..config.fields import WORD
from ..dataset.formats.format_table import (
    FORMATS,
    READ,
    FormatName,
    SourceName,
    codec,
    export_options,
    import_options,
    recognise,
)
from ..errors import UserError
from ..files.messages import plural
from .options import HERE, option

if TYPE_CHECKING:
    from ..dataset.sample import Sample

T = TypeVar("T")
OUTPUT = Group("Output", sort_key=1)
CHOICE = Group("Format", sort_key=2)
LINK = "hard-link pictures instead of copying them, where the file system allows it."
IMAGES = "images"
QUIET = option(OUTPUT, "Print only errors.", negative=())


def export_option(name: str, text: str, default: object = "no", group: Group = CHOICE) -> Parameter:
    """An option of some formats; its help begins with their names."""
    return _of(name, [kind for kind in get_args(FormatName) if name in export_options(kind)], text, default, group)


def import_option(name: str, text: str, default: object) -> Parameter:
    """The same for options of `import`."""
    return _of(name, [kind for kind in get_args(SourceName) if name in import_options(kind)], text, default, CHOICE)


def _of(name: str, kinds: Sequence[str], text: str, default: object, group: Group) -> Parameter:
    return option(group, f"{', '.join(kinds)}: {text}", default, **({"negative": ()} if default == "no" else {}))


def export_(
    data: Annotated[Path, Parameter(help="Folder of a finished dataset.")],
    *,
    to: Annotated[FormatName, option(OUTPUT, "The format.")],
    out: Annotated[Path, HERE, option(OUTPUT, "New folder; it appears when it is complete.")],
    link: Annotated[bool | None, export_option("link", LINK, group=OUTPUT)] = None,
    workers: Annotated[
        int, WORD, option(OUTPUT, "Number of processes that convert samples. The result is the same.", 1)
    ] = 1,
    split: Annotated[
        float | None,
        export_option(
            "split", "share of the samples for validation, from 0 to 1.", "`split` in metadata.jsonl, else 0"
        ),
    ] = None,
    seed: Annotated[
        int | None, WORD, option(CHOICE, "With --split: random seed; a different seed chooses different samples.", 0)
    ] = None,
    min_area: Annotated[
        int | None, WORD, export_option("min_area", "smallest object in pixels; smaller pieces are left out.", 1)
    ] = None,
    polygons: Annotated[
        bool | None,
        export_option("polygons", "write objects as polygons instead of run lengths."),
    ] = None,
    objects: Annotated[
        bool | None,
        export_option("objects", "one mask per object, not per class."),
    ] = None,
    jpeg: Annotated[bool | None, export_option("jpeg", "convert PNG pictures to JPEG of quality 95.")] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Write a dataset in another format. Label maps come back exactly from all but yolo. Pictures are copied unless
    --jpeg is given.

    For example:

    - `seediff export pets --to voc --out pets-voc --jpeg`

    - `seediff export pets --to coco --out pets-coco --min-area 20`

    - `seediff export pets --to yolo --out pets-yolo --split 0.2`
    """
    from ..dataset.dataset import Dataset
    from ..dataset.formats.drivers import export
    from ..files.output_folders import check_apart

    check_apart(out, [data])
    if seed is not None and split is None:
        raise UserError("seed", "works only with --split SHARE")
    asked = {"link": link, "split": split, "seed": seed, "min_area": min_area}
    asked |= {"polygons": polygons, "objects": objects, "jpeg": jpeg}
    chosen = options_given(export_options(to), asked, f"--to {to}")
    dataset = Dataset.from_native(data)
    done = export(to, dataset.classes, dataset, out, workers=workers, follow=follow_progress(quiet), **chosen)
    if not quiet:
        print(f"{plural(done.samples, 'sample')} in {out} ({plural(done.files, 'file')})")
        say_reviewed(dataset)
        say_notes(done.notes)


def import_(
    source: Annotated[Path, Parameter(help="Folder to read, or for coco a JSON file.")],
    *,
    from_: Annotated[SourceName | None, option(OUTPUT, "The format.", "detected, and reported", name="--from")] = None,
    out: Annotated[Path, HERE, option(OUTPUT, "Folder for the new dataset; it appears when it is complete.")],
    link: Annotated[bool | None, option(OUTPUT, LINK.capitalize(), "no", negative=())] = None,
    workers: Annotated[
        int, WORD, option(OUTPUT, "Number of processes that read label maps. The result is the same.", 1)
    ] = 1,
    split: Annotated[str | None, import_option("split", "only this part, such as val.", "all")] = None,
    classes: Annotated[
        str | None,
        import_option(
            "classes", "names separated by commas, a file of names, or `voc`.", "the set's own; voc: else VOC's twenty"
        ),
    ] = None,
    images: Annotated[Path | None, import_option("images", "folder of the pictures.", "found in the set")] = None,
    masks: Annotated[Path | None, import_option("masks", "folder of the masks.", "found in the set")] = None,
    annotations: Annotated[
        Path | None, import_option("annotations", "JSON file.", "annotations/semantic*.json, else instances*.json")
    ] = None,
    corrects: Annotated[
        Path | None,
        option(OUTPUT, "Dataset whose masks were corrected. Its pictures and rows are kept, and changes are counted."),
    ] = None,
    crowds: Annotated[
        Literal["ignored", "objects"] | None,
        import_option("crowds", "how to read annotations with iscrowd 1.", "ignored; an error if there are no others"),
    ] = None,
    skip_missing: Annotated[
        bool | None, import_option("skip_missing", "leave out labels whose picture is missing.", "no")
    ] = None,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Make a dataset from another format.

    For example:

    - `seediff import VOCdevkit/VOC2012 --from voc --out voc --split val`

    - `seediff import pets-coco --from coco --out pets`

    - `seediff import annotations.xml --from cvat --corrects pets --out corrected`
    """
    from ..config.names import meaning, name_of_zero, parse_classes
    from ..dataset import native
    from ..dataset.corrections import Change, correct, sum_changes
    from ..dataset.formats.drivers import read_format
    from ..dataset.native import write_native
    from ..files.output_folders import check_apart

    check_apart(out, [source, *([corrects] if corrects else [])])
    names = parse_classes(classes) if classes is not None else None
    if classes is not None and meaning(zero := name_of_zero(classes)):
        problem = f"{classes}: calls id 0 {zero!r}, but with this option 0 is the background"
        raise UserError("classes", problem, "put the file into the folder as classes.txt, and leave out the option")
    asked = {"split": split, "classes": names, "images": images, "masks": masks}
    asked |= {"annotations": annotations, "crowds": crowds, "skip_missing": skip_missing}
    if from_ is None:
        from_ = "masks" if masks is not None else recognise(source)
        if not quiet:
            print(f"{source} is read as {from_}: {FORMATS[from_].looked_for}")
            for other in READ if source.is_dir() else ():
                if other != from_ and codec(other).is_folder(source):
                    say_notes([f"{source} also looks like {FORMATS[other].looked_for}; --from {other} reads that"])
    known = import_options(from_)
    folder = source if source.is_dir() else source.parent
    brought = any((folder / name).is_dir() for name in (IMAGES, "JPEGImages"))  # the source brings its own pictures
    if corrects is not None and images is None and "images" in known and not brought:
        asked["images"] = corrects / IMAGES
    given = options_given(known, asked, f"--from {from_}")
    class_names, samples, read = read_format(from_, source, **given)  # streams the samples of a single large file
    samples, changes = require_samples(samples, source, empty=corrects is not None), list[Change]()
    if corrects is not None:
        class_names, samples = correct(corrects, class_names, samples, by=from_, tell=changes.append)
    about = {"command": "import", "format": from_}
    count = write_native(
        out, class_names, follow_progress(quiet)(samples), about=about, link=bool(link), workers=workers
    )
    if quiet:
        return
    print(f"{plural(count, 'sample')} of {plural(len(class_names), 'class')} in {out}")
    if corrects is not None:
        print(*sum_changes(changes), sep="\n")
        if left := count - len(changes):
            print(f"{plural(left, 'sample')} of {corrects} were not returned: left unchanged")
    say_notes(read.notes)
    from .summary import command_line, look_at, next_steps

    print(next_steps(command_line("check", out), command_line("train", out, "--out", "segmenter")))
    print(f"\n{look_at(out / native.PREVIEW)}")


def say_reviewed(samples: Iterable[Sample]) -> None:
    """Print the numbers of corrected masks and rejected samples; nothing if there are none."""
    from ..dataset.reviews import review_summary

    if line := review_summary(sample.metadata for sample in samples):
        print(f"Reviewed: {line}")


def say_notes(notes: Iterable[str]) -> None:
    print(*(f"note: {note}\n" for note in notes), sep="", end="")


def require_samples(samples: Iterable[Sample], source: Path, *, empty: bool) -> Iterator[Sample]:
    """Yields the samples. Raises UserError at the end if there were none, or if none shows a class. empty: allow that
    none does.
    """
    count, shows = 0, empty
    for sample in samples:
        count += 1
        shows = shows or bool((sample.label_map % 255).any())  # 0 is background, 255 ignored
        yield sample
    if not count:
        raise UserError(f"{source}: has no samples; nothing was written")
    if not shows:
        what = (
            f"has {plural(count, 'picture')} but no object, only background (0) or ignored (255); nothing was written"
        )
        raise UserError(source, what, "name the folder that also holds the labels, or their format with --from")


def options_given(known: Collection[str], options: Mapping[str, Any], format_: str) -> dict[str, Any]:
    """The options that were given. Raises UserError for an option that the format does not have."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in known:
            others = ", ".join(f"--{other.replace('_', '-')}" for other in options if other in known)
            has = f"; it has {others}" if others else ""
            raise UserError(f"--{name.replace('_', '-')} is not an option of {format_}{has}")
    return given


def follow_progress(quiet: bool) -> Callable[[Iterable[T]], Iterable[T]]:
    """A function that wraps an iterable of samples to show a progress bar on a terminal; elsewhere, or if quiet, it
    shows nothing.
    """
    if quiet or not sys.stderr.isatty():
        return iter
    from rich.progress import track

    from ..files.messages import make_console

    def follow(samples: Iterable[T]) -> Iterable[T]:
        total = len(samples) if isinstance(samples, Sequence) else None
        return track(samples, "samples", total=total, console=make_console(stderr=True), transient=True)

    return follow
