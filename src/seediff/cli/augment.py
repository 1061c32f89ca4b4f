"""`seediff augment`: a dataset and changed copies of its samples, as a new dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ..config.augment import AugmentConfig
from ..config.fields import RUN, WORD
from ..config.resolve import configure
from .line import typed
from .options import (
    LINE,
    ConfigFile,
    DatasetOut,
    DryRun,
    EngineOptions,
    Quiet,
    carry_out,
    make_engine,
    option,
)


def augment(
    data: Annotated[Path, Parameter(help="Folder of a finished dataset.")],
    *,
    out: DatasetOut,
    line: Annotated[AugmentConfig | None, LINE] = None,
    link: Annotated[
        bool,
        option(
            RUN,
            "Hard-link the original pictures instead of copying them, where the file system allows it.",
            negative=(),
        ),
    ] = False,
    workers: Annotated[
        int | None,
        WORD,
        option(
            RUN,
            "Number of processes on this machine, or of Ray workers. The result is the same.",
            "1; ray: one per core",
        ),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"],
        option(RUN, "Where batches run: on this machine (local), or in Ray workers (ray).", "local"),
    ] = "local",
    address: Annotated[
        str | None,
        option(
            RUN,
            "With --engine ray: address of a running cluster, or auto for the one on this machine.",
            "start a cluster on this machine",
        ),
    ] = None,
    config: ConfigFile = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Add changed copies of a dataset's samples: spliced, noisy, blurred, tilted, occluded, flipped, in other colours.

    Masks change with their pictures and are never interpolated. Run the same command to continue a stopped run,
    with the same bytes in the end. soft/, attention/ and steps/ are not copied.

    For example:

    - `seediff augment pets --out more-pets`

    - `seediff augment pets --add flip:100%,splice-2x2:25% --add flip+noise:500 --workers 4 --out more-pets`

    - `seediff augment pets --add diffumask,colour:10% --no-keep-originals --image-format jpg --out new-pets`
    """
    from ..files.output_folders import check_apart
    from ..run.augment import AugmentJob
    from ..run.loop import Processes

    chosen = configure(AugmentConfig, typed, config)
    local = engine == "local"
    others = make_engine(EngineOptions(engine, None if local else workers, address))
    if local and workers not in (None, 1):
        others = Processes(workers)
    job = AugmentJob(chosen, data, link=link)
    check_apart(out, [data])
    result = carry_out(job, out, others, "samples", dry_run=dry_run, quiet=quiet)
    if result and not quiet:
        from .summary import command_line, look_at, next_steps

        added = result.made - job.originals
        print(f"{'' if result.done else 'Complete: '}{job.originals} originals and {added} new samples in {out}")
        if job.reviewed:
            print(f"Reviewed: {job.reviewed}")
        print(next_steps(command_line("train", out, "--out", "segmenter")))
        print(f"\n{look_at(out / result.picture)}")
