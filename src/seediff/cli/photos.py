"""`seediff segment` and `seediff mask`: photographs → configuration → segments or masks."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..config.base import DEFAULT, TUNED
from ..config.fields import IMAGES, MASKS, RUN
from ..config.methods import SEGMENT_OPTIONS
from ..config.names import sound
from ..config.photographs import MaskPhotosConfig, SegmentPhotosConfig
from ..config.resolve import THRESHOLDS, configure, is_tuned, read_file
from ..errors import UserError
from ..models.memory import Graphs, Offload
from .line import UNTYPED, Typed
from .options import (
    GRAPHS,
    HERE,
    OFFLOAD,
    ConfigFile,
    DatasetOut,
    DryRun,
    EngineOptions,
    Quiet,
    carry_out,
    check_mask_effects,
    make_engine,
    option,
)

if TYPE_CHECKING:
    from ..run.loop import RunResult

PATHS = Parameter(
    help="Photographs: files, folders (with subfolders), or patterns such as 'photos/*.jpg'.", negative=()
)


def segment(
    paths: Annotated[list[Path], PATHS],
    /,
    *,
    out: Annotated[
        Path, HERE, option(RUN, "Folder for the results. Continues an unfinished run there.", "segments")
    ] = Path("segments"),
    line: Typed[SegmentPhotosConfig] = UNTYPED,
    captions: Annotated[
        Path | None,
        option(
            IMAGES,
            "Captions whose words name segments: CSV with the columns file and caption, or a folder of NAME.txt files.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, option(IMAGES, "With -k truth: folder of label maps, named like the photographs.")
    ] = None,
    preset: Annotated[
        str,
        option(
            MASKS,
            "Default constants. model: the model's own, if any, else COCO's (--kl-threshold 1.1); coco; cityscapes"
            " (0.9); or a file from `seediff tune`.",
            "model",
        ),
    ] = "model",
    config: ConfigFile = None,
    offload: Annotated[Offload, OFFLOAD] = "none",
    graphs: Annotated[Graphs, GRAPHS] = "auto",
    engine: EngineOptions | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Divide photographs into segments without class names: DiffSeg, K-Means, DiffCut.

    Writes a dataset whose objects are the segments. The same command continues a run that was stopped. Unreadable
    photographs do not stop the others; failed.jsonl lists them.

    For example:

    - `seediff segment photo.jpg`

    - `seediff segment photos --names "dog,grass,sky" --out segments`

    - `seediff segment "photos/*.jpg" --fit tile --model sd1.4 --preset coco --out tiles`

    - `seediff segment photos --method kmeans -k 6 --out kmeans`

    - `seediff segment photos --model sd2-base --offload sequential --out frugal`
    """
    from ..files.photo_files import find_photos
    from ..run.segment import SegmentJob

    settled = configure(SegmentPhotosConfig, line.values, config, preset=preset)
    check_effects(line.values, settled, labels=labels, named=bool(settled.names) or captions is not None)
    workers = make_engine(engine)
    check_photographs(paths)
    found = find_photos(paths, exclude=out)
    words: dict[str, tuple[str, ...]] = {}
    if captions is not None:
        from ..models.info import find_settings
        from ..prompts.captions import read_words

        words = read_words(captions, found.photos, settled.names, find_settings(settled.model, settled.base).words)
    untuned = never_tuned(settled) if (settled.names or captions is not None) and not quiet else ""
    job = SegmentJob(settled, found, words=words, labels=labels, offload=offload, graphs=graphs)
    job.warn = _silent if quiet else _warn
    result = carry_out(job, out, workers, "photographs", dry_run=dry_run, quiet=quiet)
    if result and not quiet:
        from .summary import show_segments

        show_segments(result, job.config, found.skipped)
    conclude(result, untuned, len(found.photos))


