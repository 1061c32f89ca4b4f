"""`seediff generate`: options → configuration → dataset, with progress and a summary."""

from __future__ import annotations

from typing import Annotated, Literal

from ..config.fields import IMAGES, MASKS, RUN
from ..config.generate import GenerateConfig
from ..config.resolve import configure
from ..models.info import find_settings
from ..models.memory import Graphs, Offload
from .line import UNTYPED, Typed
from .options import (
    GRAPHS,
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


def generate(
    *,
    out: DatasetOut,
    line: Typed[GenerateConfig] = UNTYPED,
    vary: Annotated[
        str | None,
        option(IMAGES, "Add phrases to the templates: place, light, view, or several, separated by commas.", "none"),
    ] = None,
    config: ConfigFile = None,
    preset: Annotated[
        Literal["model", "paper"],
        option(MASKS, "Default constants: those tuned for the model, if there are any, or the paper's.", "model"),
    ] = "model",
    offload: Annotated[Offload, OFFLOAD] = "none",
    graphs: Annotated[Graphs, GRAPHS] = "auto",
    engine: EngineOptions | None = None,
    top_up: Annotated[
        bool,
        option(
            RUN,
            "Redraw the samples that were rejected in `seediff look`. All others stay as they are.",
            negative=(),
        ),
    ] = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Generate images of named classes with pixel masks, as a dataset for training.

    Run the same command to continue a stopped run, with the same bytes in the end. A higher --per-class adds
    images. --top-up redraws those that you rejected.

    For example:

    - `seediff generate --classes dog,cat --per-class 50 --out pets`

    - `seediff generate --classes horse --per-class 20 --prompt "a {class} on grass" --prompt "a {class}" --out farm`

    - `seediff generate --classes all --per-class 5 --vary place,light --out everything`

    - `seediff generate --classes dog,bird --subclasses "poodle dog,terrier dog,owl bird" --model sd2-base --out varied`

    - `seediff generate --classes dog,cat,car --classes-per-image 1,1,2 --reject --out pairs`

    - `seediff generate --config pets/seediff.toml --seed 1 --out more-pets`

    - `seediff generate --config pets/seediff.toml --out pets --top-up`

    - `seediff generate --classes zebra --model sd2-base --batch-size 4 --out zebras --dry-run`

    - `seediff generate --classes dog,cat --model sdxl --size 1536 --offload model --vae-tiling --out large`

    - `seediff generate --classes voc --per-class 50000 --model sd2-base --engine ray --address auto --out voc`
    """
    chosen = configure(GenerateConfig, line.values, config, preset=preset)
    check_mask_effects(line.values, chosen.mask, chosen.reject)
    if vary not in (None, "none"):
        from ..prompts.variations import varied_prompts

        kinds = [kind.strip() for kind in vary.split(",")]
        prompts = varied_prompts(chosen.prompts, kinds, find_settings(chosen.model, chosen.base).words)
        chosen = configure(GenerateConfig, {**line.values, "prompts": prompts}, config, preset=preset)
    workers = make_engine(engine)
    from ..run.generate import GenerateJob

    job = GenerateJob(chosen, offload=offload, graphs=graphs)
    if top_up:
        names = job.top_up(out, dry_run=dry_run)
        if not quiet:
            print(
                f"{'To be drawn' if dry_run else 'Drawing'} again: {', '.join(names)}"
                if names
                else f"{out}: no samples are rejected"
            )
        if dry_run:
            return
    result = carry_out(job, out, workers, "images", dry_run=dry_run, quiet=quiet)
    if result and not quiet:
        from .summary import show_summary

        show_summary(result, chosen)
