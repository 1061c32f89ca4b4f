"""`seediff generate`: options → configuration → dataset, with progress and a summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from ..config.base import configure
from ..config.constants import MaskConfig
from ..config.generate import GenerateConfig
from ..config.names import parse_names, parse_prompts
from ..errors import UserError
from ..models.info import find_settings
from ..models.memory import Offload
from .options import (
    MASKS,
    OFFLOAD,
    RUN,
    CaptureOptions,
    DatasetOut,
    DryRun,
    EngineOptions,
    ImageOptions,
    MaskOptions,
    Quiet,
    carry_out,
    check_mask_effects,
    chosen_engine,
    given,
    named_classes,
    option,
    parse_place,
    table,
)


def _named_preset(kind: Any, tokens: Sequence[Token]) -> str:
    """One of the named presets. Raises UserError for a file, which only `mask` and `segment` take."""
    text = tokens[0].value
    if text not in ("model", "paper"):
        raise UserError(
            f"--preset {text}: must be model or paper; a file of `seediff tune` is for `seediff mask` and `seediff segment` alone"
        )
    return text


def generate(
    *,
    out: DatasetOut,
    images: ImageOptions | None = None,
    masks: MaskOptions | None = None,
    capture: CaptureOptions | None = None,
    config: Annotated[
        Path | None,
        option(RUN, "TOML file with any of these options, such as a dataset's seediff.toml. The command line overrides it."),
    ] = None,
    preset: Annotated[
        Literal["model", "paper"],
        Parameter(converter=_named_preset),
        option(MASKS, "Default constants: those tuned for the model, if there are any, or the paper's.", "model"),
    ] = "model",
    offload: Annotated[Offload, OFFLOAD] = "none",
    engine: EngineOptions | None = None,
    top_up: Annotated[
        bool, option(RUN, "Draw again the samples that were rejected in `seediff look`. All others stay as they are.", negative=())
    ] = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Generate images of named classes with pixel masks, as a dataset for training.

    The same command continues a run that was stopped, and ends with the same bytes. With a higher --per-class, it adds images. With
    --top-up, it draws again those that you rejected.

    For example:

    - `seediff generate --classes dog,cat --per-class 50 --out pets`

    - `seediff generate --classes horse --per-class 20 --prompt "a photo of a {class} on grass" --prompt "a photo of a {class}" --out farm`

    - `seediff generate --classes all --per-class 5 --vary place,light --out everything`

    - `seediff generate --classes dog,bird --subclasses "poodle dog,terrier dog,owl bird" --model sd2-base --out varied`

    - `seediff generate --classes dog,cat,car --classes-per-image 1,1,2 --reject --out pairs`

    - `seediff generate --config pets/seediff.toml --seed 1 --out more-pets`

    - `seediff generate --config pets/seediff.toml --out pets --top-up`

    - `seediff generate --classes zebra --model sd2-base --batch-size 4 --out zebras --dry-run`

    - `seediff generate --classes dog,cat --model sdxl --size 1536 --offload model --vae-tiling --out large`

    - `seediff generate --classes voc --per-class 50000 --model sd2-base --engine ray --address auto --out s3://bucket/voc`
    """
    chosen = make_config(images or ImageOptions(), masks or MaskOptions(), capture or CaptureOptions(), config, preset)
    place, workers = parse_place(out), chosen_engine(engine)
    from ..run.generate import GenerateJob
    from ..run.reopen import draw_again

    job = GenerateJob(chosen, offload=offload)
    if top_up:
        job.check()
        names = draw_again(chosen, place, dry_run=dry_run)
        if not quiet:
            print(f"{'To be drawn' if dry_run else 'Drawing'} again: {', '.join(names)}" if names else f"{place}: no sample is rejected")
        if dry_run:
            return
    result = carry_out(job, place, workers, "images", dry_run=dry_run, quiet=quiet)
    if result and not quiet:
        from .summary import show_summary

        show_summary(result, chosen)


def make_config(
    images: ImageOptions, masks: MaskOptions, capture: CaptureOptions, file: Path | None = None, preset: str = "model"
) -> GenerateConfig:
    """The configuration: command line before the file of --config before the preset. Raises UserError."""
    line = table(
        GenerateConfig, {name: value for name, value in given(images).items() if name not in ("classes", "prompt", "vary", "subclasses")}
    )
    if images.classes is not None:
        line["classes"] = named_classes(images.classes, GenerateConfig, line, file)
    if images.prompt is not None:
        line["prompts"] = parse_prompts(images.prompt)
    if images.subclasses is not None:
        line["subclasses"] = () if images.subclasses == "none" else parse_names(images.subclasses, "--subclasses", "poodle dog,taxi car")
    tables = {"mask": table(MaskConfig, masks), "capture": given(capture)}
    config = configure(GenerateConfig, {**line, **tables}, file, preset=preset)
    check_mask_effects({**line, **tables}, config)
    if images.vary in (None, "none"):
        return config
    from ..prompts.variations import varied_prompts

    kinds = [kind.strip() for kind in images.vary.split(",")]
    line["prompts"] = varied_prompts(config.prompts, kinds, find_settings(config.model, config.base).words)
    return configure(GenerateConfig, {**line, **tables}, file, preset=preset)
