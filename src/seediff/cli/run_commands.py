"""`seediff generate`, `mask` and `segment`: options → configuration → job, with progress and a summary."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..config.fields import INPUT, MASKS, RUN
from ..config.methods import METHOD_FACTS, MaskConfig, MethodFacts, methods_with
from ..config.runs import GenerateConfig, MaskPhotosConfig, SegmentPhotosConfig
from ..errors import UserError
from .advice import report_unusable, warn
from .options import AS_USUAL, HERE, ConfigFile, RunOptions, RunOut, option
from .progress import show_progress
from .typed import NOTHING, Typed

if TYPE_CHECKING:
    from ..files.photo_files import FoundPhotos
    from ..models.describe import ModelInfo
    from ..run.job import AnyModelJob
    from ..run.mask_job import MaskJob
    from ..run.output import RunResult
    from ..run.segment_job import SegmentJob

PATHS = Parameter(
    help="Photographs: files, folders (with subfolders), or patterns such as 'photos/*.jpg'.", negative=()
)


def generate(
    *,
    out: RunOut,
    typed: Typed[GenerateConfig] = NOTHING,
    vary: Annotated[
        str | None,
        option(
            INPUT, "Add phrases to prompts with {class}: place, light, view, or several, separated by commas.", "none"
        ),
    ] = None,
    config_file: ConfigFile = None,
    preset: Annotated[
        Literal["model", "paper"],
        option(MASKS, "Default constants: those tuned for the model, if there are any, or the paper's.", "model"),
    ] = "model",
    options: RunOptions = AS_USUAL,
) -> None:
    """Generate images of named classes with pixel masks, as a dataset for training.

    Run the same command to continue a stopped run. A higher --per-class adds images.

    For example:

    - `seediff generate --classes dog,cat --per-class 50 --out pets`

    - `seediff generate --classes horse --per-class 20 --prompt "a {class} on grass" --prompt "a {class}" --out farm`

    - `seediff generate --classes all --per-class 5 --vary place,light --out everything`

    - `seediff generate --classes dog,bird --subclasses "poodle dog,terrier dog,owl bird" --model sd1.5 --out varied`

    - `seediff generate --classes dog,bird,car --classes-per-image 1,1,2 --out pairs`

    - `seediff generate --config pets/seediff.toml --seed 1 --out more-pets`

    - `seediff generate --classes zebra --model sd1.5 --batch-size 4 --out zebras --dry-run`

    - `seediff generate --classes dog,cat --model sdxl --size 1536 --offload model --vae-tiling --out large`

    - `seediff generate --classes voc --per-class 50000 --model sd1.5 --engine ray --address auto --out voc`
    """
    from ..config.resolve import configure_run

    config, info = configure_run(GenerateConfig, typed, config_file, preset=preset, planned=options.dry_run)
    never = config.reject is False and config.min_confidence is None
    rules = [*mask_rules(config.mask), ("attempts", never, "no sample is drawn again")]
    check_effects(typed, config.method, rules)
    if vary not in (None, "none"):
        from ..prompts.specs import varied_prompts

        kinds = [kind.strip() for kind in vary.split(",")]
        prompts = varied_prompts(config.prompts, kinds, config.classes, info.settings.words)
        config = replace(config, prompts=prompts, given=(*config.given, "prompts"))
    from ..run.generate_job import GenerateJob

    job = GenerateJob(config, info, options.offload)
    _carry_out(job, out, options)


def segment(
    paths: Annotated[list[Path], PATHS],
    /,
    *,
    out: Annotated[
        Path, HERE, option(RUN, "Folder for the results. Continues an unfinished run there.", "segments")
    ] = Path("segments"),
    typed: Typed[SegmentPhotosConfig] = NOTHING,
    preset: Annotated[
        str,
        option(
            MASKS,
            "Default constants. model: the model's own, if any, else the paper's; or a file from `seediff tune`.",
            "model",
        ),
    ] = "model",
    config_file: ConfigFile = None,
    options: RunOptions = AS_USUAL,
) -> None:
    """Divide photographs into segments without class names: DiffSeg, K-Means, DiffCut.

    Writes a dataset whose objects are the segments. The same command continues a run that was stopped. Unreadable
    photographs do not stop the others; failed.jsonl lists them.

    For example:

    - `seediff segment photo.jpg --model sd1.5`

    - `seediff segment photos --model sd1.5 --names "dog,grass,sky" --out segments`

    - `seediff segment "photos/*.jpg" --fit crop --model sd1.5 --out cropped`

    - `seediff segment photos --model sd1.5 --method kmeans -k 6 --out kmeans`

    - `seediff segment photos --model sd1.5 --offload sequential --out frugal`
    """
    from ..config.resolve import configure_run
    from ..files.photo_files import check_photos, find_photos
    from ..run.segment_job import SegmentJob

    config, info = configure_run(
        SegmentPhotosConfig, typed, config_file, preset=preset, planned=options.dry_run, out=out
    )
    thresholds = config.segment.kl_threshold
    rounds = isinstance(thresholds, tuple) and len(thresholds)
    rules = [
        ("segment.rounds", rounds, f"{rounds} values of --kl-threshold already set the number of rounds"),
        ("name_threshold", not config.names, "segments get no names without --names"),
    ]
    check_effects(typed, config.method, rules)
    check_photos(paths)
    found = find_photos(paths, exclude=out)
    warning = threshold_warning(config, info, preset) if config.names else ""
    job = SegmentJob.of(config, found, info=info, offload=options.offload)
    _run_on_photos(job, found, out, options, warning)


def mask(
    paths: Annotated[list[Path], PATHS],
    /,
    *,
    out: RunOut,
    typed: Typed[MaskPhotosConfig] = NOTHING,
    preset: Annotated[
        str,
        option(
            MASKS,
            "Default constants. model: the model's own, if any, else the paper's; paper; or a file from `seediff"
            " tune`.",
            "model",
        ),
    ] = "model",
    config_file: ConfigFile = None,
    options: RunOptions = AS_USUAL,
) -> None:
    """Make pixel masks of named classes in photographs, as a dataset like `generate`'s.

    A `classes.csv` in the folder (columns file and classes) gives each photograph its own classes; photographs that it
    does not list get all of them. Run the same command to continue a stopped run. Unreadable photographs do not stop
    the others; failed.jsonl lists them.

    For example:

    - `seediff mask photo.jpg --model sd1.5 --classes dog --out masked`

    - `seediff mask photos --classes dog,cat --model sd1.5 --keep-soft --out masked`

    - `seediff mask photos --model sd1.5 --classes photos/classes.csv --out masked`

    - `seediff mask photos --classes dog,cat --model sdxl --offload model --out masked`
    """
    from ..config.resolve import configure_run
    from ..files.photo_files import check_photos, find_photos
    from ..run.mask_job import MaskJob
    from ..run.photos import list_classes

    check_photos(paths)
    if "classes" not in typed and len(paths) > 1 and not (paths[-1].suffix or paths[-1].exists()):
        raise UserError(paths[-1], "no such file or folder", f"a class is an option: --classes {paths[-1]}")
    found = find_photos(paths, exclude=out)
    # A table gives each photograph its own classes; otherwise all get the same
    listed = list_classes(paths, found.photos, typed.get("classes", ()))
    for table in listed.unread:
        warn(f"{table} is not read, because --classes is given", options.quiet)
    values = {**typed, "classes": listed.classes} if listed.table else typed
    config, info = configure_run(MaskPhotosConfig, values, config_file, preset=preset, planned=options.dry_run, out=out)
    check_effects(typed, config.method, mask_rules(config.mask))
    warning = "; ".join(filter(None, [*listed.notes(len(found.photos)), threshold_warning(config, info, preset)]))
    job = MaskJob.of(config, found, listed.spelled(config.classes), info=info, offload=options.offload)
    _run_on_photos(job, found, out, options, warning)


def _carry_out(job: AnyModelJob, out: Path, options: RunOptions, skipped: str = "") -> RunResult | None:
    """Run a job, with its progress on stderr, and print its summary. With --dry-run, print what it would do and return
    None. Without a terminal for progress, print a line about the run before the model is loaded.

    out: the folder of the output. skipped: a line about other files, or "".
    """
    from ..run import loop
    from .summary import show_result

    engine = None
    if options.engine == "ray":
        from ..run.cluster import Ray

        engine = Ray(options.workers, options.address)
    if options.dry_run:
        for line in loop.dry_run(job, out, options.verbose, options.finish, engine):
            print(line, flush=True)
        return None
    if not (options.quiet or sys.stderr.isatty()):  # where no bar shows that it has begun
        print(loop.first_line(job, out, options.finish, engine), flush=True)
    with show_progress(options.quiet, out, can_finish=True) as progress:
        said = partial(warn, quiet=options.quiet)
        result = loop.run(job, out, engine=engine, progress=progress, warn=said, finish=options.finish)
    if not options.quiet:
        show_result(job, result, skipped)
    return result


def _run_on_photos(job: SegmentJob | MaskJob, found: FoundPhotos, out: Path, options: RunOptions, warning: str) -> None:
    """Carry out the job of `mask` or `segment`. found: the photographs. warning: printed after the summary; "": no
    warning. Raises UserError if some photographs could not be used."""
    result = _carry_out(job, out, options, found.note)
    if warning:
        warn(warning, options.quiet)
    if result:
        report_unusable(result.failed, len(found.photos), result.out)


def threshold_warning(config: MaskPhotosConfig | SegmentPhotosConfig, info: ModelInfo, preset: str) -> str:
    """A warning that the command's threshold (`presence` of `mask`, `name_threshold` of `segment`) was tuned for
    another model; "" if it was tuned for this model, or given. info: the model. preset: as in `configure_run`."""
    from ..models.describe import read_preset

    name = config.threshold
    value = getattr(config, name)
    if name in config.given:
        return ""
    tuned_for = config.model
    if value == getattr(type(config), name) and getattr(info.settings.preset, name, None) is None:
        tuned_for = ""  # the class's default
    if preset not in config.presets:
        file = read_preset(preset)
        if getattr(file, name) is not None:
            tuned_for = file.model
    if tuned_for == config.model:
        return ""
    other = f"'{tuned_for}'" if tuned_for else "another model"
    return (
        f"{name} {value} was tuned for {other}, not for '{config.model}': choose one with"
        f" --{name.replace('_', '-')}, or find it from a few labelled photographs with `seediff tune SET --model"
        f" {config.model}`"
    )


Rule = tuple[str, object, str]
"""The flat name of an option, whether it has no effect, and why."""


def check_effects(typed: Mapping[str, Any], method: str, rules: Sequence[Rule]) -> None:
    """Raise UserError for a typed option that has no effect, for example --tau with another method than ca_sa. typed:
    what was typed. method: the method of masks or segments. rules: for what depends on more than the method."""
    facts = METHOD_FACTS.get(method, MethodFacts())
    useless = [(name, reason) for name, has_none, reason in rules if has_none and name in typed]
    if facts.user_function is None:  # a user's function may read any constant
        for name in typed:
            methods = methods_with(name)
            if methods and method not in methods:
                useless.append((name, f"it is an option of {', '.join(methods)}, not of {method}"))
    for name, reason in useless:
        raise UserError(name, f"has no effect, as {reason}", "leave it out")


def mask_rules(mask: MaskConfig) -> list[Rule]:
    """The rules for options of masks. mask: the constants in use."""
    finish = mask.facts.last_steps
    has_own = f"{mask.method} has its own"
    return [
        ("mask.beta", mask.ignore_band, "the ignored band replaces it"),
        ("mask.beta", finish.threshold, has_own),
        ("mask.pamr_iterations", not mask.pamr, "PAMR is off"),
        ("mask.pamr_iterations", finish.iterations, has_own),
        ("mask.pamr_dilations", not mask.pamr, "PAMR is off"),
        ("mask.pamr_dilations", finish.dilations, has_own),
    ]
