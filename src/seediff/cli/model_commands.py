"""`seediff models`, `download` and `tune`: list the known models, fetch one, and find a model's own thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..config.class_names import parse_classes
from ..config.fields import INPUT, MODEL, RUN, DType, Whole, read_names
from ..config.resolve import configure_run
from ..config.runs import MaskPhotosConfig, SegmentPhotosConfig
from ..config.settings import configure
from ..errors import UserError
from ..files.outputs import check_writable, write_atomic
from ..models.describe import describe, describe_model, preset_toml, read_settings
from ..models.locate import locate
from ..models.short_names import EMBEDDED, EMBEDDED_LICENCE, SHORT_NAMES
from .advice import command_line, next_steps, say_notes, warn
from .options import AT_LEAST_1, HERE, Quiet, option
from .progress import bar_or_lines, report_on_interrupt
from .typed import ANY_CLASS, NOTHING, Typed

ABOUT_MODELS = """\
Licences are what the models' pages said: read them before use. docs/models.md has their sizes.
Fetched on first use; or before, also for a machine without a network: seediff download NAME
Also any local folder in diffusers' format, or a hub id: seediff generate --model FOLDER --classes zebra --out zebras"""


def models(
    name: Annotated[str | None, Parameter(help="A model, whose classes are listed.", show_default=False)] = None, /
) -> None:
    """List the models that have short names, with their hub ids and licences; or the classes that a model knows.

    For example:

    - `seediff models`

    - `seediff models mini`
    """
    if name is not None:
        known = describe(locate(name)).settings.classes
        print(f"{name} is not limited to a list of classes" if known is None else "\n".join(known))
        return
    known = read_settings(EMBEDDED["mini"]).classes or ()
    print(f"{'mini':21}in the package\n{'':21}{EMBEDDED_LICENCE}; draws {', '.join(known)}")
    for short, model in SHORT_NAMES.items():
        print(f"{short:21}{model.hub_id}\n{'':21}{model.licence}")
    print(f"\n{ABOUT_MODELS}")


def download(
    name: Annotated[str, Parameter(help="A name from `seediff models`, a hub id, or `owner/name/FILE` with --base.")],
    /,
    *,
    base: Annotated[str | None, option(MODEL, "Model that supplies what a single file lacks.")] = None,
    dtype: Annotated[
        DType | None,
        option(MODEL, "Number format in which it will be loaded.", "this machine's: half precision with a GPU"),
    ] = None,
    out: Annotated[
        Path | None,
        HERE,
        option(RUN, "Folder for the files, to copy elsewhere; then --model FOLDER.", "the hub's cache"),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fetch a model from the hub before it is needed: only the files that a run loads, safetensors and no pickles.

    Run the same command to continue a download that was stopped.

    For example:

    - `seediff download sdxl`

    - `seediff download sdxl --dtype float16 --out sdxl`
    """
    from ..devices import default_device, default_dtype
    from ..models.pipeline import fetch_pipeline

    with report_on_interrupt(lambda: "the download unfinished"):
        info = describe_model(name, base)
        files = info.files
        is_hubs = files.is_whole and isinstance(files.whole, str)
        if out is not None and not is_hubs:
            raise UserError("out", f"is for a whole model of the hub, and {name} is not one", "leave it out")
        if files.file:
            files.file.fetch()
        folder = files.whole
        if isinstance(folder, str):
            usual = default_dtype(default_device(), info.family.half)
            folder = fetch_pipeline(files, info.family, dtype or usual, out)
    if not quiet:
        model = ["--model", out or name]
        places = str(folder)
        if base is not None:
            model += ["--base", base]
        if not files.is_whole:
            places = f"{files.network or (files.file and files.file.path)} and {folder}"
        print(f"{name}: all files are in {places}")
        print(next_steps(command_line("generate", *model, "--classes", "dog,cat", "--out", "pets")))


def tune(
    data: Annotated[
        Path, Parameter(help="Labelled photographs: a folder in any layout that `evaluate` and `import` read.")
    ],
    /,
    *,
    out: Annotated[
        Path, HERE, option(RUN, "File to write the thresholds to, for --preset of `mask` and `segment`.")
    ] = Path("preset.toml"),
    typed: Typed[Annotated[MaskPhotosConfig, "model size device dtype"]] = NOTHING,
    classes: Annotated[
        tuple[str, ...],
        read_names(parse_classes),
        option(INPUT, "Classes of the set to use: names separated by commas, or a file.", "all"),
    ] = (),
    split: Annotated[str | None, option(INPUT, "Part of the set to use.", "val; all of a set without parts")] = None,
    count: Annotated[Whole, AT_LEAST_1, option(INPUT, "Maximum number of photographs, evenly spaced.", 50)] = 50,
    quiet: Quiet = False,
) -> None:
    """Find a model's own thresholds from a few labelled photographs: `presence` and `beta` for `mask`,
    `name_threshold` for `segment --names`.

    For example:

    - `seediff tune VOCdevkit/VOC2012 --model sd1.5 --out sd1.5.toml`

    - `seediff mask photos --model sd1.5 --classes dog,cat --preset sd1.5.toml --out masked`
    """
    from ..dataset.dataset import Dataset
    from ..run.photos import doubt_line
    from ..run.tune import classes_to_tune, load_masker
    from ..run.tune import tune as find_thresholds

    check_writable(out, is_file=True)
    if out.exists():
        raise UserError("out", f"{out} already exists", "choose another file")
    configure(MaskPhotosConfig, {"classes": ANY_CLASS, **typed})  # refuses wrong values before data are read
    # 1. The model, and the classes that it knows
    labelled = Dataset.open(data, split=split, labels_alone=True)
    segmenting, info = configure_run(SegmentPhotosConfig, typed)
    kept = classes_to_tune(labelled, info.settings.words, classes)
    names = tuple(dict.fromkeys(kept.values()))
    config, _ = configure_run(MaskPhotosConfig, {**typed, "classes": names}, model=info)
    doubt = doubt_line(info, config.model_label)
    if doubt:
        warn(doubt)

    # 2. The thresholds, and their file
    masker, weights = load_masker(config, info)
    with bar_or_lines(quiet, "photographs") as progress:
        tuning = find_thresholds(masker, weights, labelled, kept, segmenting, count=count, progress=progress)
    write_atomic(out, preset_toml(tuning.tuned).encode("utf-8"))
    if not quiet:
        print(*tuning.lines, f"Written to {out}; use it with --preset {out}", sep="\n")
        say_notes(labelled.notes)
    for name, reason in tuning.failed:
        warn(f"{name}: left out: {reason}")
