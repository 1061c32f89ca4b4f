"""`seediff train` and `seediff predict`: datasets → a segmenter → masks of pictures."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..config.class_names import side_notes
from ..config.fields import RUN, Whole
from ..config.runs import PredictConfig
from ..config.settings import configure
from ..config.train import TrainConfig, TrainingOptions, make_config
from ..files.messages import plural
from .advice import command_line, next_steps, report_unusable, say_notes, say_reading
from .options import AT_LEAST_0, AT_LEAST_1, HERE, ConfigFile, DryRun, Quiet, RunOut, Verbose, option
from .progress import bar_or_lines, report_on_interrupt, show_progress
from .typed import NOTHING, Typed

USUAL_TRAINING = TrainingOptions()


def train(
    data: Annotated[
        list[Path],
        Parameter(
            help="Datasets, in any format that `seediff import` reads. What is named twice counts twice.", negative=()
        ),
    ],
    /,
    *,
    out: Annotated[Path, HERE, option(RUN, "Folder for the segmenter. Continues an unfinished training there.")],
    options: TrainingOptions = USUAL_TRAINING,
    typed: Typed[TrainConfig] = NOTHING,
    config_file: ConfigFile = None,
    validate_every: Annotated[
        Whole | None, AT_LEAST_1, option(RUN, "Steps between validations.", "an epoch's, at least 50")
    ] = None,
    save_every: Annotated[
        Whole, AT_LEAST_1, option(RUN, "Steps between checkpoints, from which a killed run continues.", 500)
    ] = 500,
    workers: Annotated[
        Whole | None, AT_LEAST_0, option(RUN, "Number of threads that read images ahead.", "one per core, 8 at most")
    ] = None,
    dry_run: DryRun = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Train a segmenter on datasets.

    Run the same command to continue a stopped run. Ctrl-C: finish and save the step, then stop; press it again to
    stop at once.

    For example:

    - `seediff train pets --out segmenter --epochs 20 --val-share 0.1`

    - `seediff train pets --out segmenter --epochs 30`

    - `seediff train synthetic --finetune VOCdevkit/VOC2012 --finetune-epochs 20 --backbone r50 --out segmenter`

    - `seediff train synthetic real real --architecture segformer --out segmenter --dry-run`
    """
    from ..train.plan import choose_defaults
    from ..train.stages import find_doubts, open_training

    # Refuse wrong values, and a device that is not here, before data are read
    device = make_config(typed, config_file).device
    if device not in (None, "cpu"):
        from ..devices import check_device  # imports torch

        check_device(device)
    training = open_training(data, **vars(options))
    readings = [dataset.reading for dataset in training.sets]
    config, chosen = choose_defaults(typed, config_file, training, out)
    if not quiet:
        sides = side_notes(training.classes) if config.flip else ()
        say_notes([*chosen, *training.notes, *find_doubts(training, config), *sides])
    if dry_run:
        from ..train.plan import describe_training

        for text in describe_training(config, training, out, validate_every, verbose):
            print(text, flush=True)
        say_reading(*readings)
        return
    from ..train.run import train as run

    total = sum(stage.step_count(config.batch_size) for stage in training.stages)

    def begin() -> None:
        if not quiet:
            say_reading(*readings)

    with _report_steps(out, total, begin) as keep, bar_or_lines(quiet, "steps", told=True) as progress:
        result = run(
            config,
            training.stages,
            out,
            progress,
            validation=training.validation,
            validate_every=validate_every,
            save_every=save_every,
            workers=workers,
            keep=keep,
        )
    if not quiet:
        speed = f"{result.images_per_second:.1f} images/s" if result.images_per_second else "it was complete"
        print(f"{result.steps} steps, {speed}: {out}")
        if training.validation:
            print(f"mIoU {result.miou:.1%} on {plural(len(training.validation), 'sample')}, at step {result.best_step}")

        about = "masks of your images, as a dataset"
        predict = command_line("predict", out, "PHOTOS", "--out", "predicted", about=about)
        evaluate = command_line("evaluate", out, "--data", "DATASET", about="compare with the labels of a dataset")
        print(next_steps(predict, evaluate))


@contextmanager
def _report_steps(out: Path, total: int, begin: Callable[[], None]) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with the number of saved steps. Ctrl-C and a full disk become errors whose message has
    this number. out: the folder of the segmenter. total: the number of all steps. begin: called before the first
    step."""
    kept: int | None = None

    def keep(steps: int) -> None:
        nonlocal kept
        if kept is None:
            begin()
        kept = steps

    def state() -> str:
        if kept is None:  # the folder has not been read yet
            return "nothing finished yet"
        return f"{kept or 'none'} of {total} steps kept in {shlex.quote(str(out))}"

    with report_on_interrupt(state):
        yield keep


def predict(
    model: Annotated[Path, Parameter(help="Folder of a segmenter from `train`.")],
    paths: Annotated[list[Path], Parameter(help="Images, or folders of images.", negative=())],
    /,
    *,
    out: RunOut,
    typed: Typed[PredictConfig] = NOTHING,
    quiet: Quiet = False,
) -> None:
    """Segment images with a trained segmenter. Writes a dataset with the segmenter's classes.

    Run the same command to continue a stopped run. Unreadable images do not stop the others; failed.jsonl lists them.

    For example: `seediff predict segmenter photos --out predicted --flip`
    """
    from ..files.messages import first_of
    from ..files.photo_files import check_photos, find_photos  # imports numpy
    from ..run.loop import run
    from ..run.predict_job import PredictJob
    from .summary import show_result

    check_photos(paths)
    found = find_photos(paths, exclude=out)
    config = configure(PredictConfig, {**typed, "model": str(model)})
    job = PredictJob.of(config, found.photos)
    with show_progress(quiet, out) as progress:
        result = run(job, out, progress=progress)
    if not quiet:
        empty = [row.source for row in result.rows if not row.class_names]
        if empty:
            say_notes([f"no class was found in {len(empty)} of {plural(result.made, 'image')}: {first_of(empty)}"])
        show_result(job, result, found.note)
    report_unusable(result.failed, len(found.photos), out)
