"""`seediff generate`: options → configuration → dataset, with progress and a summary."""

from __future__ import annotations

from typing import Annotated, Literal

from ..config.fields import INPUT, MASKS
from ..config.generate_config import GenerateConfig
from ..config.resolve import configure_run
from ..config.settings import GIVEN
from .line import Typed, options_of
from .options import AS_USUAL, ConfigFile, RunOptions, RunOut, carry_out, check_mask_effects, option


@options_of(GenerateConfig)
def generate(
    *,
    out: RunOut,
    typed: Typed,
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

    Run the same command to continue a stopped run, with the same bytes in the end. A higher --per-class adds
    images.

    For example:

    - `seediff generate --classes dog,cat --per-class 50 --out pets`

    - `seediff generate --classes horse --per-class 20 --prompt "a {class} on grass" --prompt "a {class}" --out farm`

    - `seediff generate --classes all --per-class 5 --vary place,light --out everything`

    - `seediff generate --classes dog,bird --subclasses "poodle dog,terrier dog,owl bird" --model sd1.5 --out varied`

    - `seediff generate --classes dog,cat,car --classes-per-image 1,1,2 --reject --out pairs`

    - `seediff generate --config pets/seediff.toml --seed 1 --out more-pets`

    - `seediff generate --classes zebra --model sd1.5 --batch-size 4 --out zebras --dry-run`

    - `seediff generate --classes dog,cat --model sdxl --size 1536 --offload model --vae-tiling --out large`

    - `seediff generate --classes voc --per-class 50000 --model sd1.5 --engine ray --address auto --out voc`
    """
    config, info = configure_run(GenerateConfig, typed, config_file, constants=preset, planned=options.dry_run)
    check_mask_effects(typed, config.mask, config.reject)
    if vary not in (None, "none"):
        from ..prompts.specs import varied_prompts

        kinds = [kind.strip() for kind in vary.split(",")]
        prompts = varied_prompts(config.prompts, kinds, config.classes, info and info.settings.words)
        config = config.changed(GIVEN, prompts=prompts)
    from ..run.generate_job import GenerateJob

    job = GenerateJob(config, info=info, loading=options.loading)
    job.warn = options.warn
    result = carry_out(job, out, options, "images")
    if result and not options.quiet:
        from .summary import show_generated

        show_generated(result, config)