def mask(
    paths: Annotated[list[Path], PATHS],
    /,
    *,
    out: DatasetOut,
    line: Typed[MaskPhotosConfig] = UNTYPED,
    preset: Annotated[
        str,
        option(
            MASKS,
            "Default constants. model: the model's own, if any, else the paper's; paper; or a file from `seediff"
            " tune`.",
            "model",
        ),
    ] = "model",
    config: ConfigFile = None,
    offload: Annotated[Offload, OFFLOAD] = "none",
    graphs: Annotated[Graphs, GRAPHS] = "auto",
    engine: EngineOptions | None = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Make pixel masks of named classes in photographs, as a dataset like `generate`'s.

    A `classes.csv` in the folder (columns file and classes) gives each photograph its own classes; photographs that it
    does not list get all of them. Run the same command to continue a stopped run. Unreadable photographs do not stop
    the others; failed.jsonl lists them.

    For example:

    - `seediff mask photo.jpg --classes dog --out masked`

    - `seediff mask photos --classes dog,cat --model sd2-base --keep-soft --out masked`

    - `seediff mask photos --classes photos/classes.csv --out masked`

    - `seediff mask photos --classes dog,cat --model sdxl --offload model --out masked`
    """
    from ..files.photo_files import find_photos
    from ..run.mask import MaskJob
    from ..run.photos import read_classes_csv

    workers = make_engine(engine)
    check_photographs(paths)
    found = find_photos(paths, exclude=out)
    listed = classes_file(paths, line.values.get("classes", ()))
    classes_of = read_classes_csv(listed, found.photos) if listed else {}
    values = line.values
    if listed:
        if not any(classes_of.values()):
            raise UserError(listed, "lists no class for any photograph", "write names into its column 'classes'")
        of_table = tuple(dict.fromkeys(name for names in classes_of.values() for name in names))
        other = config is not None and not is_tuned(config) and read_file(config, MaskPhotosConfig).values
        if other and {*other.get("classes", of_table)} != {*of_table}:
            raise UserError("config", f"{config} and {listed} name different classes", "choose with --classes")
        values = {**line.values, "classes": of_table}
    settled = configure(MaskPhotosConfig, values, config, preset=preset)
    if listed:
        spelled = {sound(word): word for word in settled.classes}
        classes_of = {name: tuple(spelled.get(sound(word), word) for word in of) for name, of in classes_of.items()}
    check_mask_effects(line.values, settled.mask)
    untuned = "" if quiet else never_tuned(settled)
    job = MaskJob(settled, found, classes_of, offload=offload, graphs=graphs)
    job.warn = _silent if quiet else _warn
    result = carry_out(job, out, workers, "photographs", dry_run=dry_run, quiet=quiet)
    if result and not quiet:
        from .summary import show_masks

        show_masks(result, job.config, found.skipped)
    conclude(result, untuned, len(found.photos))


def check_photographs(paths: Sequence[Path]) -> None:
    """Raise UserError for a folder that is itself a dataset: its label maps would be read as photographs."""
    from ..dataset.native import CLASSES, MASKS
    from ..dataset.native import IMAGES as PICTURES

    for path in paths:
        if (path / CLASSES).is_file() and (path / PICTURES).is_dir() and (path / MASKS).is_dir():
            problem = "is a SeeDiff dataset, whose label maps are not photographs"
            raise UserError(path, problem, f"give {path / PICTURES}")


def never_tuned(config: MaskPhotosConfig | SegmentPhotosConfig) -> str:
    """A warning that the threshold was never tuned for the model; "" if it was tuned or given."""
    name = THRESHOLDS[config.command]
    source = config.source(name)
    if source == f"{TUNED}{config.model}" or not (source == DEFAULT or source.startswith(TUNED)):
        return ""
    sought = "it is another model's" if source == DEFAULT else f"it was tuned for '{source.removeprefix(TUNED)}'"
    return (
        f"{name} = {getattr(config, name)} was never tuned for model '{config.model}' ({sought}): choose one with"
        f" --{name.replace('_', '-')}, or find it from a few labelled photographs with `seediff tune SET --model"
        f" {config.model}`"
    )


def classes_file(paths: Sequence[Path], classes: Sequence[str]) -> Path | None:
    """The table that gives each photograph its classes: named by --classes, or found in the folder of photographs."""
    if classes:
        table = next((name for name in classes if name.lower().endswith(".csv")), None)
        if table is not None and len(classes) > 1:
            raise UserError(
                "classes", f"{table} is a table, which cannot be combined with class names", "give one of the two"
            )
        return Path(table) if table else None
    tables = [path / "classes.csv" for path in paths if (path / "classes.csv").is_file()]
    if len(tables) > 1:
        raise UserError(f"{tables[0]} and {tables[1]}: only one table of classes can be used: name it with --classes")
    return tables[0] if tables else None


def _warn(text: str) -> None:
    print(f"seediff: {text}", file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    """For --quiet."""


def check_effects(typed: Collection[str], settled: SegmentPhotosConfig, *, labels: Path | None, named: bool) -> None:
    """Raise UserError for an option that was typed and has no effect."""
    segment = settled.segment
    if "segment.rounds" in typed and isinstance(segment.kl_threshold, tuple):
        problem = f"{len(segment.kl_threshold)} values of --kl-threshold already set the number of rounds"
        raise UserError("segment.rounds", problem, "leave one of the two out")
    for name in typed:
        option = name.removeprefix("segment.")
        methods = [method for method, options in SEGMENT_OPTIONS.items() if option in options and option != "k"]
        if methods and name.startswith("segment.") and segment.method not in methods:
            raise UserError(name, f"is an option of method {' and '.join(methods)}, not of {segment.method}")
        if name == "name_threshold" and not named:
            raise UserError(name, "segments get no names without --names or --captions")
    if labels is not None and segment.k != "truth":
        raise UserError("labels", "is used only with --method kmeans -k truth, which counts the segments in them")


def conclude(result: RunResult | None, untuned: str, photos: int) -> None:
    """Print the warning `untuned` on stderr, then raise UserError (for the exit code) if some photographs could not be
    used. The others are finished by then."""
    if untuned:
        _warn(untuned)
    if result and result.failed:
        from ..run.photos import FAILED

        first = f"{result.failed[0]['photo']}: {result.failed[0]['reason']}"
        rest = f" and {len(result.failed) - 1} more" if len(result.failed) > 1 else ""
        where = shlex.quote(str(result.out / FAILED))
        raise UserError(
            f"{len(result.failed)} of {photos} photographs could not be used ({first}{rest}); the list is in {where}"
        )
