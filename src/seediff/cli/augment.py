"""`seediff augment`: a dataset and changed copies of its samples, as a new dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from ..config.augment import OPERATIONS, PRESETS, AugmentConfig, Strength
from ..config.fields import RUN, WORD
from ..config.resolve import configure
from .line import typed
from .options import LINE, ConfigFile, DryRun, EngineOptions, Quiet, carry_out, chosen_engine, option, parse_place

WHAT = Group("What to add", sort_key=1)
KEPT = Group("Output", sort_key=3)


def augment(
    data: Annotated[Path, Parameter(help="Folder of a finished dataset.")],
    *,
    out: Annotated[
        str, option(RUN, "Folder for the new dataset, or an address such as s3://bucket/name. Continues an unfinished run there.")
    ],
    add: Annotated[
        list[str] | None,
        option(
            WHAT,
            "OPERATION:HOW-MANY, separated by commas or repeated. flip:50% (of the training samples), blur:200 (pictures), flip+noise:10% "
            f"(one after the other). Operations: {', '.join(OPERATIONS)}.",
            negative=(),
        ),
    ] = None,
    preset: Annotated[
        Literal["diffumask"] | None,
        option(WHAT, "DiffuMask's recipe, scaled to the number of training samples; applied before --add.", "diffumask without --add"),
    ] = None,
    seed: Annotated[int | None, WORD, option(WHAT, "Random seed; another seed gives other pictures.", 0)] = None,
    strength: Annotated[Strength | None, LINE] = None,
    keep_originals: Annotated[bool | None, option(KEPT, "Also write the original samples.", "yes")] = None,
    image_format: Annotated[
        Literal["png", "jpg"] | None, option(KEPT, "Format of new pictures; masks are always PNG.", "the source's")
    ] = None,
    link: Annotated[
        bool, option(KEPT, "Hard-link the original pictures instead of copying them, where the file system allows it.", negative=())
    ] = False,
    workers: Annotated[
        int | None,
        WORD,
        option(RUN, "Number of processes on this machine, or of Ray workers. The result is the same.", "1; ray: one per core"),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], option(RUN, "Where batches run: on this machine (local), or in Ray workers (ray).", "local")
    ] = "local",
    address: Annotated[
        str | None,
        option(
            RUN, "With --engine ray: address of a running cluster, or auto for the one on this machine.", "start a cluster on this machine"
        ),
    ] = None,
    batch_size: Annotated[
        int | None, WORD, option(RUN, "Samples per batch. A stopped run continues after its last finished batch.", 64)
    ] = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Add changed copies of a dataset's samples: spliced, noisy, blurred, tilted, occluded, flipped, in other colours.

    Masks change with their pictures and are never interpolated. The same command continues a run that was stopped, and ends with the same
    bytes. soft/, attention/ and steps/ are not copied.

    For example:

    - `seediff augment pets --out more-pets`

    - `seediff augment pets --add flip:100%,splice-2x2:25% --add flip+noise:500 --workers 4 --out more-pets`

    - `seediff augment pets --preset diffumask --add colour:10% --no-keep-originals --image-format jpg --out new-pets`
    """
    from ..files.output_folders import check_apart
    from ..run.augment import AugmentJob
    from ..run.loop import Processes

    line = {"seed": seed, "keep_originals": keep_originals, "image_format": image_format, "batch_size": batch_size}
    line: dict[str, Any] = {name: value for name, value in line.items() if value is not None}
    if add or preset:
        listed = [part.strip() for text in add or () for part in text.split(",")]
        line["add"] = (*(PRESETS[preset] if preset else ()), *listed)
    chosen = configure(AugmentConfig, {**typed, **line}, config)
    place, local = parse_place(out), engine == "local"
    others = chosen_engine(EngineOptions(engine, None if local else workers, address))
    if local and workers not in (None, 1):
        others = Processes(workers)
    job = AugmentJob(chosen, data, link=link)
    check_apart(place, [data])
    result = carry_out(job, place, others, "samples", dry_run=dry_run, quiet=quiet)
    if result and not quiet:
        from .summary import command_line, following, look_at

        added = result.made - job.originals
        print(f"{'' if result.done else 'Complete: '}{job.originals} originals and {added} new samples in {place}")
        if job.reviewed:
            print(f"Reviewed: {job.reviewed}")
        if isinstance(place, Path):
            print(following(command_line("train", out, "--out", "segmenter")))
        print(f"\n{look_at(place / result.picture)}")
